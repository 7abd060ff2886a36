"""What an export needs of a published mart, wherever its rows are."""

from collections.abc import Collection
from contextlib import AbstractContextManager
from datetime import date
from typing import Protocol

from warehouse.checks.queries import Queries
from warehouse.published_tables import Table


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
        """Whether whole units and fractions have separate sums (see `exports.fingerprints.read_totals`)."""

    def rows(self, days: Collection[date | None]) -> AbstractContextManager[str]:
        """Provide SQL for DuckDB: a relation with all rows of some partitions, and perhaps of others."""
