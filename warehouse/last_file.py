"""Configuration that lands as files, such as `prices/markups.csv`: the last landed file alone holds."""

from collections.abc import Sequence
from typing import Any

from ingestion.lake.batches import LOADED, FileRecord, Lake, Manifest
from paywall_warehouse.duckdb_connections import open_duckdb


def last_file(lake: Lake, source: str) -> tuple[Manifest, FileRecord] | None:
    """Return the last landed file of a source that could be read, and its batch; None without one."""
    files = [
        (manifest, file)
        for manifest in lake.manifests()
        for file in manifest.files
        if file.source == source and file.status == LOADED
    ]
    return max(files, key=lambda one: (one[0].batch_seq, one[1].file_no), default=None)


def rows_of_last_file(lake: Lake, source: str, table: str, columns: Sequence[str]) -> list[tuple[Any, ...]]:
    """Return the accepted rows of a source's last landed file that could be read, in their order.

    Older files have no effect, even if rows of the last one were rejected.
    """
    landed = last_file(lake, source)
    if landed is None:
        return []
    manifest, file = landed
    query = f"""select {", ".join(columns)}
        from read_parquet($files, hive_partitioning = false) where file_no = $file order by line"""
    parquet = [str(one) for one in lake.parquet_files(table, [manifest])]
    with open_duckdb() as connection:
        return connection.execute(query, {"files": parquet, "file": file.file_no}).fetchall()
