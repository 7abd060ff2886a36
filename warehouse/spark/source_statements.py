"""The inputs of a build on a cluster as Spark SQL: the schemas `raw`, `build` and `ops` of the build file.

The cluster reads the lake's Parquet files in place. Data that is not in the lake, such as the settings, is
part of the statements. The names of a build's schemas start with its prefix.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from datetime import date, datetime
from typing import Any, Final

from ingestion.lake.batches import Lake, Manifest
from ingestion.lake.period_acts import Act, read_acts
from ingestion.lake.row_limits import RowLimits
from ingestion.lake.schemas import (
    BOOKED_LINES,
    BREAKS,
    FAILED_PULLS,
    LAKE_TABLES,
    LOADED_FILES,
    PERIOD_ACTS,
    SETTINGS,
    TOUCHED_KEYS,
    shown_name,
)
from ingestion.pulls.failures import failed_pulls
from paywall_warehouse.duckdb_connections import open_duckdb
from paywall_warehouse.settings import Settings
from warehouse.build_file import known_published_through
from warehouse.build_inputs import (
    BREAK_HISTORIES,
    booked_line_rows,
    has_mart,
    loaded_files,
    period_act_rows,
    settings_row,
)
from warehouse.plan import reporting_today
from warehouse.price_book import resolved_batches
from warehouse.price_book_files import PRICE_BOOK_TABLES

# A statement with 10,000 lines has some 2 MB.
LINES_PER_STATEMENT: Final = 10_000
SPARK_TYPES: Final = {"varchar": "string", "varchar[]": "array<string>", "timestamptz": "timestamp"}


def cluster_statements(
    settings: Settings, prefix: str, built_through: int = -1, through_batch: int | None = None
) -> list[str]:
    """Return the statements that prepare a build on the cluster before dbt starts.

    `built_through` is the last batch of the build that an incremental one starts from, -1 for a full build.
    Batches after `through_batch` are left out: workers committed them after the build was planned.
    """
    lake, published_through = Lake(settings.home), known_published_through(settings.home)
    limits = RowLimits.of(settings)
    manifests = [
        one for one in resolved_batches(lake) if through_batch is None or one.batch_seq <= through_batch
    ]
    return [
        *(f"create schema if not exists {prefix}{schema}" for schema in ("raw", "build", "ops")),
        *(
            statement
            for table in LAKE_TABLES
            for statement in lake_table(
                table,
                settings.lake,
                _batches(lake, table, manifests),
                prefix,
                where=_limits_clause(table, manifests, limits),
            )
        ),
        *(
            f"create or replace view {prefix}raw.{table} as select * from"
            f" parquet.`{settings.lake}/price_book/{table}.parquet`"
            for table in PRICE_BOOK_TABLES
        ),
        *small_table(f"{prefix}raw.settings", SETTINGS, [settings_row(settings, reporting_today(settings))]),
        *small_table(
            f"{prefix}raw.loaded_files", LOADED_FILES, loaded_files(settings, manifests, published_through)
        ),
        *small_table(
            f"{prefix}raw.failed_pulls",
            FAILED_PULLS,
            [asdict(failure) for failure in failed_pulls(settings.home)],
        ),
        *(
            statement
            for table, mart in BREAK_HISTORIES.items()
            for statement in small_table(f"{prefix}raw.{table}", BREAKS, _published_breaks(settings, mart))
        ),
        *_periods(prefix, read_acts(settings.home)),
        *small_table(f"{prefix}build.touched_keys", TOUCHED_KEYS, []),
        *small_table(f"{prefix}build.published", {"through": "bigint"}, [{"through": published_through}]),
        *state_statements(prefix, built_through, full_refresh=built_through < 0),
    ]


def state_statements(prefix: str, built_through: int, *, full_refresh: bool) -> list[str]:
    """Return the statements that write `ops.build_state`.

    `built_through` is the last batch of the finished build. `full_refresh` is whether it was a full build.
    """
    columns = {"built_through": "bigint", "full_refresh": "boolean"}
    return small_table(
        f"{prefix}ops.build_state", columns, [{"built_through": built_through, "full_refresh": full_refresh}]
    )


def time_zone_check(settings: Settings) -> dict[str, str]:
    """Return a query for days that start at different instants in the cluster's Java and in DuckDB.

    Both have their own time zone rules. The macro `prepare_cluster` raises `problem` if there are such days.
    """
    zone = settings.reporting_timezone
    with open_duckdb(config=settings.duckdb_config()) as connection:
        begins = connection.execute(
            """with quarters as (
                select unnest(generate_series(
                    timestamptz '2000-01-01', ? + interval 400 day, interval 15 minute
                )) as instant
            )
            select
                epoch_us(min(instant)),
                date_diff('day', date '1970-01-01', cast(timezone(?, instant) as date)) as day
            from quarters
            group by day
            order by day""",
            [settings.now(), zone],
        ).fetchall()[1:]
    starts = _text(json.dumps(begins, separators=(",", ":")))
    known = f"from_json({starts}, 'array<array<bigint>>', map('mode', 'FAILFAST'))"
    reporting_days = [
        f"cast(from_utc_timestamp(timestamp_micros(known[0] - {back}), {_text(zone)}) as date)"
        for back in (0, 1)
    ]
    return {
        "query": (
            "select cast(day as string) as day from ("
            "select date_from_unix_date(cast(known[1] as integer)) as day,"
            f" {reporting_days[0]} as begun, {reporting_days[1]} as before"
            f" from (select explode({known}) as known)"
            ") where begun <> day or before >= day order by day limit 3"
        ),
        "problem": (
            f"the cluster's Java has other rules for {zone} than DuckDB. Update the time zones of its Java."
            " The first days that start at different instants"
        ),
    }


def lake_table(
    table: str, location: str, batches: Mapping[int, str], prefix: str = "", where: str = ""
) -> list[str]:
    """Return the statements that create a view of the committed batches of a table of the lake.

    The folder of each batch is a partition, so a folder that no manifest names is not read. `where` is a
    clause that excludes rows, or empty.
    """
    columns = {name: kind for name, kind in LAKE_TABLES[table].items() if name != "batch_seq"}
    partitions = " ".join(
        f"partition (batch_seq = {batch}) location {_text(f'{location}/{table}/{folder}')}"
        for batch, folder in batches.items()
    )
    return [
        f"drop table if exists {prefix}raw.lake_{table}",
        (
            f"create table {prefix}raw.lake_{table} ({_defined(columns)}, batch_seq bigint) using parquet"
            f" partitioned by (batch_seq) location {_text(f'{location}/{table}')}"
        ),
        *([f"alter table {prefix}raw.lake_{table} add {partitions}"] if batches else []),
        (
            f"create or replace view {prefix}raw.{shown_name(table)}"
            f" as select {', '.join(LAKE_TABLES[table])} from {prefix}raw.lake_{table}{where}"
        ),
    ]


def small_table(name: str, columns: Mapping[str, str], rows: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return the statements that write a table, with the rows as JSON and each value as text."""
    return [
        f"create table if not exists {name} ({_defined(columns)}) using parquet",
        f"insert overwrite table {name} {_rows_query(columns, rows)}",
    ]


