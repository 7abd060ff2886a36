"""The lake: committed batches of Parquet files, their manifests, rejects, row limits, and the registry of
erasures.

How a batch gets its content belongs to `ingestion/staging/`. The warehouse reads the lake through this
package and never writes to it, except for the counts that a changed setting requires.
"""
