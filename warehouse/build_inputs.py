"""The inputs of a build in the build file: the lake as schema `raw`, earlier builds as schema `build`.

The models read both as dbt sources.
"""

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from datetime import date
from typing import Any, Final

import duckdb
import pyarrow as pa

from ingestion.lake.batches import FileRecord, Lake, Manifest
from ingestion.lake.erasures import read_registry
from ingestion.lake.period_acts import Act, booked_lines, closed_months
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
    UNMAPPED_COLUMNS,
    defined,
    missing_columns,
    shown_name,
    typed,
)
from ingestion.landed_now import LandedNow
from ingestion.pulls.failures import failed_pulls
from ingestion.sources.stripe.coverage import named_currency
from paywall_warehouse.home import Home
from paywall_warehouse.quoting import file_literal, literal
from paywall_warehouse.settings import Settings
from warehouse.price_book_files import PRICE_BOOK_TABLES, price_book_relation

# The state of the build is in `ops`, because it belongs to every copy of the file. The schema `build` is not
# published.
SCHEMAS = f"""
create schema if not exists raw;
create schema if not exists build;
create schema if not exists ops;
create table if not exists ops.build_state (
    built_through bigint, full_refresh boolean, meaning varchar, code_version varchar, fingerprint varchar
);
insert into ops.build_state select -1, null, null, null, null where not exists (from ops.build_state);
create table if not exists build.published_breaks ({defined(BREAKS)});
create table if not exists build.published_cost_breaks ({defined(BREAKS)});
create table if not exists build.touched_keys ({defined(TOUCHED_KEYS)});
"""

# The histories of breaks: the tables of schema `raw`, and the marts of the published file.
BREAK_HISTORIES: Final = {
    "published_breaks": "fct_reconciliation_history",
    "published_cost_breaks": "fct_cost_reconciliation_history",
}

# The facts about a Stripe file that its manifest records.
FACTS = ("report_type", "account_id", "livemode", "covered_from", "covered_until")


def write_build_inputs(
    connection: duckdb.DuckDBPyConnection,
    settings: Settings,
    lake: Lake,
    manifests: list[Manifest],
    today: date,
    published_through: int,
    acts: Sequence[Act],
    *,
    is_published_copy: bool,
) -> None:
    """Write the schemas `raw` and `build`, and the table `ops.build_state` if it is missing.

    `published_through` is the last published batch. `acts` closed and reopened months. `is_published_copy`
    marks a build file that was just copied from the published one.
    """
    connection.execute(SCHEMAS)
    connection.execute(f"create or replace table build.published as select {published_through} as through")
    if is_published_copy:
        for table, mart in BREAK_HISTORIES.items():
            if has_mart(connection, "current_database()", mart):
                connection.execute(f"insert into build.{table} by name from marts.{mart}")
    _create_lake_views(connection, lake, manifests, RowLimits.of(settings))
    _create_loaded_files(connection, loaded_files(settings, manifests, published_through))
    _create_unmapped_columns(connection, manifests)
    _create_settings(connection, settings_row(settings, today))
    _create_erasures(connection, settings.home)
    _create_failed_pulls(connection, settings.home)
    _create_periods(connection, acts)
    _create_published_breaks(connection, settings.home)


def _create_lake_views(
    connection: duckdb.DuckDBPyConnection, lake: Lake, manifests: list[Manifest], limits: RowLimits
) -> None:
    """Create one view per table of the lake and per table of the price book.

    A view has one select for all batches that are read alike: those with rows outside of the limits are
    filtered, and those of earlier versions of the lake's schema get NULL for the columns that they lack.
    """
    for table, columns in LAKE_TABLES.items():
        alike: dict[tuple[bool, tuple[str, ...]], list[Manifest]] = {}
        for manifest in manifests:
            is_filtered = table == manifest.table and manifest.has_rows_outside(limits.digest)
            missing = tuple(missing_columns(table, manifest.schema_version))
            alike.setdefault((is_filtered, missing), []).append(manifest)
        selects = [
            f"select {typed(columns, missing)}"
            f" from read_parquet([{files}], union_by_name = true, hive_partitioning = false)"
            + (f" where not ({limits.broken(table)})" if is_filtered else "")
            for (is_filtered, missing), batches in sorted(alike.items())
            if (files := ", ".join(file_literal(str(file)) for file in lake.parquet_files(table, batches)))
        ]
        nulls = ", ".join(f"null as {name}" for name in columns)
        no_rows = f"select {typed(columns)} from (select {nulls}) where false"
        connection.execute(
            f"create or replace view raw.{shown_name(table)} as {' union all '.join(selects or [no_rows])}"
        )
    for table in PRICE_BOOK_TABLES:
        connection.execute(
            f"create or replace view raw.{table} as select * from {price_book_relation(lake, table)}"
        )


