"""What is published: the file that exports read, and the run that made it."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path

import duckdb

from paywall_warehouse.duckdb_connections import open_duckdb
from paywall_warehouse.quoting import literal
from paywall_warehouse.settings import Settings
from warehouse.runs import PUBLISHED


class NotPublishedError(Exception):
    """There is no published warehouse, or none that can be exported; the text says what to do."""


@dataclass(frozen=True)
class Published:
    """The run that made the published file. Instants are UTC."""

    run_id: str
    published_at: datetime
    as_of: datetime
    reporting_timezone: str


@contextmanager
def published_warehouse(settings: Settings, spill: Path | None = None) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection to the published file, read-only and in UTC.

    It keeps seeing the file that it opened when another one is published meanwhile. Rows come and are written
    in the order that a query asks for; what DuckDB cannot keep in memory goes to `spill`, else into the home.
    Raises `NotPublishedError` where there is no file.
    """
    path = settings.home.published_file
    if not path.exists():
        raise NotPublishedError(
            f"{path} does not exist: nothing has been published yet. `paywall-warehouse run` publishes."
        )
    config = settings.duckdb_config() | {"preserve_insertion_order": "true"}
    if spill is not None:
        config["temp_directory"] = str(spill)
    # Attached to a database in memory, in which several cursors can share what is sorted: a temporary table
    # is one connection's own.
    with open_duckdb(config=config) as connection:
        try:
            connection.execute(f"attach {literal(str(path))} as published (read_only)")
        except duckdb.Error as error:
            raise NotPublishedError(f"{path} cannot be opened: {error}") from error
        connection.execute("use published")
        yield connection


def read_published(connection: duckdb.DuckDBPyConnection) -> Published:
    """The run that published this file; raises `NotPublishedError` for a file of an earlier version."""
    try:
        row = connection.execute(
            """select run_id, finished_at, as_of, reporting_timezone from ops.runs cross
                join (select reporting_timezone from ops.settings)
            where status = ? order by ops.runs.rowid desc limit 1""",
            [PUBLISHED],
        ).fetchone()
    except duckdb.CatalogException:
        row = None
    if row is None:
        raise NotPublishedError(
            "The published file is of an earlier version. `paywall-warehouse run --full-refresh` makes it"
            " anew."
        )
    return Published(*row)


def erasure_times(connection: duckdb.DuckDBPyConnection) -> list[datetime]:
    """When persons were erased, in order; a file of an earlier version tells of none."""
    try:
        return [
            at
            for (at,) in connection.execute(
                "select distinct erased_at from ops.erasures order by 1"
            ).fetchall()
        ]
    except duckdb.CatalogException:
        return []


def last_batch_shown(settings: Settings) -> int:
    """The last batch of the lake that readers see; -1 where there is no published file, or one of an earlier
    version.
    """
    try:
        with published_warehouse(settings) as connection:
            return int(connection.execute("select built_through from ops.build_state").fetchall()[0][0])
    except (NotPublishedError, duckdb.CatalogException):
        return -1


def published_run(settings: Settings) -> str | None:
    """The id of the run that made the published file; None where there is none that can be exported."""
    try:
        with published_warehouse(settings) as connection:
            return read_published(connection).run_id
    except NotPublishedError:
        return None


def ledger_days(connection: duckdb.DuckDBPyConnection) -> tuple[date, date] | None:
    """Return the first and the last reporting day that the ledger has, today included; None where the file
    does not tell.
    """
    try:
        first, last = connection.execute(
            "select min(date_day), max(date_day) from marts.dim_dates"
        ).fetchall()[0]
    except duckdb.CatalogException:  # of an earlier version
        return None
    return (first, last) if first else None
