"""The pull from a Postgres table: it lands what is new as Parquet files, for sources with a mapping.

`server` connects and explains errors, `table` writes the SQL, `progress` remembers what has landed, `pull`
lands the rows. What a row means belongs to the mapping, and retrying a whole pull to `orchestration/`.
"""
