"""The published file as a server reads it. A request keeps the file that it began with."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb

from exports.datasets import DATASETS, Dataset
from paywall_warehouse.duckdb_connections import open_duckdb
from paywall_warehouse.quoting import literal
from warehouse.publication_identity import Identity, identity_of
from warehouse.published import NotPublishedError, Published, read_published
from warehouse.published_tables import Table, published_table

# The file may be replaced while it is being opened.
ATTEMPTS = 5
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
        # Attached to a separate database: DuckDB would return a file that this process has open by that path.
        self._database = open_duckdb(config=config)
        try:
            self._database.execute(f"attach {literal(str(file))} as published (read_only)")
        except duckdb.Error as error:
            raise NotPublishedError(f"the published file cannot be opened: {error}") from error
        self._lock = threading.Lock()
        self._kept: OrderedDict[object, Any] = OrderedDict()
        with self.cursor() as cursor:
            self.published: Published = read_published(cursor)
        self.tables = self._read_tables()
        """The tables of the datasets whose rows are in the file, by dataset."""

    @contextmanager
    def cursor(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """Yield a connection of its own, with its own temporary tables."""
        with self._database.cursor() as cursor:
            cursor.execute("use published")
            cursor.execute("set TimeZone = 'UTC'")
            yield cursor

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
        self._file, self._config, self._exported = file, config, exported
        self._lock = threading.Lock()
        self._latest: Publication | None = None

    def current(self) -> Publication:
        """Return the current publication. Raises `NotPublishedError`."""
        with self._lock:
            for _ in range(ATTEMPTS):
                identity = identity_of(self._file)
                if identity is None:
                    raise NotPublishedError("nothing has been published yet")
                if self._latest is not None and self._latest.identity == identity:
                    return self._latest
                publication = Publication(self._file, identity, self._config, self._exported)
                if identity_of(self._file) == identity:
                    self._latest = publication
                    return publication
        raise NotPublishedError("the published file is being replaced again and again")

    def latest(self) -> Publication | None:
        """Return the current publication if it is open already. Does not wait."""
        latest = self._latest
        return latest if latest and latest.identity == identity_of(self._file) else None
