"""Reading landed text, CSV, JSON and Parquet: from a file to the texts of its records, with file and line.

A file that cannot be read as a whole is refused here. Whether a record is valid is decided in
`ingestion/sources/` and `ingestion/validation/`.
"""
