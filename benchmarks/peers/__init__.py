"""Other tools on the same files. Each module is a process of its own, in `.venv-peers/`, and prints one line
of JSON.
"""
