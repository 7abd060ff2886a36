"""The ground floor that all rooms share: settings, the paths of a home, atomic file replacement, DuckDB
connections, quoting, currencies.

Nothing here knows what a record, a table or a page is, and it imports no other room.
"""
