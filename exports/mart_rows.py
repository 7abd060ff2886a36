"""The source of an export's rows: the published file, or a cluster if the mart is too large for the file."""

from collections.abc import Collection
from contextlib import AbstractContextManager, nullcontext
from datetime import date
from typing import Protocol

import duckdb

from exports.datasets import Dataset
from exports.fingerprints import HASH_ENGINE
from warehouse.checks.invariant import Queries
from warehouse.published_tables import Table, table_with_rows


class Mart(Protocol):
    """The published rows of one dataset, and the engine that holds them."""

    @property
    def table(self) -> Table:
        """Its columns and their descriptions."""

    @property
    def queries(self) -> Queries:
        """The engine that holds the rows. It answers queries over the schema `marts`."""

    @property
    def hash_engine(self) -> str:
        """The name of the engine's hash function. Fingerprints of different engines cannot be compared."""

    @property
    def sums_in_halves(self) -> bool:
        """Whether whole units and fractions need sums of their own (see `read_totals`)."""

    def rows(self, days: Collection[date | None]) -> AbstractContextManager[str]:
        """Provide SQL for DuckDB: a relation with all rows of some partitions, and perhaps of others."""


class PublishedMart:
    """A mart whose rows are in the published file."""

    hash_engine = HASH_ENGINE
    sums_in_halves = False

    def __init__(self, connection: duckdb.DuckDBPyConnection, dataset: Dataset) -> None:
        """Raises `NotPublishedError` if the published file does not hold the rows."""
        self.queries, self._mart = connection, dataset.mart
        self.table = table_with_rows(connection, dataset.mart)

    def rows(self, days: Collection[date | None]) -> AbstractContextManager[str]:
        """See `Mart`. The relation is the whole mart."""
        return nullcontext(f"marts.{self._mart}")
