"""Segments: files of the landing area to which deliveries are appended until they are sealed for a load.

The name of an open segment ends in `.part`, which no load reads. The process that holds the lock of the open
file may seal it: the receiver that writes it, a run that begins, or the next receiver after a crash. The
operating system releases the lock of a process that dies.
"""

import errno
import fcntl
import logging
import os
import stat
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

from ingestion.landing.area import Landing
from ingestion.receiver.deliveries import Delivery
from paywall_warehouse.files import fsync_path, private
from paywall_warehouse.quoting import printable

log = logging.getLogger(__name__)

FOLDER = "events/received"
OPEN = ".jsonl.part"
TAIL_BYTES = 64 << 10
# More than the blocks that file systems reserve.
PROBE_BYTES = 64 << 10


class SegmentWriter:
    """Appends deliveries to a segment of its own. Only one thread may use it."""

    def __init__(self, landing: Path, max_bytes: int, max_seconds: float) -> None:
        """Seal a segment when it has `max_bytes`, or when its first delivery is `max_seconds` old."""
        self._folder = landing / FOLDER
        self._max_bytes = max_bytes
        self._max_seconds = max_seconds
        self._segment: _Segment | None = None

    def append(self, deliveries: Sequence[Delivery]) -> list[bool]:
        """Store deliveries durably, and return for each whether it was new to its segment.

        Raises `OSError` on failure: then none of them counts as stored, and the next ones go to another
        segment.
        """
        stored: list[bool] = []
        lines: list[bytes] = []
        segment = self._locked()
        try:
            for one in deliveries:
                known = segment.contents.get(one.event_id) if one.event_id else None
                if known is not None and known != one.content:
                    # The same event with another content: both are kept, in different segments.
                    segment.write(lines)
                    lines = []
                    self._segment = None
                    segment.seal()
                    segment = self._locked()
                    known = None
                stored.append(known is None)
                if known is None:
                    lines.append(one.line)
                    if one.event_id:
                        segment.contents[one.event_id] = one.content
            segment.write(lines)
        except BaseException:
            # The state of the file after a failed write or fsync is unknown.
            self._segment = None
            segment.abandon()
            raise
        if segment.size < self._max_bytes and not self._is_old():
            segment.unlock()
        else:
            with suppress(OSError):  # the deliveries are stored; another process may seal the segment
                self.seal()
        return stored

    def seal_if_old(self) -> None:
        """Seal the segment if its first delivery has waited long enough."""
        if self._is_old():
            self.seal()

    def seal(self) -> None:
        """Seal the segment, if there is one."""
        segment, self._segment = self._segment, None
        if segment:
            segment.lock()
            if segment.is_open():
                segment.seal()
            else:  # a run has sealed it
                segment.close()

    def probe(self) -> None:
        """Raise `OSError` if nothing can be written now. It writes a file and removes it again."""
        _make_folder(self._folder)
        file = self._folder / f".probe-{uuid4().hex[:8]}"
        try:
            with open(file, "xb", opener=private) as probe:
                probe.write(bytes(PROBE_BYTES))
                probe.flush()
                os.fsync(probe.fileno())
        finally:
            file.unlink(missing_ok=True)

    def _is_old(self) -> bool:
        return self._segment is not None and time.monotonic() - self._segment.opened >= self._max_seconds

    def _locked(self) -> "_Segment":
        """Return the open segment with its lock held; a new one if a run has sealed the last one."""
        if self._segment:
            self._segment.lock()
            if self._segment.is_open():
                return self._segment
            self._segment.close()
        self._segment = _Segment(self._folder)
        self._segment.lock()
        return self._segment


