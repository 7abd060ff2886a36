"""Transfers from a store that may be slow, endless or hostile, limited in length and in time."""

import stat
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import IO, Any, TypeVar

from fsspec.implementations.local import LocalFileSystem

PIECE_BYTES = 1 << 20
# A store that throttles answers within seconds. A proxy in between gives up after a minute.
STALL_SECONDS = 60.0
# A modem is five times as fast.
SLOWEST_BYTES_A_SECOND = 1_000
CHECK_SECONDS = 1.0
REFUSED = (401, 403)
Result = TypeVar("Result")


class TooLargeError(Exception):
    """A file has more bytes than allowed. The message says how many."""


class StalledError(ConnectionError):
    """No more bytes arrive, or too few."""


def read_bytes(filesystem: Any, path: str, limit: int) -> bytes:
    """Return the content of a small file. Raises `TooLargeError` if it has more than `limit` bytes."""
    return _watched(lambda watch: b"".join(_pieces(filesystem, path, 0, limit, watch)))


def fetch(filesystem: Any, path: str, partial: Path, length: int) -> None:
    """Write a file of `length` bytes to `partial`, or complete what is there.

    Raises `TooLargeError` if the file has more bytes, and `ValueError` or `NotImplementedError` if the store
    cannot continue a file.
    """
    begin = partial.stat().st_size if partial.exists() else 0
    if begin > length:
        raise ValueError(f"{begin} bytes of {length} are there")
    if isinstance(filesystem, LocalFileSystem):
        _check_local(path, length)
        if not begin:
            filesystem.get_file(path, str(partial))
            return
    _watched(lambda watch: _append(filesystem, path, partial, begin, length, watch))


def _append(filesystem: Any, path: str, partial: Path, begin: int, length: int, watch: "_Watch") -> None:
    # Unbuffered: the next attempt finds every byte that arrived, and an abandoned transfer has none left to
    # write.
    with partial.open("ab", buffering=0) as target:
        for piece in _pieces(filesystem, path, begin, length, watch):
            target.write(piece)


def _check_local(path: str, length: int) -> None:
    """Raise `TooLargeError` for a larger file, and for a pipe or device, which may never end."""
    found = Path(path).stat()
    if not stat.S_ISREG(found.st_mode):
        raise TooLargeError("is no regular file")
    if found.st_size > length:
        raise TooLargeError(f"has {found.st_size:,} bytes instead of {length:,}")


def _pieces(filesystem: Any, path: str, begin: int, limit: int, watch: "_Watch") -> Iterator[bytes]:
    """Yield the bytes from `begin` on. Reads at most one byte beyond `limit`."""
    if isinstance(filesystem, LocalFileSystem) and not Path(path).is_file():
        Path(path).stat()
        raise TooLargeError("is no regular file")
    with _opened(filesystem, path, begin) as source:
        at = begin
        # One byte beyond the limit shows whether the file goes on.
        while piece := source.read(min(PIECE_BYTES, limit + 1 - at)):
            at += len(piece)
            watch.received(len(piece))
            if at > limit:
                raise TooLargeError(f"has more than {limit:,} bytes")
            yield piece


def _opened(filesystem: Any, path: str, begin: int) -> IO[bytes]:
    protocols = [filesystem.protocol] if isinstance(filesystem.protocol, str) else filesystem.protocol
    if "http" in protocols or "https" in protocols:
        return _streamed(filesystem, path, begin)
    source: IO[bytes] = filesystem.open(path, "rb", block_size=PIECE_BYTES)
    source.seek(begin)
    return source


def _streamed(filesystem: Any, path: str, begin: int) -> IO[bytes]:
    """Open the file as one response that is read as it arrives.

    fsspec would read a whole block, however long the server makes it.
    """
    import aiohttp  # noqa: PLC0415  installed wherever the file system is

    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={begin}-"} if begin else {})
    # Longer than `_watched` waits: it ends abandoned transfers.
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=2 * STALL_SECONDS, sock_read=2 * STALL_SECONDS)
    try:
        source = filesystem.open(path, "rb", block_size=0, size=1, headers=headers, timeout=timeout)
    except aiohttp.ClientResponseError as error:
        if error.status in REFUSED:
            raise PermissionError(
                f"the server refuses it ({error.status}): the token is not valid there or may not see it"
            ) from error
        if begin:
            raise ValueError(f"the server does not continue a file: {error.status}") from error
        raise
    if begin and (
        source.r.status != 206 or not source.r.headers.get("Content-Range", "").startswith(f"bytes {begin}-")
    ):
        source.close()
        raise ValueError("the server does not continue a file")
    return source  # type: ignore[no-any-return]


class _Watch:
    """The progress of a transfer, and whether it was abandoned."""

    def __init__(self) -> None:
        self._begin = self._latest = time.monotonic()
        self._bytes = 0
        self._is_abandoned = False

    def received(self, length: int) -> None:
        """Record bytes that arrived.

        Raises `StalledError` in an abandoned transfer: another one may be writing the same file by now.
        """
        if self._is_abandoned:
            raise StalledError("the transfer was abandoned")
        self._latest = time.monotonic()
        self._bytes += length

    def check(self) -> None:
        """Abandon the transfer and raise `StalledError` if it has stalled or is too slow."""
        now = time.monotonic()
        if now - self._latest > STALL_SECONDS:
            self._is_abandoned = True
            raise StalledError(f"no data for {STALL_SECONDS:.0f} s")
        if now - self._begin > STALL_SECONDS + self._bytes / SLOWEST_BYTES_A_SECOND:
            self._is_abandoned = True
            raise StalledError(f"only {self._bytes:,} bytes in {now - self._begin:.0f} s")


def _watched(transfer: Callable[[_Watch], Result]) -> Result:
    """Run a transfer in another thread, and abandon it when it stalls.

    Not every store has time-outs of its own.
    """
    watch, done = _Watch(), Future[Result]()

    def run() -> None:
        try:
            done.set_result(transfer(watch))
        except BaseException as error:  # raised in the waiting thread
            done.set_exception(error)

    # A daemon thread, so that the program does not wait for abandoned transfers when it ends.
    threading.Thread(target=run, daemon=True, name="transfer").start()
    while not done.done():
        try:
            return done.result(timeout=CHECK_SECONDS)
        except TimeoutError:
            if not done.done():
                watch.check()
    return done.result()
