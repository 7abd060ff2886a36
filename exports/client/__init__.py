"""The consumer's side of an export: mirror it in a local folder (`mirror`), and load the mirror into a DuckDB
file (`duckdb_tables`).

Code that a consumer runs belongs here. Nothing here reads settings, a home or a published file.
"""
