"""Counting the rows of batches again whose counts are from other limits: a setting has changed.

Files, rejected records and manifest then state what the present limits keep out.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

import duckdb

from ingestion.lake.batches import LOADED, FileRecord, Lake, Manifest
from ingestion.lake.rejects import OUTSIDE, create_rejects, write_rejects
from ingestion.lake.row_limits import RowLimits
from ingestion.lake.schemas import missing_as_null, stated_costs
from paywall_warehouse.duckdb_connections import open_duckdb
from paywall_warehouse.files import replace_file
from paywall_warehouse.quoting import file_literal
from paywall_warehouse.settings import Settings


def apply_limits(settings: Settings, lake: Lake, manifests: Sequence[Manifest]) -> list[Manifest]:
    """Count the rows of batches that other limits were applied to, and return the manifests of all batches.

    The caller holds the writer lock. A killed process leaves batches that the next one counts.
    """
    limits = RowLimits.of(settings)
    stale = [manifest for manifest in manifests if manifest.limits != limits.digest]
    counted: dict[int, Manifest] = {}
    if stale:
        with open_duckdb(config=settings.duckdb_config()) as connection:
            for table in sorted({manifest.table for manifest in stale}):
                own = [manifest for manifest in stale if manifest.table == table]
                counts = _counts(connection, lake, limits, table, own)
                for manifest in own:
                    counted[manifest.batch_seq] = _counted(connection, lake, limits, manifest, counts)
    return [counted.get(manifest.batch_seq, manifest) for manifest in manifests]


@dataclass(frozen=True)
class _FileCounts:
    """What is accepted of one file, and how many of its rows are outside."""

    accepted: int = 0
    entries: int = 0
    """Accepted, and stating a ledger entry."""
    outside: int = 0
    rounded: int = 0
    """Accepted, with an amount that was rounded."""
    cost: Decimal | None = None
    """The sum of the costs that accepted rows state."""
    currencies: int = 0
    """The number of currencies of these costs."""


# By batch and file.
_Counts = dict[tuple[int, int], _FileCounts]


def _counts(
    connection: duckdb.DuckDBPyConnection,
    lake: Lake,
    limits: RowLimits,
    table: str,
    manifests: Sequence[Manifest],
) -> _Counts:
    if not (rows := _rows(lake, table, manifests)):
        return {}
    broken = limits.broken(table)
    columns = {name for name, *_ in connection.execute(f"describe from {rows}").fetchall()}
    # Only mapped sources and bills round amounts.
    rounded = "has_rounded_amount" if "has_rounded_amount" in columns else "false"
    costs = stated_costs(table, columns, f"not ({broken})")
    found = connection.execute(f"""select batch_seq, file_no, count(*) filter (where not ({broken})),
            count(*) filter (where not ({broken}) and {limits.states_entry(table)}),
                count(*) filter (where {broken}),
            count(*) filter (where not ({broken}) and {rounded}), {costs}
        from {rows} group by all""").fetchall()
    return {(batch, file): _FileCounts(*counts) for batch, file, *counts in found}


def _counted(
    connection: duckdb.DuckDBPyConnection, lake: Lake, limits: RowLimits, manifest: Manifest, counts: _Counts
) -> Manifest:
    own = [counts.get((manifest.batch_seq, file.file_no), _FileCounts()) for file in manifest.files]
    files = [_file(file, now) for file, now in zip(manifest.files, own, strict=True)]
    outside = sum(now.outside for now in own)
    counted = replace(manifest, files=files, limits=limits.digest, outside=outside)
    parquet = lake.batch_folder("rejects", manifest) / OUTSIDE
    if outside:
        create_rejects(connection, "outside")
        limits.write_rejects(connection, manifest.table, _rows(lake, manifest.table, [manifest]), "outside")
        parquet.parent.mkdir(parents=True, exist_ok=True)
        replace_file(parquet, lambda partial: write_rejects(connection, counted, "outside", partial))
    else:
        parquet.unlink(missing_ok=True)
    lake.restate(counted)
    return counted


def _file(file: FileRecord, now: _FileCounts) -> FileRecord:
    if file.status != LOADED:
        return file
    return replace(
        file,
        accepted=now.accepted,
        rejected=file.rejected + file.accepted - now.accepted,
        entry_records=now.entries,
        rounded_amounts=now.rounded,
        cost_stated=_cost_stated(file, now),
    )


def _cost_stated(file: FileRecord, now: _FileCounts) -> str | None:
    """Return the sum of the stated costs; None if the source states none, or in several currencies."""
    if now.currencies > 1 or (file.cost_stated is None and not now.currencies):
        return None
    return f"{now.cost or Decimal(0):f}"


def _rows(lake: Lake, table: str, manifests: Sequence[Manifest]) -> str:
    """Return SQL for the rows of some batches; an empty text if they have none."""
    files = [(manifest.schema_version, lake.parquet_files(table, [manifest])) for manifest in manifests]
    listed = ", ".join(file_literal(str(file)) for _, own in files for file in own)
    if not listed:
        return ""
    # `union_by_name` adds the columns that only some files lack.
    nulls = missing_as_null(table, max(version for version, own in files if own))
    return f"(select *{nulls} from read_parquet([{listed}], union_by_name = true, hive_partitioning = false))"