def _create_loaded_files(connection: duckdb.DuckDBPyConnection, rows: list[dict[str, Any]]) -> None:
    connection.execute(f"create or replace table raw.loaded_files ({defined(LOADED_FILES)})")
    if rows:
        connection.register("manifests", pa.Table.from_pylist(rows))
        connection.execute("insert into raw.loaded_files by name select * from manifests")
        connection.unregister("manifests")


def _create_unmapped_columns(connection: duckdb.DuckDBPyConnection, manifests: Iterable[Manifest]) -> None:
    """List the columns of landed files that no mapping knows."""
    rows = [
        {"source": file.source, "path": file.path, "column_name": name, "first_seen_at": manifest.loaded_at}
        for manifest in manifests
        for file in manifest.files
        for name in file.unmapped
    ]
    connection.execute(f"create or replace table raw.unmapped_columns ({defined(UNMAPPED_COLUMNS)})")
    if rows:
        connection.register("unmapped", pa.Table.from_pylist(rows))
        connection.execute("insert into raw.unmapped_columns by name select * from unmapped")
        connection.unregister("unmapped")


def loaded_files(
    settings: Settings, manifests: Iterable[Manifest], published_through: int
) -> list[dict[str, Any]]:
    """Return the rows of `raw.loaded_files`: the files that the batches were made of.

    Readers have not seen the batches after `published_through`. For their files with rejects,
    `standing_path` states where the file lies now.
    """
    manifests = list(manifests)
    now = LandedNow(settings, manifests)
    return [
        {
            **{name: value for name, value in asdict(file).items() if name in LOADED_FILES},
            **{name: (file.facts or {}).get(name) for name in FACTS},
            # Batches of earlier versions do not have it among their facts.
            "covered_currency": (
                file.facts.get("covered_currency", named_currency(file.path)) if file.facts else None
            ),
            "standing_path": _standing_path(now, file) if manifest.batch_seq > published_through else None,
            "batch_seq": manifest.batch_seq,
            "loaded_at": manifest.loaded_at,
        }
        for manifest in manifests
        for file in manifest.files
    ]


def _standing_path(now: LandedNow, file: FileRecord) -> str | None:
    """Return where a file with rejects lies now, None if it is gone or has no rejects.

    Files without rejects are not searched for, because nothing needs their path.
    """
    place = next(now.places(file), None) if file.rejected else None
    return place.path if place else None


def settings_row(settings: Settings, today: date) -> dict[str, Any]:
    """Return the row of `raw.settings`: the settings that a run was started with."""
    return {
        "as_of": settings.now(),
        "today": today,
        "reporting_timezone": settings.reporting_timezone,
        "default_currency": settings.default_currency,
        "low_balance": str(settings.low_balance),
        "manual_charge_settles_on": settings.manual_charge_settles_on,
        "promo_reasons": list(settings.promo_reasons),
        "expiry_reasons": list(settings.expiry_reasons),
        "promo_first": settings.promo_first,
        "recon_grace_days": settings.recon_grace_days,
        "cost_tolerance_abs": f"{settings.cost_tolerance_abs:f}",
        "cost_tolerance_rel": f"{settings.cost_tolerance_rel:f}",
        "cost_grace_days": settings.cost_grace_days,
        "focus_provider_name": settings.focus_provider_name,
    }


