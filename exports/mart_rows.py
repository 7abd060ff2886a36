"""Where the rows of an export come from: the published file, or a build on a cluster that kept a mart too
large for it.
"""

from collections.abc import Collection, Mapping
from contextlib import AbstractContextManager, nullcontext
from datetime import date
from typing import Protocol

import duckdb

from exports.datasets import Dataset, Table, table_with_rows
from exports.fingerprints import Contents, read_contents


class Mart(Protocol):
    """The rows of one dataset, as they are published."""

    @property
    def table(self) -> Table:
        """Its columns and their descriptions."""

    def contents(self) -> Mapping[date | None, Contents]:
        """Its partitions in order of their days."""

    def rows(self, days: Collection[date | None]) -> AbstractContextManager[str]:
        """SQL for DuckDB: a relation that has all rows of some partitions; it may have more."""


class PublishedMart:
    """A mart of the published file; raises `NotPublishedError` where its rows are not in it."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, dataset: Dataset) -> None:
        self._connection, self._dataset = connection, dataset
        self.table = table_with_rows(connection, dataset)

    def contents(self) -> Mapping[date | None, Contents]:
        """See `Mart`."""
        return read_contents(self._connection, self._dataset, self.table)

    def rows(self, days: Collection[date | None]) -> AbstractContextManager[str]:
        """See `Mart`; the whole mart."""
        return nullcontext(f"marts.{self._dataset.mart}")
