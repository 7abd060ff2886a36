"""Other tools on the same files.

Each module runs as its own process, in `.venv-peers/`, and prints one line of JSON. A module of this package
may import only what its tool needs.
"""
