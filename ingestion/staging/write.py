"""Writing new files as one batch: every record is validated, typed and written to Parquet in one pass."""

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from itertools import count
from pathlib import Path
from typing import Any

import duckdb

from ingestion.lake.batches import LOADED, UNREADABLE, FileRecord, Manifest
from ingestion.lake.rejects import OUTSIDE, REJECTS, create_rejects, write_rejects
from ingestion.lake.row_limits import RowLimits
from ingestion.lake.schemas import (
    LAKE_TABLES,
    SCHEMA_VERSION,
    cost_column,
    model_column,
    stated_costs,
    typed,
)
from ingestion.landing.area import LandingFile
from ingestion.readers.inspection import damaged
from ingestion.readers.records import LocalFile, column_names, record_texts, usual_keys
from ingestion.sources.mappings.mapping import MappingFile
from ingestion.sources.registry import Refusal, Source
from ingestion.staging.new_files import Facts, NewFiles, facts_as_json
from ingestion.staging.portions import in_portions
from ingestion.validation.macros import define_macros
from paywall_warehouse.duckdb_connections import insert_rows, open_duckdb
from paywall_warehouse.quoting import file_literal, literal

# The landed bytes that become one Parquet file of a batch. A Parquet file is written twice if one of its
# records is rejected.
PORTION_BYTES = 1 << 30
# DuckDB's default row group has about 120,000 records, which is 8 GB if each has 64 KiB of metadata. One
# thread with row groups of this size needs less than 1 GB.
SMALL_GROUPS = ", row_group_size 2048"
# Columns of staged records that some sources have.
FILTERED, ROUNDED = "is_filtered", "has_rounded_amount"
# Unknown columns are listed by name. A file may have any number of them, of any length.
UNMAPPED_LISTED, UNMAPPED_CHARACTERS = 1_000, 255
# What DuckDB raises because of the data that it reads. The faults of a disk are not among them: they are not
# a file's fault, and end the load.
BEYOND_DUCKDB = (
    duckdb.DataError,
    duckdb.NotSupportedError,
    duckdb.InvalidInputException,
    duckdb.OutOfMemoryException,
)


def write_batch(
    config: Mapping[str, Any],
    limits: RowLimits,
    source: Source,
    found: NewFiles,
    staging_dir: Path,
    batch_seq: int,
) -> Manifest:
    """Write the Parquet files and the rejects of a batch below `staging_dir` and return its manifest.

    A file that turns out to be unreadable is moved to `found.unreadable`.
    """
    loaded_at = datetime.now(UTC)
    data, rejects = staging_dir / source.table, staging_dir / "rejects"
    counts: dict[int, _Counts] = {}
    models: set[str] = set()
    with open_duckdb(config=config) as connection:
        define_macros(connection)
        for table in ("rejects", "outside"):
            create_rejects(connection, table)
        _create_facts(connection, found.facts)
        portions = deque(
            in_portions([file for file, _ in found.readable], lambda one: one.file.bytes, PORTION_BYTES)
        )
        part, groups = 0, ""
        unmapped: dict[int, list[str]] = {}
        while portions:
            files = portions.popleft()
            data.mkdir(exist_ok=True)
            parquet = data / f"part-{part:05d}.parquet"
            try:
                _write_records(connection, source, limits, files, batch_seq, parquet, groups)
                portion_counts = _count_records(connection, parquet, source)
                if source.refusal and (refused := _refused_files(connection, source.refusal, parquet)):
                    parquet.unlink()
                    for local in (local for local in files if local.file_no in refused):
                        found.refuse(local.file, dict(found.readable)[local], source.refusal.error)
                    if others := [local for local in files if local.file_no not in refused]:
                        portions.appendleft(others)
                    continue
                if source.mapping is not None:
                    unmapped |= _unmapped_columns(connection, source.mapping, files, parquet)
                if any(one.rejected or one.filtered for one in portion_counts.values()):
                    _move_rejects(connection, source, parquet, groups)
                if any(one.outside for one in portion_counts.values()):
                    limits.write_rejects(
                        connection, source.table, f"(from {_rows(parquet)} where is_outside)", "outside"
                    )
            except BEYOND_DUCKDB as error:
                parquet.unlink(missing_ok=True)
                if isinstance(error, duckdb.OutOfMemoryException) and not groups:
                    groups = SMALL_GROUPS
                    connection.execute("set threads = 1")
                    portions.appendleft(files)
                elif len(files) == 1:
                    found.refuse(files[0].file, dict(found.readable)[files[0]], damaged(error))
                else:
                    # One of the files is the cause. Reading each of them alone shows which one.
                    portions.extendleft([file] for file in reversed(files))
                continue
            part += 1
            counts |= portion_counts
            if source.has_models:
                models |= distinct_models(connection, parquet, source.table)
        records = [
            _loaded_file(source, file, digest, counts, found.facts.get(file.file_no), unmapped)
            for file, digest in found.readable
        ]
        numbers = count(1 + max((file.file_no for file, _ in found.readable), default=-1))
        for number, (file, digest, problem) in zip(numbers, found.unreadable, strict=False):
            records.append(_unreadable_file(number, file, digest))
            connection.execute(
                "insert into rejects values (?, null, ?, ?, null)", [number, problem.code, problem.message]
            )
        outside = sum(one.outside for one in counts.values())
        manifest = Manifest(
            batch_seq,
            source.table,
            loaded_at,
            records,
            sorted(models),
            limits.digest,
            outside,
            schema_version=SCHEMA_VERSION,
        )
        write_rejects(connection, manifest, "rejects", rejects / REJECTS)
        write_rejects(connection, manifest, "outside", rejects / OUTSIDE)
    return manifest


