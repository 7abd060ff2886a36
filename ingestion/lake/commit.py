"""A finished batch gets its number and its place in the lake, beside others that try for the same."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

import duckdb
import pyarrow.parquet as pq

from ingestion.lake.batches import LOADED, Lake, Manifest
from paywall_warehouse.quoting import file_literal, literal
from paywall_warehouse.settings import Settings

# Of DuckDB.
USUAL_GROUP_ROWS, FEWEST_GROUP_ROWS = 122_880, 2048


def commit(settings: Settings, manifest: Manifest, seen_through: int, staging_dir: Path) -> Manifest | None:
    """Make a finished batch the last one of the lake, whatever number it was written with; returns it as it
    is there.

    None where one of the batches after `seen_through` has loaded one of its files, or the same content: then
    it has to be made again, by what is new now. The caller holds the writer lock or is a worker.
    """
    lake = Lake(settings.home)
    while True:
        number = lake.next_batch()
        if _is_loaded(manifest, lake.manifests(seen_through + 1)):
            return None
        if number != manifest.batch_seq:
            _renumber(settings, staging_dir, number)
            manifest = replace(manifest, batch_seq=number)
        if lake.commit(manifest, staging_dir):
            return manifest


def stated(facts: Mapping[str, object] | None) -> frozenset[tuple[str, object]]:
    """What a file says that it covers, to compare by: of two with the same bytes it is part of what
    they say.
    """
    return frozenset((facts or {}).items())


def _is_loaded(manifest: Manifest, others: Iterable[Manifest]) -> bool:
    """Whether others have loaded a file of the batch, or a content of it under any name."""
    others = list(others)
    files = [file for other in others for file in other.files]
    paths = {(file.source, file.path) for file in files}
    # What was loaded and discarded meanwhile does not come back this way.
    paths |= {(file.source, file.path) for other in others for file in other.discarded}
    contents = {(file.source, file.sha256, stated(file.facts)) for file in files if file.status == LOADED}
    return any(
        (own.source, own.path) in paths or (own.source, own.sha256, stated(own.facts)) in contents
        for own in manifest.files
    )


def _renumber(settings: Settings, staging_dir: Path, number: int) -> None:
    """Write the rows of a batch with another number: a fifth of the time that reading and judging them
    took.
    """
    for parquet in sorted(staging_dir.rglob("*.parquet")):
        written = parquet.with_name(f"{parquet.name}.renumbered")
        write_rows(settings, parquet, f"select * replace ({number}::bigint as batch_seq)", "true", written)
        written.replace(parquet)


def write_rows(settings: Settings, parquet: Path, select: str, condition: str, target: Path) -> None:
    """Write those rows of a Parquet file of the lake that meet a condition to another file, none of them is
    fine, too.
    """
    groups = pq.read_metadata(parquet)
    # As many rows a group as there were, by one thread where there were few: records may be so large that no
    # more fit into memory.
    most = max((groups.row_group(place).num_rows for place in range(groups.num_row_groups)), default=0)
    config = settings.duckdb_config() | ({"threads": "1"} if most < USUAL_GROUP_ROWS else {})
    rows = f"read_parquet({file_literal(str(parquet))}, hive_partitioning = false)"
    options = f"format parquet, compression zstd, row_group_size {max(most, FEWEST_GROUP_ROWS)}"
    with duckdb.connect(config=config) as connection:
        connection.execute(
            f"copy ({select} from {rows} where {condition}) to {literal(str(target))} ({options})"
        )
