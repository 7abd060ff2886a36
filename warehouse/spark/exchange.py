"""The exchange folder, where a cluster writes files for this machine.

It is below the lake, which both can read. Only one run at a time works on a home, so leftovers of killed runs
are removed too.
"""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from paywall_warehouse.quoting import file_literal
from paywall_warehouse.settings import Settings
from paywall_warehouse.uris import open_filesystem

# No table of the lake has this name.
FOLDER = "_cluster"


class Exchange:
    """The exchange folder, with its location for the cluster and for this machine."""

    def __init__(self, settings: Settings) -> None:
        self._uri = f"{settings.lake}/{FOLDER}"
        # Files on an object store are downloaded to this folder.
        self._here = settings.home.tmp / "cluster" if settings.is_lake_copied else settings.home.lake / FOLDER
        self._store = open_filesystem(self._uri) if settings.is_lake_copied else None

    def location(self, name: str) -> str:
        """Return the location for Spark of a folder with that name."""
        return f"{self._uri}/{name}"

    def parquet(self, name: str) -> str:
        """Return SQL for DuckDB: a relation with the rows that the cluster wrote to that folder."""
        if self._store:
            filesystem, root = self._store
            (self._here / name).mkdir(parents=True)
            written = filesystem.glob(f"{root}/{name}/*.parquet")
            # One call for all files, so that several are downloaded at a time.
            filesystem.get(written, [str(self._here / name / path.rpartition("/")[2]) for path in written])
        return f"read_parquet({file_literal(str(self._here / name))[:-1]}/*.parquet')"

    def forget(self, name: str = "") -> None:
        """Remove the folder with that name, or all of them without a name."""
        shutil.rmtree(self._here / name, ignore_errors=True)
        if self._store:
            filesystem, root = self._store
            with suppress(FileNotFoundError):
                filesystem.rm(f"{root}/{name}".rstrip("/"), recursive=True)


@contextmanager
def exchange_folder(settings: Settings) -> Iterator[Exchange]:
    """Provide an empty exchange folder and remove it afterwards."""
    exchange = Exchange(settings)
    exchange.forget()
    try:
        yield exchange
    finally:
        exchange.forget()
