"""The published file as one page sees it: held open until the page is done, whatever is published
meanwhile.
"""

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import duckdb

from paywall_warehouse.quoting import literal
from warehouse.build_file import ON_CLUSTER

Row = dict[str, Any]

# What a page needs at most: sorting a million users takes 150 MB. The process is to stay below 1 GB.
MEMORY_LIMIT = "400MB"
# Results are at most some hundred rows: all of these together are some MB.
KEPT_RESULTS = 200
# The file may be replaced while it is being opened.
TRIES = 5


class UnreadableError(Exception):
    """The published file cannot be read now; the text says why and what to do."""


@dataclass(frozen=True)
class Identity:
    """What tells a publication from another one: it is a file of its own, put in the place of the one
    before.
    """

    inode: int
    size: int
    modified_ns: int


def identity_of(file: Path) -> Identity | None:
    """The identity of what is published now; None where nothing is."""
    try:
        now = file.stat()
    except FileNotFoundError:
        return None
    return Identity(now.st_ino, now.st_size, now.st_mtime_ns)


class Snapshot:
    """One publication, opened read-only. It may be used by several threads at once, and is closed when nobody
    refers to it any more.
    """

    def __init__(self, file: Path, identity: Identity, temporary: Path) -> None:
        """Raises `UnreadableError` where DuckDB cannot open the file, it is of an earlier version, or marts
        of it are on a cluster.
        """
        self.identity = identity
        # In a database of its own: DuckDB gives whoever connects to a path that this process has open the
        # file that it knows already.
        database = duckdb.connect(config={"memory_limit": MEMORY_LIMIT, "temp_directory": str(temporary)})
        try:
            database.execute(f"attach {literal(str(file))} as published (read_only)")
        except duckdb.Error as error:
            raise UnreadableError(f"{file} cannot be opened: {error}") from error
        # Not a method: that would refer to this object, which then nobody but the garbage collector would
        # close.
        self._fetch = lru_cache(KEPT_RESULTS)(partial(_fetch, database))
        on_cluster = self.rows(
            "select string_agg(table_name, ', ') as names from duckdb_tables() where schema_name = ?",
            [ON_CLUSTER],
        )
        if names := on_cluster[0]["names"]:
            raise UnreadableError(
                f"{file} is without {names}: they have more than SPARK_PUBLISH_MAX_ROWS rows, and are on the"
                " cluster. The dashboard needs all."
            )
        if not self.rows(
            "select 1 from duckdb_functions() where schema_name = 'marts' and function_name = 'cohorts'"
        ):
            raise UnreadableError(f"{file} is of an earlier version. `paywall-warehouse run` makes it anew.")

    def rows(self, query: str, values: Sequence[Any] = ()) -> list[Row]:
        """The rows of a query. Money comes as `Decimal`, instants in UTC. What was asked lately is not read
        again.
        """
        names, rows = self._fetch(
            query, tuple(tuple(value) if isinstance(value, list) else value for value in values)
        )
        return [dict(zip(names, row, strict=True)) for row in rows]


def _fetch(
    database: duckdb.DuckDBPyConnection, query: str, values: tuple[Any, ...]
) -> tuple[list[str], list[tuple[Any, ...]]]:
    with database.cursor() as cursor:
        cursor.execute("use published")
        cursor.execute("set TimeZone = 'UTC'")
        cursor.execute(query, [list(value) if isinstance(value, tuple) else value for value in values])
        return [name for name, *_ in cursor.description or ()], cursor.fetchall()


class Publications:
    """What is published, looked at anew for every page."""

    def __init__(self, file: Path, temporary: Path) -> None:
        self._file, self._temporary = file, temporary
        self._lock = threading.Lock()
        self._latest: Snapshot | None = None

    def identity(self) -> Identity | None:
        """The identity of what is published now."""
        return identity_of(self._file)

    def current(self) -> Snapshot | None:
        """What is published now; None where nothing is. Raises `UnreadableError`."""
        with self._lock:
            for _ in range(TRIES):
                identity = self.identity()
                if identity is None:
                    return None
                if self._latest is not None and self._latest.identity == identity:
                    return self._latest
                snapshot = Snapshot(self._file, identity, self._temporary)
                if self.identity() == identity:
                    self._latest = snapshot
                    return snapshot
        raise UnreadableError(f"{self._file} is being replaced again and again; reload the page")
