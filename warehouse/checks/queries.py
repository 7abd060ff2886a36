"""The connection on which checks run their queries."""

from collections.abc import Sequence
from typing import Any, Protocol


class QueryResult(Protocol):
    """The result of a query, as a cursor of Python's database API."""

    @property
    def description(self) -> Sequence[Sequence[Any]] | None:
        """One sequence per column. Its first element is the name of the column."""

    def fetchone(self) -> Any:
        """Return the next row, or None after the last one."""

    def fetchall(self) -> list[Any]:
        """Return all remaining rows."""


class Queries(Protocol):
    """A connection that runs the queries of checks: to the build file, or to a build on a cluster."""

    def execute(self, query: str, /) -> QueryResult:
        """Run a query in DuckDB's SQL and return its result."""
