"""Where a cluster writes files for this machine: beside the lake, which both reach.

Nothing of it stays, not even of runs that were killed: one run at a time is at work on a home.
"""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from paywall_warehouse.quoting import file_literal
from paywall_warehouse.settings import Settings
from paywall_warehouse.uris import open_filesystem

# Below the lake; no table of the lake has such a name.
FOLDER = "_cluster"


class Exchange:
    """The folder, as the cluster and as this machine calls it."""

    def __init__(self, settings: Settings) -> None:
        self._uri = f"{settings.lake}/{FOLDER}"
        # What comes from a store is kept here while it is read.
        self._here = settings.home.tmp / "cluster" if settings.is_lake_copied else settings.home.lake / FOLDER
        self._store = open_filesystem(self._uri) if settings.is_lake_copied else None

    def location(self, name: str) -> str:
        """Where the cluster writes the files of that name; Spark's word for a folder."""
        return f"{self._uri}/{name}"

    def parquet(self, name: str) -> str:
        """SQL for DuckDB: the rows that the cluster wrote there, columns by their names."""
        if self._store:
            filesystem, root = self._store
            (self._here / name).mkdir(parents=True)
            written = filesystem.glob(f"{root}/{name}/*.parquet")
            # Given together, a store sends several at a time.
            filesystem.get(written, [str(self._here / name / path.rpartition("/")[2]) for path in written])
        return f"read_parquet({file_literal(str(self._here / name))[:-1]}/*.parquet')"

    def forget(self, name: str = "") -> None:
        """Remove what has been written there; all of it without a name."""
        shutil.rmtree(self._here / name, ignore_errors=True)
        if self._store:
            filesystem, root = self._store
            with suppress(FileNotFoundError):
                filesystem.rm(f"{root}/{name}".rstrip("/"), recursive=True)


@contextmanager
def exchange_folder(settings: Settings) -> Iterator[Exchange]:
    """A folder that is empty before, and gone afterwards."""
    exchange = Exchange(settings)
    exchange.forget()
    try:
        yield exchange
    finally:
        exchange.forget()