def distinct_models(connection: duckdb.DuckDBPyConnection, parquet: Path, table: str) -> set[str]:
    """Return the distinct model texts of a Parquet file."""
    model = model_column(table)
    query = f"select distinct {model} from {_rows(parquet)} where {model} is not null"
    return {text for (text,) in connection.execute(query).fetchall()}


def models_in(config: Mapping[str, Any], folder: Path, table: str) -> list[str]:
    """Return the distinct model texts of a batch's folder, in order."""
    with open_duckdb(config=config) as connection:
        files = sorted(folder.glob("*.parquet"))
        found = [distinct_models(connection, parquet, table) for parquet in files]
    return sorted(set().union(*found))


def _write_records(
    connection: duckdb.DuckDBPyConnection,
    source: Source,
    limits: RowLimits,
    files: Sequence[LocalFile],
    batch_seq: int,
    parquet: Path,
    groups: str,
) -> None:
    """Write every record of some files to Parquet, in one pass over their text.

    The columns are those of the lake and the reason why a record is rejected. A record that only a setting
    keeps out (`is_outside`) is typed like an accepted one, because the setting may change.
    """
    made = "".join(f"{name}, " for name in source.made)
    counts = "reject_code is null" + (" and not is_filtered" if FILTERED in source.made else "")
    connection.execute(f"set variable usual_keys = {usual_keys(files, source.layout)}")
    validated = source.records_sql(record_texts(connection, files, source.layout))
    keeps_raw = (
        "reject_code is not null or is_outside"
        if limits.keeps_text(source.table)
        else "reject_code is not null"
    )
    _write(
        connection,
        f"""select {typed(LAKE_TABLES[source.table])}, {made}reject_code, reject_words, is_outside,
            case when {keeps_raw} then without_line_end(raw) end as reject_raw
        from (
            select *, {batch_seq}::bigint as batch_seq,
                case when {counts} then {limits.settings_broken(source.table)} else false end
                    as is_outside
            from ({validated})
        )""",
        parquet,
        groups,
    )


def _move_rejects(connection: duckdb.DuckDBPyConnection, source: Source, parquet: Path, groups: str) -> None:
    """Move the rejected records from a Parquet file to the table `rejects`, and drop the filtered ones."""
    rejected = f"{_rows(parquet)} where reject_code is not null"
    connection.execute(
        f"insert into rejects select file_no, line, reject_code, reject_words, reject_raw from {rejected}"
    )
    accepted = parquet.with_name(f"{parquet.name}.accepted")
    kept = "reject_code is null" + (" and not is_filtered" if FILTERED in source.made else "")
    _write(connection, f"from {_rows(parquet)} where {kept}", accepted, groups)
    accepted.replace(parquet)


def _rows(parquet: Path) -> str:
    return f"read_parquet({file_literal(str(parquet))}, hive_partitioning = false)"


def _write(connection: duckdb.DuckDBPyConnection, query: str, parquet: Path, groups: str) -> None:
    connection.execute(
        f"copy ({query}) to {literal(str(parquet))} (format parquet, compression zstd{groups})"
    )


def _create_facts(connection: duckdb.DuckDBPyConnection, facts: Mapping[int, Facts]) -> None:
    """Create the table `file_facts`, which the rows of Stripe's files and of bills are joined with."""
    names = ("account_id", "livemode", "timezone", "account")
    connection.execute(
        "create temp table file_facts (file_no bigint, account_id varchar, livemode boolean, timezone"
        " varchar, account varchar)"
    )
    rows = [[file_no, *(getattr(one, name, None) for name in names)] for file_no, one in facts.items()]
    insert_rows(connection, "file_facts", rows)


