"""Limits on the time of a query and on the file that it writes. DuckDB has neither by itself."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import duckdb

from exports.server.answers import ApiError
from paywall_warehouse.sizes import size

CHECK_SECONDS = 0.05


@dataclass
class Deadline:
    """The limits of one request."""

    seconds: float
    file_bytes: int

    def __post_init__(self) -> None:
        self._ends_at = time.monotonic() + self.seconds

    @contextmanager
    def watching(self, cursor: duckdb.DuckDBPyConnection, file: Path | None = None) -> Iterator[None]:
        """Interrupt the queries of a block that reach a limit. Raises `ApiError` then."""
        done = threading.Event()
        faults: list[ApiError] = []

        def watch() -> None:
            while not done.wait(CHECK_SECONDS):
                if time.monotonic() > self._ends_at:
                    faults.append(self._too_slow())
                elif file is not None and _size(file) > self.file_bytes:
                    faults.append(self.too_large())
                if faults:
                    cursor.interrupt()

        watcher = threading.Thread(target=watch, daemon=True, name="deadline")
        watcher.start()
        try:
            yield
        except duckdb.InterruptException as error:
            raise (faults[0] if faults else self._too_slow()) from error
        finally:
            done.set()
            watcher.join()

    def too_large(self) -> ApiError:
        """Return the error for a response that is too large."""
        return ApiError(
            413, f"the response would have more than {size(self.file_bytes)}; request fewer days or columns"
        )

    def _too_slow(self) -> ApiError:
        return ApiError(
            503,
            f"the slice took more than {self.seconds:g} s; request fewer days, or a limit",
        )


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except OSError:
        return 0
