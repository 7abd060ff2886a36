"""The published file as a server reads it. A request keeps the file that it began with."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Collection, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import duckdb

from exports.datasets import DATASETS, Dataset
from warehouse.current_publication import CurrentPublication, Identity, OpenPublication, ReplacedAgainError
from warehouse.published import NotPublishedError, Published, read_published
from warehouse.published_tables import Table, published_table

# Descriptions of datasets. One has about a hundred bytes for each of its days.
KEPT = 200


class Publication:
    """One publication, opened read-only, for several threads. It is closed when nothing refers to it."""

    def __init__(
        self, file: Path, identity: Identity, config: Mapping[str, Any], exported: Collection[str] = ()
    ) -> None:
        """Open the file. Raises `NotPublishedError` if that fails, or if an earlier version wrote it.

        `exported` are the datasets with files in the export.
        """
        self.identity, self.exported = identity, exported
        try:
            self._file = OpenPublication(file, config)
        except duckdb.Error as error:
            raise NotPublishedError(f"the published file cannot be opened: {error}") from error
        self._lock = threading.Lock()
        self._kept: OrderedDict[object, Any] = OrderedDict()
        with self.cursor() as cursor:
            self.published: Published = read_published(cursor)
        self.tables = self._read_tables()
        """The tables of the datasets whose rows are in the file, by dataset."""

    def cursor(self) -> AbstractContextManager[duckdb.DuckDBPyConnection]:
        """Return a connection of its own, with its own temporary tables."""
        return self._file.cursor()

    def _read_tables(self) -> Mapping[str, Table]:
        tables = {}
        with self.cursor() as cursor:
            for dataset in DATASETS.values():
                if (table := _table(cursor, dataset)) is not None:
                    tables[dataset.name] = table
        return tables

    def kept(self, key: object, compute: Callable[[], Any]) -> Any:
        """Return a result that is computed once for this publication, and kept among the last ones."""
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
        result = compute()
        with self._lock:
            self._kept[key] = result
            while len(self._kept) > KEPT:
                self._kept.popitem(last=False)
        return result


def _table(cursor: duckdb.DuckDBPyConnection, dataset: Dataset) -> Table | None:
    try:
        table = published_table(cursor, dataset.mart, dataset.schema)
    except NotPublishedError:  # an earlier version wrote the file
        return None
    return None if table.is_on_cluster else table


class Publications:
    """The published file, checked for a newer one for every request."""

    def __init__(self, file: Path, config: Mapping[str, Any], exported: Collection[str]) -> None:
        """Read the file. `exported` are the datasets with files in the export."""
        self._current = CurrentPublication(
            file, lambda identity: Publication(file, identity, config, exported)
        )

    def current(self) -> Publication:
        """Return the current publication. Raises `NotPublishedError`."""
        try:
            publication = self._current.get()
        except ReplacedAgainError:
            raise NotPublishedError("the published file is being replaced again and again") from None
        if publication is None:
            raise NotPublishedError("nothing has been published yet")
        return publication

    def latest(self) -> Publication | None:
        """Return the current publication if it is open already. Does not wait."""
        return self._current.get_open()