def _periods(prefix: str, acts: Sequence[Act]) -> list[str]:
    """Return the statements that write the acts and the booked lines, a statement for each few months."""
    lines, name = booked_line_rows(acts), f"{prefix}raw.booked_lines"
    return [
        *small_table(f"{prefix}raw.period_acts", PERIOD_ACTS, period_act_rows(acts)),
        *small_table(name, BOOKED_LINES, lines[:LINES_PER_STATEMENT]),
        *(
            f"insert into {name} {_rows_query(BOOKED_LINES, lines[first : first + LINES_PER_STATEMENT])}"
            for first in range(LINES_PER_STATEMENT, len(lines), LINES_PER_STATEMENT)
        ),
    ]


def _rows_query(columns: Mapping[str, str], rows: Iterable[Mapping[str, Any]]) -> str:
    texts = {column: "array<string>" if kind.endswith("[]") else "string" for column, kind in columns.items()}
    values = _text(json.dumps([{column: _as_text(row[column]) for column in columns} for row in rows]))
    fields = ", ".join(f"{column}: {kind}" for column, kind in texts.items())
    source = f"inline(from_json({values}, 'array<struct<{fields}>>', map('mode', 'FAILFAST')))"
    typed = ", ".join(f"cast({column} as {_spark(kind)}) as {column}" for column, kind in columns.items())
    return f"select {typed} from (select {source})"


def _batches(lake: Lake, table: str, manifests: Iterable[Manifest]) -> dict[int, str]:
    return {
        manifest.batch_seq: manifest.folder
        for manifest in manifests
        if lake.batch_folder(table, manifest).is_dir()
    }


def _limits_clause(table: str, manifests: Iterable[Manifest], limits: RowLimits) -> str:
    """Return a clause that excludes the rows outside of the limits; empty if there are none."""
    batches = [
        str(one.batch_seq) for one in manifests if one.table == table and one.has_rows_outside(limits.digest)
    ]
    return (
        f" where not (batch_seq in ({', '.join(batches)}) and ({limits.broken(table, 'timestamp')}))"
        if batches
        else ""
    )


def _published_breaks(settings: Settings, mart: str) -> list[dict[str, Any]]:
    """Return a history of breaks in the published file; empty if there is none."""
    if not settings.home.published_file.exists():
        return []
    with open_duckdb(
        str(settings.home.published_file), config=settings.duckdb_config(), read_only=True
    ) as connection:
        if not has_mart(connection, "current_database()", mart):
            return []
        rows = connection.execute(f"select {', '.join(BREAKS)} from marts.{mart}").fetchall()
    return [dict(zip(BREAKS, row, strict=True)) for row in rows]


def _as_text(value: Any) -> str | list[str] | None:
    if value is None or isinstance(value, list):
        return value
    if isinstance(value, bool):
        return str(value).lower()
    return value.isoformat() if isinstance(value, (date, datetime)) else str(value)


def _defined(columns: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {_spark(kind)}" for name, kind in columns.items())


def _spark(kind: str) -> str:
    return SPARK_TYPES.get(kind, kind)


def _text(text: str) -> str:
    """Return a text literal of Spark SQL, where a backslash is an escape character."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