class _Segment:
    """A file that is being written."""

    def __init__(self, folder: Path) -> None:
        now = datetime.now(UTC)
        self.path = folder / f"{now:%Y-%m-%d}" / f"{now:%Y%m%dT%H%M%S.%fZ}-{uuid4().hex[:8]}{OPEN}"
        self.opened = time.monotonic()
        self.contents: dict[str, bytes] = {}
        self.size = 0
        _make_folder(self.path.parent)
        # It is closed when the segment is sealed.
        self._file = open(self.path, "xb", buffering=0, opener=private)  # noqa: SIM115
        fsync_path(self.path.parent)

    def lock(self) -> None:
        fcntl.flock(self._file.fileno(), fcntl.LOCK_EX)

    def unlock(self) -> None:
        fcntl.flock(self._file.fileno(), fcntl.LOCK_UN)

    def is_open(self) -> bool:
        """Check whether the file still has its name: it was neither sealed nor deleted."""
        return _names(self.path, self._file.fileno())

    def write(self, lines: Sequence[bytes]) -> None:
        if not lines:
            return
        rest = memoryview(b"".join(lines))
        self.size += len(rest)
        while rest:
            rest = rest[self._file.write(rest) :]
        os.fsync(self._file.fileno())

    def seal(self) -> None:
        """Give the file its final name; the caller holds the lock."""
        try:
            _seal(self.path, self._file.fileno())
        finally:
            self.close()

    def abandon(self) -> None:
        """Seal the file if possible. On a full disk even that may fail; then another process seals it."""
        with suppress(OSError):
            if not self._file.closed:
                self.seal()

    def close(self) -> None:
        self._file.close()


def open_segments(landing: Path) -> list[Path]:
    """Return the files of a landing area that look like open segments."""
    return sorted((landing / FOLDER).glob(f"*/*{OPEN}"))


def seal_open_segments(landing: Path, warn: Callable[[str], None] = log.warning) -> list[Path]:
    """Seal every segment of a landing area and return the sealed files.

    A receiver that is writing one of them continues with another. Everything that was acknowledged until now
    is then in files that a load reads. A file that only looks like a segment, or cannot be sealed, stays as
    it is, and `warn` is called with its name and the reason.
    """
    sealed = []
    for path in open_segments(landing):
        try:
            if final := _seal_left(path):
                sealed.append(final)
        except FileNotFoundError:  # its receiver has just sealed it
            continue
        except OSError as error:
            shown = printable(os.fsencode(path.relative_to(landing)).decode(errors="backslashreplace"))
            why = error.strerror or str(error)
            warn(
                f"{shown} cannot be sealed ({why}) and is not read: correct that, or move it away if the"
                " receiver did not write it"
            )
    return sealed


def _seal_left(path: Path) -> Path | None:
    """Seal a segment of another process. Return None if it has gone, or has no complete line."""
    # A pipe or a device is not opened. Through a link to a folder, the segments of another landing area would
    # be
    # sealed.
    if path.parent.is_symlink() or not stat.S_ISREG(os.lstat(path).st_mode):
        raise OSError(errno.EINVAL, "it is not a regular file")
    descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        return _seal(path, descriptor) if _names(path, descriptor) else None
    finally:
        os.close(descriptor)


def seal_local(landing: Landing, warn: Callable[[str], None] = log.warning) -> None:
    """Seal open segments if the landing area is on this machine: elsewhere there are none."""
    if landing.is_local:
        seal_open_segments(Path(landing.root), warn)


def _seal(path: Path, descriptor: int) -> Path | None:
    """Cut off an incomplete line, which was never acknowledged, and rename the file.

    Return None if no line is left; then the file is removed.
    """
    length = _whole_lines(path)
    os.ftruncate(descriptor, length)
    if not length:
        path.unlink()
        return None
    os.fsync(descriptor)
    final = path.with_name(path.name.removesuffix(".part"))
    if os.path.lexists(final):
        # The receiver never uses a name twice. The existing file may be the only copy of other deliveries.
        raise FileExistsError(errno.EEXIST, f"{final.name} is there already")
    os.rename(path, final)
    fsync_path(final.parent)
    return final


def _whole_lines(path: Path) -> int:
    """Return the number of bytes up to the last line feed."""
    with path.open("rb") as file:
        end = file.seek(0, os.SEEK_END)
        while end:
            start = max(end - TAIL_BYTES, 0)
            file.seek(start)
            if (place := file.read(end - start).rfind(b"\n")) >= 0:
                return start + place + 1
            end = start
    return 0


def _names(path: Path, descriptor: int) -> bool:
    """Check whether a path still names the open file."""
    try:
        return os.path.samestat(os.stat(path, follow_symlinks=False), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _make_folder(folder: Path) -> None:
    """Make a folder durably."""
    if not folder.is_dir():
        _make_folder(folder.parent)
        folder.mkdir(exist_ok=True)
        fsync_path(folder.parent)