@dataclass(frozen=True)
class _Counts:
    """How many records a file has, by outcome."""

    records: int = 0
    rejected: int = 0
    """Rejected by a rule that no setting changes."""
    outside: int = 0
    """Rejected by a setting."""
    entries: int = 0
    """Accepted, and stating a ledger entry."""
    filtered: int = 0
    """Left out by the mapping of the source."""
    rounded: int = 0
    """Accepted, with an amount that was rounded."""
    cost: Decimal | None = None
    """The sum of the costs that accepted records state."""
    currencies: int = 0
    """The number of currencies of these costs."""


def _count_records(
    connection: duckdb.DuckDBPyConnection, parquet: Path, source: Source
) -> dict[int, _Counts]:
    """Return the counts of each file, by file number."""
    filtered, rounded = (name if name in source.made else "false" for name in (FILTERED, ROUNDED))
    accepted = f"reject_code is null and not is_outside and not {filtered}"
    costs = stated_costs(source.table, LAKE_TABLES[source.table], accepted)
    rows = connection.execute(
        f"""select file_no, count(*), count(reject_code), count(*) filter (where is_outside),
            count(*) filter (where {accepted} and {RowLimits.states_entry(source.table)}),
            count(*) filter (where {filtered}), count(*) filter (where {accepted} and {rounded}),
            {costs}
        from {_rows(parquet)} group by file_no"""
    ).fetchall()
    return {file_no: _Counts(*counts) for file_no, *counts in rows}


def _refused_files(connection: duckdb.DuckDBPyConnection, refusal: Refusal, parquet: Path) -> set[int]:
    """Return the numbers of the files that are refused as a whole because of their records."""
    rows = connection.execute(
        f"select file_no from {_rows(parquet)} group by file_no having {refusal.when}"
    ).fetchall()
    return {file_no for (file_no,) in rows}


def _unmapped_columns(
    connection: duckdb.DuckDBPyConnection, mapping: MappingFile, files: Sequence[LocalFile], parquet: Path
) -> dict[int, list[str]]:
    """Return the columns of each file that the mapping does not know, by file number."""
    seen = {local.file_no: column_names(local.file, local.path, mapping.layout) for local in files}
    # The keys of the first JSON lines are among them; later lines may have others.
    rows = connection.execute(
        f"""select distinct * from (
            select file_no, unnest(unknown_fields) from {_rows(parquet)} where unknown_fields is not null
        )"""
    ).fetchall()
    for file_no, name in rows:
        seen[file_no].append(name)
    return {
        file_no: sorted({name[:UNMAPPED_CHARACTERS] for name in names if name not in mapping.known_columns})[
            :UNMAPPED_LISTED
        ]
        for file_no, names in seen.items()
    }


def _loaded_file(
    source: Source,
    local: LocalFile,
    digest: str,
    counts: Mapping[int, _Counts],
    facts: Facts | None,
    unmapped: Mapping[int, list[str]],
) -> FileRecord:
    own = counts.get(local.file_no, _Counts())
    rejected = own.rejected + own.outside
    return FileRecord(
        file_no=local.file_no,
        source=local.file.source,
        path=local.file.path,
        sha256=digest,
        fingerprint=local.file.fingerprint,
        bytes=local.file.bytes,
        status=LOADED,
        records=own.records,
        accepted=own.records - rejected - own.filtered,
        rejected=rejected,
        entry_records=own.entries,
        facts=facts_as_json(facts),
        filtered=own.filtered,
        rounded_amounts=own.rounded,
        cost_stated=_cost_stated(source, own),
        unmapped=unmapped.get(local.file_no, []),
        mapping=source.mapping.digest if source.mapping else "",
    )


def _cost_stated(source: Source, counts: _Counts) -> str | None:
    """Return the sum of the stated costs; None for a source that states none, or if they are in several
    currencies.
    """
    cost = cost_column(source.table)
    if cost is None or (source.mapping and cost not in source.mapping.fields) or counts.currencies > 1:
        return None
    return f"{counts.cost or Decimal(0):f}"


def _unreadable_file(file_no: int, file: LandingFile, digest: str | None) -> FileRecord:
    return FileRecord(
        file_no=file_no,
        source=file.source,
        path=file.path,
        sha256=digest,
        fingerprint=file.fingerprint,
        bytes=file.bytes,
        status=UNREADABLE,
        records=1,
        accepted=0,
        rejected=1,
        entry_records=0,
    )
