"""The web dashboard on the published warehouse."""
