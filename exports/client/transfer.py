"""Bytes from a store that may be slow, endless or hostile: bounded in length and in time."""

import stat
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import IO, Any, TypeVar

from fsspec.implementations.local import LocalFileSystem

PIECE_BYTES = 1 << 20
# A store that throttles answers within seconds; a proxy in between gives up after a minute.
STALL_SECONDS = 60.0
# A mirror over a modem is five times as fast.
SLOWEST_BYTES_A_SECOND = 1_000
CHECK_SECONDS = 1.0
Result = TypeVar("Result")


class TooLargeError(Exception):
    """A file has more bytes than it may have; the text says how many."""


class StalledError(ConnectionError):
    """No bytes come any more, or too few."""


def read_bytes(filesystem: Any, path: str, limit: int) -> bytes:
    """Return the content of a small file; raises `TooLargeError` where it has more than `limit` bytes."""
    return _watched(lambda watch: b"".join(_pieces(filesystem, path, 0, limit, watch)))


def fetch(filesystem: Any, path: str, partial: Path, length: int) -> None:
    """Write a file of `length` bytes to `partial`, or complete what is there.

    Raises `TooLargeError` where the file has more, `ValueError` or `NotImplementedError` where the store
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
    # What has come is there at once for the next try, and what has been given up has nothing left to write.
    with partial.open("ab", buffering=0) as target:
        for piece in _pieces(filesystem, path, begin, length, watch):
            target.write(piece)


def _check_local(path: str, length: int) -> None:
    """A pipe never ends, and a device may not."""
    found = Path(path).stat()
    if not stat.S_ISREG(found.st_mode):
        raise TooLargeError("is no regular file")
    if found.st_size > length:
        raise TooLargeError(f"has {found.st_size:,} bytes instead of {length:,}")


def _pieces(filesystem: Any, path: str, begin: int, limit: int, watch: "_Watch") -> Iterator[bytes]:
    """Yield the bytes from `begin` on; nothing is asked for beyond one byte more than `limit`."""
    if isinstance(filesystem, LocalFileSystem) and not Path(path).is_file():
        Path(path).stat()
        raise TooLargeError("is no regular file")
    with _opened(filesystem, path, begin) as source:
        at = begin
        # The byte behind the last one tells a file that ends from one that goes on.
        while piece := source.read(min(PIECE_BYTES, limit + 1 - at)):
            at += len(piece)
            watch.came(len(piece))
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
    """As one answer that is read as it comes: fsspec would take a whole block, however long the server makes
    it.
    """
    import aiohttp  # noqa: PLC0415  whoever has the file system has it

    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={begin}-"} if begin else {})
    # Longer than anybody waits here: it ends what has been given up.
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=2 * STALL_SECONDS, sock_read=2 * STALL_SECONDS)
    try:
        source = filesystem.open(path, "rb", block_size=0, size=1, headers=headers, timeout=timeout)
    except aiohttp.ClientResponseError as error:
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
    """How much has come, and when; whether anybody still waits for it."""

    def __init__(self) -> None:
        self._begin = self._latest = time.monotonic()
        self._bytes = 0
        self._is_abandoned = False

    def came(self, length: int) -> None:
        """Note what has come. Ends the transfer where nobody waits any more: another may have begun on the
        same file.
        """
        if self._is_abandoned:
            raise StalledError("nobody waits any more")
        self._latest = time.monotonic()
        self._bytes += length

    def check(self) -> None:
        """Raise `StalledError` where waiting has no end."""
        now = time.monotonic()
        if now - self._latest > STALL_SECONDS:
            self._is_abandoned = True
            raise StalledError(f"nothing has come for {STALL_SECONDS:.0f} s")
        if now - self._begin > STALL_SECONDS + self._bytes / SLOWEST_BYTES_A_SECOND:
            self._is_abandoned = True
            raise StalledError(f"only {self._bytes:,} bytes have come in {now - self._begin:.0f} s")


def _watched(transfer: Callable[[_Watch], Result]) -> Result:
    """Run a transfer beside this thread, which stops waiting for it when it stalls: not every store has
    time-outs of its own.
    """
    watch, done = _Watch(), Future[Result]()

    def run() -> None:
        try:
            done.set_result(transfer(watch))
        except BaseException as error:  # it is raised where it is waited for
            done.set_exception(error)

    # A daemon: a program does not wait at its end for what nobody waits for.
    threading.Thread(target=run, daemon=True, name="transfer").start()
    while not done.done():
        try:
            return done.result(timeout=CHECK_SECONDS)
        except TimeoutError:
            if not done.done():
                watch.check()
    return done.result()
