"""Committing a staged batch: it gets its number and its place in the lake, while others may commit, too."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from ingestion.lake.batches import LOADED, Lake, Manifest
from paywall_warehouse.duckdb_connections import open_duckdb
from paywall_warehouse.quoting import file_literal, literal

# The default and the smallest size of a row group in DuckDB.
DEFAULT_GROUP_ROWS, SMALLEST_GROUP_ROWS = 122_880, 2048


def commit(
    lake: Lake, manifest: Manifest, seen_through: int, staging_dir: Path, config: Mapping[str, Any]
) -> Manifest | None:
    """Make a staged batch the last one of the lake and return its manifest, with the number that it got.

    Return None if a batch after `seen_through` has loaded one of its files, or the same content: then the
    batch has to be staged again from what is new now. The caller holds the writer lock or is a worker.
    """
    while True:
        number = lake.next_batch()
        if _is_loaded(manifest, lake.manifests(seen_through + 1)):
            return None
        if number != manifest.batch_seq:
            _renumber(config, staging_dir, number)
            manifest = replace(manifest, batch_seq=number)
        if lake.commit(manifest, staging_dir):
            return manifest


def comparable_facts(facts: Mapping[str, object] | None) -> frozenset[tuple[str, object]]:
    """Return the facts of a file as a value that can be compared: two files with the same bytes differ if
    they cover different spans.
    """
    return frozenset((facts or {}).items())


def _is_loaded(manifest: Manifest, others: Iterable[Manifest]) -> bool:
    """Check whether other batches have loaded a file of this one, or its content under any name."""
    others = list(others)
    files = [file for other in others for file in other.files]
    paths = {(file.source, file.path) for file in files}
    # A file that was loaded and discarded in the meantime must not come back this way.
    paths |= {(file.source, file.path) for other in others for file in other.discarded}
    contents = {
        (file.source, file.sha256, comparable_facts(file.facts)) for file in files if file.status == LOADED
    }
    return any(
        (own.source, own.path) in paths or (own.source, own.sha256, comparable_facts(own.facts)) in contents
        for own in manifest.files
    )


def _renumber(config: Mapping[str, Any], staging_dir: Path, number: int) -> None:
    """Write the rows of a batch with another number.

    This takes a fifth of the time that it took to read and validate them.
    """
    for parquet in sorted(staging_dir.rglob("*.parquet")):
        written = parquet.with_name(f"{parquet.name}.renumbered")
        write_rows(config, parquet, f"select * replace ({number}::bigint as batch_seq)", "true", written)
        written.replace(parquet)


def write_rows(config: Mapping[str, Any], parquet: Path, select: str, condition: str, target: Path) -> None:
    """Write the rows of a Parquet file that meet a condition to another file, which may stay without rows."""
    groups = pq.read_metadata(parquet)
    # Keep the number of rows per group, and use one thread if it was small: the records may be so large that
    # more of them do not fit into memory.
    most = max((groups.row_group(place).num_rows for place in range(groups.num_row_groups)), default=0)
    config = {**config, **({"threads": "1"} if most < DEFAULT_GROUP_ROWS else {})}
    rows = f"read_parquet({file_literal(str(parquet))}, hive_partitioning = false)"
    options = f"format parquet, compression zstd, row_group_size {max(most, SMALLEST_GROUP_ROWS)}"
    with open_duckdb(config=config) as connection:
        connection.execute(
            f"copy ({select} from {rows} where {condition}) to {literal(str(target))} ({options})"
        )
