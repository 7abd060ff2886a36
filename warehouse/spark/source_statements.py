"""What dbt finds on a cluster: the schemas `raw`, `build` and `ops` as in DuckDB's build file, as statements
of Spark SQL.

The cluster reads the lake's own Parquet files where they lie. What is not in the lake, such as the settings,
goes with the statements. Each build has schemas of its own, whose names begin with its prefix.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from datetime import date, datetime
from typing import Any, Final

from ingestion.lake.batches import Lake, Manifest
from ingestion.lake.row_limits import RowLimits
from ingestion.lake.schemas import (
    BREAKS,
    FAILED_PULLS,
    LAKE_TABLES,
    LOADED_FILES,
    SETTINGS,
    TOUCHED_KEYS,
    shown_name,
)
from ingestion.stripe_pull.failures import failed_pulls
from paywall_warehouse.duckdb_connections import open_duckdb
from paywall_warehouse.settings import Settings
from warehouse.build import loaded_files, reporting_today, settings_row, shown_to_readers
from warehouse.price_book import resolved_batches

SPARK_TYPES: Final = {"varchar": "string", "varchar[]": "array<string>", "timestamptz": "timestamp"}


def cluster_statements(
    settings: Settings, prefix: str, built_through: int = -1, through_batch: int | None = None
) -> list[str]:
    """Everything that a build on the cluster needs before dbt starts; of an incremental one, through which
    batch all has been built.

    Batches after `through_batch` were committed by workers since the build was planned.
    """
    lake, shown_through = Lake(settings.home), shown_to_readers(settings.home)
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
                where=_inside(table, manifests, limits),
            )
        ),
        *(
            f"create or replace view {prefix}raw.{table} as select * from"
            f" parquet.`{settings.lake}/price_book/{table}.parquet`"
            for table in ("models", "model_rates")
        ),
        *small_table(f"{prefix}raw.settings", SETTINGS, [settings_row(settings, reporting_today(settings))]),
        *small_table(
            f"{prefix}raw.loaded_files", LOADED_FILES, loaded_files(settings, manifests, shown_through)
        ),
        *small_table(
            f"{prefix}raw.failed_pulls",
            FAILED_PULLS,
            [asdict(failure) for failure in failed_pulls(settings.home)],
        ),
        *small_table(f"{prefix}raw.published_breaks", BREAKS, _published_breaks(settings)),
        *small_table(f"{prefix}build.touched_keys", TOUCHED_KEYS, []),
        *small_table(f"{prefix}build.published", {"through": "bigint"}, [{"through": shown_through}]),
        *state_statements(prefix, built_through, full_refresh=built_through < 0),
    ]


def state_statements(prefix: str, built_through: int, *, full_refresh: bool) -> list[str]:
    """The last batch of which everything has been built, and whether by one build."""
    columns = {"built_through": "bigint", "full_refresh": "boolean"}
    return small_table(
        f"{prefix}ops.build_state", columns, [{"built_through": built_through, "full_refresh": full_refresh}]
    )


def calendar_question(settings: Settings) -> dict[str, str]:
    """A query for days that begin at another moment by the cluster's Java than by DuckDB: each brings rules
    of time zones of its own.
    """
    zone = settings.reporting_timezone
    with open_duckdb(config=settings.duckdb_config()) as connection:
        begins = connection.execute(
            """with quarters as (
                select unnest(generate_series(timestamptz '2000-01-01', ? + interval 400 day,
                    interval 15 minute)) as instant
            )
            select epoch_us(min(instant)), date_diff('day', date '1970-01-01', cast(timezone(?,
                instant) as date)) as day
            from quarters group by day order by day""",
            [settings.now(), zone],
        ).fetchall()[1:]
    known = (
        f"from_json({_text(json.dumps(begins, separators=(',', ':')))}, 'array<array<bigint>>', map('mode',"
        " 'FAILFAST'))"
    )
    reporting_days = [
        f"cast(from_utc_timestamp(timestamp_micros(known[0] - {back}), {_text(zone)}) as date)"
        for back in (0, 1)
    ]
    return {
        "query": (
            "select cast(day as string) as day from (select date_from_unix_date(cast(known[1] as integer))"
            f" as day, {reporting_days[0]} as begun, {reporting_days[1]} as before from (select"
            f" explode({known}) as known)) where begun <> day or before >= day order by day limit 3"
        ),
        "problem": (
            f"the cluster's Java has other rules for {zone} than DuckDB: bring the time zones of its Java up"
            " to date. The first days that begin at another moment"
        ),
    }


def lake_table(
    table: str, location: str, batches: Mapping[int, str], prefix: str = "", where: str = ""
) -> list[str]:
    """A table of the lake as a view of its committed batches, each with its folder a partition: one that no
    manifest names is not read.

    `where` is the clause that leaves rows out, if there are any.
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
    """A table whose rows stand in the statement, as JSON: each value as text, which is cast to its type."""
    texts = {column: "array<string>" if kind.endswith("[]") else "string" for column, kind in columns.items()}
    values = _text(json.dumps([{column: _as_text(row[column]) for column in columns} for row in rows]))
    stated = ", ".join(f"{column}: {kind}" for column, kind in texts.items())
    given = f"inline(from_json({values}, 'array<struct<{stated}>>', map('mode', 'FAILFAST')))"
    typed = ", ".join(f"cast({column} as {_spark(kind)}) as {column}" for column, kind in columns.items())
    return [
        f"create table if not exists {name} ({_defined(columns)}) using parquet",
        f"insert overwrite table {name} select {typed} from (select {given})",
    ]


def _batches(lake: Lake, table: str, manifests: Iterable[Manifest]) -> dict[int, str]:
    return {
        manifest.batch_seq: manifest.folder
        for manifest in manifests
        if lake.batch_folder(table, manifest).is_dir()
    }


def _inside(table: str, manifests: Iterable[Manifest], limits: RowLimits) -> str:
    """Return the clause that leaves out rows outside of the limits; nothing where there are none."""
    batches = [
        str(one.batch_seq) for one in manifests if one.table == table and one.has_rows_outside(limits.digest)
    ]
    return (
        f" where not (batch_seq in ({', '.join(batches)}) and ({limits.broken(table, 'timestamp')}))"
        if batches
        else ""
    )


def _published_breaks(settings: Settings) -> list[dict[str, Any]]:
    """The history of breaks as last published; empty where nothing is."""
    if not settings.home.published_file.exists():
        return []
    with open_duckdb(
        str(settings.home.published_file), config=settings.duckdb_config(), read_only=True
    ) as connection:
        rows = connection.execute(
            f"select {', '.join(BREAKS)} from marts.fct_reconciliation_history"
        ).fetchall()
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
    """A text literal of Spark SQL, in which a backslash escapes."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
