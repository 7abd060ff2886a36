"""The published file, for processes that keep it open while other processes replace it."""

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import duckdb

from paywall_warehouse.duckdb_connections import open_duckdb
from paywall_warehouse.quoting import literal

# The file may be replaced while it is being opened.
ATTEMPTS = 5


@dataclass(frozen=True)
class Identity:
    """The identity of a publication. Each one is a new file, which replaces the previous one."""

    inode: int
    size: int
    modified_ns: int


def identity_of(file: Path) -> Identity | None:
    """Return the identity of the published file, None if there is none."""
    try:
        now = file.stat()
    except FileNotFoundError:
        return None
    return Identity(now.st_ino, now.st_size, now.st_mtime_ns)


class OpenPublication:
    """A published file, opened read-only for several threads. It is closed when nothing refers to it."""

    def __init__(self, file: Path, config: Mapping[str, Any]) -> None:
        """Open the file with DuckDB's settings `config`. Raises `duckdb.Error`."""
        # Attached to a separate database: when this process connects to a path that it has open, DuckDB
        # returns the file that is already open.
        self._database = open_duckdb(config=config)
        self._database.execute(f"attach {literal(str(file))} as published (read_only)")

    @contextmanager
    def cursor(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """Yield a connection of its own, with its own temporary tables. Instants are UTC."""
        with self._database.cursor() as cursor:
            cursor.execute("use published")
            cursor.execute("set TimeZone = 'UTC'")
            yield cursor


class ReplacedAgainError(Exception):
    """The file was replaced each time while it was being opened."""


Opened = TypeVar("Opened")


class CurrentPublication(Generic[Opened]):
    """What was last opened of the published file, until another publication replaces it."""

    def __init__(self, file: Path, opened: Callable[[Identity], Opened]) -> None:
        """Read `file`, of which `opened` opens the publication with that identity."""
        self._file, self._opened = file, opened
        self._lock = threading.Lock()
        self._latest: tuple[Identity, Opened] | None = None

    def identity(self) -> Identity | None:
        """Return the identity of the published file, None if there is none."""
        return identity_of(self._file)

    def get(self) -> Opened | None:
        """Return the current publication, None if there is none.

        Raises `ReplacedAgainError` and the errors of `opened`.
        """
        with self._lock:
            for _ in range(ATTEMPTS):
                identity = self.identity()
                if identity is None:
                    return None
                if self._latest is not None and self._latest[0] == identity:
                    return self._latest[1]
                opened = self._opened(identity)
                if self.identity() == identity:
                    self._latest = identity, opened
                    return opened
        raise ReplacedAgainError

    def get_open(self) -> Opened | None:
        """Return the current publication if it is open already. Does not wait."""
        latest = self._latest
        return latest[1] if latest is not None and latest[0] == self.identity() else None
