"""From landed files to a staged batch: find what is new, read, validate and type it, write it to Parquet.

The rules of a record belong to `ingestion/sources/`, giving a batch its number and its place in the lake to
`ingestion/lake/`.
"""
