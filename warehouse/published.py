"""The published file, which exports read, and the run that published it."""

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
    """There is no published warehouse, or it cannot be exported. The text states the remedy."""


@dataclass(frozen=True)
class Published:
    """The run that published the file. Instants are UTC."""

    run_id: str
    published_at: datetime
    as_of: datetime
    reporting_timezone: str


@contextmanager
def published_warehouse(settings: Settings, spill: Path | None = None) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open the published file, read-only and in UTC.

    The connection keeps the file that it opened, also when another one is published meanwhile. Rows are
    returned and written in the order that a query states. DuckDB writes data that exceeds its memory to the
    folder `spill`, by default to one in the home. Raises `NotPublishedError` if there is no file.
    """
    path = settings.home.published_file
    if not path.exists():
        raise NotPublishedError(
            f"{path} does not exist: nothing has been published yet. `paywall-warehouse run` publishes."
        )
    config = settings.duckdb_config() | {"preserve_insertion_order": "true"}
    if spill is not None:
        config["temp_directory"] = str(spill)
    # Attached to a database in memory, where several cursors can share sorted tables. Temporary tables belong
    # to one connection.
    with open_duckdb(config=config) as connection:
        try:
            connection.execute(f"attach {literal(str(path))} as published (read_only)")
        except duckdb.Error as error:
            raise NotPublishedError(f"{path} cannot be opened: {error}") from error
        connection.execute("use published")
        yield connection


def read_published(connection: duckdb.DuckDBPyConnection) -> Published:
    """Return the run that published this file; raise `NotPublishedError` if an earlier version wrote it."""
    try:
        row = connection.execute(
            """select run_id, finished_at, as_of, reporting_timezone
            from ops.runs
            cross join (select reporting_timezone from ops.settings)
            where status = ?
            order by ops.runs.rowid desc
            limit 1""",
            [PUBLISHED],
        ).fetchone()
    except duckdb.CatalogException:
        row = None
    if row is None:
        raise NotPublishedError(
            "An earlier version wrote the published file. Rebuild it with"
            " `paywall-warehouse run --full-refresh`."
        )
    return Published(*row)


def erasure_times(connection: duckdb.DuckDBPyConnection) -> list[datetime]:
    """Return when persons were erased, in order; empty for a file of an earlier version."""
    try:
        rows = connection.execute("select distinct erased_at from ops.erasures order by 1").fetchall()
    except duckdb.CatalogException:
        return []
    return [erased_at for (erased_at,) in rows]


def last_published_batch(settings: Settings) -> int:
    """Return the last batch in the published file; -1 if there is no file or an earlier version wrote it."""
    try:
        with published_warehouse(settings) as connection:
            return int(connection.execute("select built_through from ops.build_state").fetchall()[0][0])
    except (NotPublishedError, duckdb.CatalogException):
        return -1


def published_run(settings: Settings) -> str | None:
    """Return the id of the run that published the file; None if there is no file that can be exported."""
    try:
        with published_warehouse(settings) as connection:
            return read_published(connection).run_id
    except NotPublishedError:
        return None


def ledger_days(connection: duckdb.DuckDBPyConnection) -> tuple[date, date] | None:
    """Return the first and the last reporting day of the ledger, today included.

    Return None if the ledger is empty or an earlier version wrote the file.
    """
    try:
        first, last = connection.execute(
            "select min(date_day), max(date_day) from marts.dim_dates"
        ).fetchall()[0]
    except duckdb.CatalogException:  # an earlier version wrote the file
        return None
    return (first, last) if first else None
