"""The rejected records of a batch in the lake."""

from pathlib import Path
from typing import Final

import duckdb

from ingestion.lake.batches import Manifest
from paywall_warehouse.duckdb_connections import insert_rows
from paywall_warehouse.quoting import literal

# Records that broke a rule, and records that a setting keeps out. The latter file is rewritten when the
# setting changes.
REJECTS: Final = "part-00000.parquet"
OUTSIDE: Final = "outside-00000.parquet"


def create_rejects(connection: duckdb.DuckDBPyConnection, name: str) -> None:
    """Create an empty temporary table for rejected records, which names files by their numbers."""
    columns = "file_no bigint, line bigint, reason_code varchar, reason varchar, raw varchar"
    connection.execute(f"create or replace temp table {name} ({columns})")


def write_rejects(
    connection: duckdb.DuckDBPyConnection, manifest: Manifest, name: str, parquet: Path
) -> None:
    """Write the rejected records of a batch from a temporary table, if there are any."""
    if connection.execute(f"from {name} limit 1").fetchone() is None:
        return
    parquet.parent.mkdir(parents=True, exist_ok=True)
    connection.execute("create or replace temp table paths (file_no bigint, source varchar, path varchar)")
    insert_rows(
        connection,
        "paths",
        [[file.file_no, file.source, file.path] for file in manifest.files],
    )
    connection.execute(
        f"""copy (
            select {manifest.batch_seq}::bigint as batch_seq, source, path, line, reason_code, reason, raw,
                {literal(manifest.loaded_at.isoformat())}::timestamptz as first_seen_at
            from {name} join paths using (file_no) order by path, line
        ) to {literal(str(parquet))} (format parquet, compression zstd)"""
    )
