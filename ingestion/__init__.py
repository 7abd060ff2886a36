"""From landed files to validated, typed Parquet batches in the lake; bad records become rejects. Knows
neither Dagster nor dbt.
"""
