"""The source of an export's rows: the published file, or a cluster if the mart is too large for the file."""

from collections.abc import Collection
from contextlib import AbstractContextManager, nullcontext
from datetime import date

import duckdb

from exports.datasets import Dataset
from exports.fingerprints import HASH_ENGINE
from warehouse.published_tables import table_with_rows


class PublishedMart:
    """A mart whose rows are in the published file."""

    hash_engine = HASH_ENGINE
    sums_in_halves = False

    def __init__(self, connection: duckdb.DuckDBPyConnection, dataset: Dataset) -> None:
        """Describe the mart. Raises `NotPublishedError` if the published file does not hold its rows."""
        self.queries, self._mart = connection, dataset.mart
        self.table = table_with_rows(connection, dataset.mart)

    def rows(self, days: Collection[date | None]) -> AbstractContextManager[str]:
        """See `Mart`. The relation is the whole mart."""
        return nullcontext(f"marts.{self._mart}")
