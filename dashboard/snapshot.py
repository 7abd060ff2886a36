"""The published file as a page reads it. A page keeps its file, even if another one is published."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import duckdb

from warehouse.build_file import ON_CLUSTER
from warehouse.current_publication import CurrentPublication, Identity, OpenPublication, ReplacedAgainError

Row = dict[str, Any]
Fetched = tuple[list[str], list[tuple[Any, ...]]]

# More than any page needs: sorting a million users takes 150 MB. The process must stay below 1 GB.
MEMORY_LIMIT = "400MB"
# The results that are kept. A value takes at most some hundred bytes, so that all of them take some 50 MB.
CACHED_RESULTS, CACHED_VALUES = 1000, 500_000
# Small queries are mostly planned, on one core, while the script waits.
_AHEAD = ThreadPoolExecutor(3, thread_name_prefix="ahead")


class UnreadableError(Exception):
    """The published file cannot be read now. The message says why and what to do."""


class Snapshot:
    """One publication, opened read-only.

    Several threads may use it at once. It is closed when nothing refers to it any more.
    """

    def __init__(self, file: Path, identity: Identity, temporary: Path) -> None:
        """Open the file. Raises `UnreadableError` if that fails, or if it is too old or lacks marts."""
        self.identity = identity
        try:
            publication = OpenPublication(
                file, {"memory_limit": MEMORY_LIMIT, "temp_directory": str(temporary)}
            )
        except duckdb.Error as error:
            raise UnreadableError(f"{file} cannot be opened: {error}") from error
        self._results = _Results(publication)
        on_cluster = self.rows(
            "select string_agg(table_name, ', ') as names from duckdb_tables() where schema_name = ?",
            [ON_CLUSTER],
        )
        if names := on_cluster[0]["names"]:
            raise UnreadableError(
                f"{file} does not contain {names}, which have more than SPARK_PUBLISH_MAX_ROWS rows and stay"
                " on the cluster. The dashboard needs all marts."
            )
        if not self.rows(
            "select 1 from duckdb_functions() where schema_name = 'marts' and function_name = 'kpis'"
            " and list_contains(parameters, 'until')"
        ):
            raise UnreadableError(
                f"{file} was written by an earlier version. Rebuild it with `paywall-warehouse run`."
            )

    def rows(self, query: str, values: Sequence[Any] = ()) -> list[Row]:
        """Return the rows of a query. Money is `Decimal`, instants are UTC. Recent results are cached."""
        hashable = tuple(tuple(value) if isinstance(value, list) else value for value in values)
        names, rows = self._results.fetched(query, hashable)
        return [dict(zip(names, row, strict=True)) for row in rows]

    def ahead(self, question: "Question") -> None:
        """Begin to answer a question beside the caller.

        Whoever asks the same later waits only for what is left. An error is raised then, not here.
        """
        _AHEAD.submit(question, self)


Question = Callable[[Snapshot], object]
"""A query of a page. It calls `rows`, which keeps the result."""


class _Results:
    """The results that were used last. Their number and that of their values are limited."""

    def __init__(self, publication: OpenPublication) -> None:
        self._publication = publication
        self._lock = threading.Lock()
        self._kept: OrderedDict[tuple[str, tuple[Any, ...]], _Result] = OrderedDict()

    def fetched(self, query: str, values: tuple[Any, ...]) -> Fetched:
        """Return the names of the columns, and the rows."""
        key = query, values
        with self._lock:
            if key not in self._kept:
                self._kept[key] = _Result(self._publication, query, values)
            self._kept.move_to_end(key)
            result = self._kept[key]
        fetched = result.fetched()
        with self._lock:
            while len(self._kept) > CACHED_RESULTS or self.values > CACHED_VALUES:
                self._kept.popitem(last=False)
        return fetched

    @property
    def values(self) -> int:
        """The number of values in all results."""
        return sum(result.size for result in self._kept.values())


class _Result:
    """The result of a query. Whoever asks first fetches it, and others wait."""

    def __init__(self, publication: OpenPublication, query: str, values: tuple[Any, ...]) -> None:
        self._publication, self._query, self._values = publication, query, values
        self._lock = threading.Lock()
        self._fetched: Fetched | None = None
        self.size = 0
        """The number of values, 0 until they are fetched."""

    def fetched(self) -> Fetched:
        """Return the names of the columns, and the rows."""
        with self._lock:
            if self._fetched is None:
                with self._publication.cursor() as cursor:
                    values = [list(value) if isinstance(value, tuple) else value for value in self._values]
                    cursor.execute(self._query, values)
                    names = [name for name, *_ in cursor.description or ()]
                    self._fetched = names, cursor.fetchall()
                    self.size = len(names) * len(self._fetched[1])
            return self._fetched


class Publications:
    """The published file, checked for a newer one for every page."""

    def __init__(self, file: Path, temporary: Path) -> None:
        self._file = file
        self._current = CurrentPublication(file, lambda identity: Snapshot(file, identity, temporary))

    def identity(self) -> Identity | None:
        """Return the identity of the published file, None if there is none."""
        return self._current.identity()

    def current(self) -> Snapshot | None:
        """Return the current publication, None if there is none. Raises `UnreadableError`."""
        try:
            return self._current.get()
        except ReplacedAgainError:
            raise UnreadableError(
                f"{self._file} is being replaced again and again; reload the page"
            ) from None