def _create_settings(connection: duckdb.DuckDBPyConnection, row: dict[str, Any]) -> None:
    columns = ", ".join(f"cast(? as {kind}) as {name}" for name, kind in SETTINGS.items())
    connection.execute(
        f"create or replace table raw.settings as select {columns}", [row[name] for name in SETTINGS]
    )
    # Readers of the published file and its views read the settings, too. None of them is a secret.
    connection.execute("create or replace table ops.settings as from raw.settings")


def _create_erasures(connection: duckdb.DuckDBPyConnection, home: Home) -> None:
    """List the pseudonyms of erased persons and the times of their erasure.

    No identity of an erased person is stored anywhere.
    """
    connection.execute("create or replace table raw.erasures (pseudonym varchar, erased_at timestamptz)")
    for erasure in read_registry(home).erasures:
        if erasure.erased_at is not None:
            connection.execute(
                "insert into raw.erasures values (?, ?)", [erasure.pseudonym, erasure.erased_at]
            )


def _create_failed_pulls(connection: duckdb.DuckDBPyConnection, home: Home) -> None:
    connection.execute(f"create or replace table raw.failed_pulls ({defined(FAILED_PULLS)})")
    for failure in failed_pulls(home):
        connection.execute(
            "insert into raw.failed_pulls values (?, ?, ?)",
            [failure.source, failure.failed_at, failure.reason],
        )


def _create_periods(connection: duckdb.DuckDBPyConnection, acts: Sequence[Act]) -> None:
    """List the acts that closed and reopened months, and the booked lines of the months that are closed."""
    for name, columns, rows in (
        ("period_acts", PERIOD_ACTS, period_act_rows(acts)),
        ("booked_lines", BOOKED_LINES, booked_line_rows(acts)),
    ):
        connection.execute(f"create or replace table raw.{name} ({defined(columns)})")
        if rows:
            connection.register("period_rows", pa.Table.from_pylist(rows))
            connection.execute(f"insert into raw.{name} select {typed(columns)} from period_rows")
            connection.unregister("period_rows")


def period_act_rows(acts: Sequence[Act]) -> list[dict[str, Any]]:
    """Return the rows of `raw.period_acts`."""
    in_force = {act.number for act in closed_months(acts)}
    return [
        {
            "act_no": act.number,
            "action": act.action,
            "month_start": act.month,
            "acted_at": act.acted_at,
            "acted_by": act.acted_by,
            "note": act.note,
            "digest": act.digest,
            "lines": act.line_count,
            "is_in_force": act.number in in_force,
        }
        for act in acts
    ]


def booked_line_rows(acts: Sequence[Act]) -> list[dict[str, Any]]:
    """Return the rows of `raw.booked_lines`."""
    return [line for act in closed_months(acts) for line in booked_lines(act)]


def _create_published_breaks(connection: duckdb.DuckDBPyConnection, home: Home) -> None:
    """Copy the histories of breaks from the published file.

    They are what readers have seen. Publication replaces them together with the cases that they describe.
    """
    for table in BREAK_HISTORIES:
        connection.execute(f"create or replace table raw.{table} ({defined(BREAKS)})")
    try:
        connection.execute(f"attach {literal(str(home.published_file))} as published (read_only)")
    except duckdb.IOException:
        # The file is gone, or a process has it open for writing. The schema `build` has the histories as of
        # the time when the build file was copied.
        for table in BREAK_HISTORIES:
            connection.execute(f"insert into raw.{table} by name from build.{table}")
        return
    try:
        for table, mart in BREAK_HISTORIES.items():
            if has_mart(connection, "'published'", mart):
                connection.execute(
                    f"insert into raw.{table} by name select {', '.join(BREAKS)} from published.marts.{mart}"
                )
    finally:
        connection.execute("detach published")


def has_mart(connection: duckdb.DuckDBPyConnection, database: str, mart: str) -> bool:
    """Check whether a database (SQL for its name) has a mart. Earlier versions did not have all."""
    found = connection.execute(
        f"select 1 from duckdb_tables() where database_name = {database} and table_name = ?", [mart]
    ).fetchone()
    return found is not None
