"""The build file, from which the next build starts: an unpublished one, else a copy of the published file.

Publication moves the build file to where readers find it, so that a home at rest holds the marts once. A
published file whose size or modification time has changed was changed by somebody else. No build starts from
it.
"""

import json
import os
import shutil
import threading
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import duckdb

from paywall_warehouse.duckdb_connections import open_duckdb
from paywall_warehouse.files import fsync_path, put_in_place, replace_file, replace_text
from paywall_warehouse.home import Home
from paywall_warehouse.quoting import literal

# DuckDB 1.5 cannot open a file of 2.0 unless it is created with the older layout.
STORAGE_VERSION = "v1.5.0"
# The schema with an empty table for each mart whose rows are on a cluster. The tables describe the columns.
ON_CLUSTER = "on_cluster"
# The table with the snapshot from which each mart was imported (`warehouse.spark.import_marts`).
IMPORTED_SNAPSHOTS = "ops.arrived_snapshots"


@dataclass(frozen=True)
class PublishedState:
    """The last publication, with the size and time of its file to detect later changes."""

    fingerprint: str
    """The fingerprint of the build (`warehouse.build.Build`)."""
    built_through: int
    """The last batch in the file."""
    size: int
    modified_ns: int


def published_state(home: Home) -> PublishedState | None:
    """Return the state of the published file; None if it is missing or was changed since publication."""
    return next((state for state in _noted(home) if _is_intact(home.published_file, state)), None)


def published_through(home: Home) -> int:
    """Return the last batch that readers have seen, -1 if they have seen none.

    A published file that was changed since publication is queried, because it still has its batches. A change
    may be a new modification time or an erasure. Raises `duckdb.Error` if the file cannot be read.
    """
    if state := published_state(home):
        return state.built_through
    if not home.published_file.exists():
        # The file may have been deleted after readers saw it.
        return noted_through(home)
    with open_duckdb(home.published_file, read_only=True) as connection:
        row = connection.execute("select max(built_through) from ops.build_state").fetchone()
    return int(row[0]) if row and row[0] is not None else -1


def known_published_through(home: Home) -> int:
    """Return `published_through`, or `noted_through` if the published file cannot be read."""
    try:
        return published_through(home)
    except duckdb.Error:  # a process holds the file, or it is damaged, or an earlier version wrote it
        return noted_through(home)


def noted_through(home: Home) -> int:
    """Return the last batch of the publication that was recorded last, which may not have finished."""
    return max((state.built_through for state in _noted(home)), default=-1)


def note_publication(home: Home, file: Path, fingerprint: str, built_through: int) -> None:
    """Record the state of the file that is about to be published, and that of the present published file."""
    known = file.stat()
    states = [
        PublishedState(fingerprint, built_through, known.st_size, known.st_mtime_ns),
        published_state(home),
    ]
    replace_text(home.published_state_file, json.dumps([asdict(state) for state in states if state]))


def _noted(home: Home) -> list[PublishedState]:
    try:
        return [
            PublishedState(**state)
            for state in json.loads(home.published_state_file.read_text(encoding="utf-8"))
        ]
    except (FileNotFoundError, TypeError, ValueError):
        return []


def base_file(home: Home, published: PublishedState | None) -> Path | None:
    """Return the file that the next build starts from; None if it starts from the lake."""
    if home.build_file.exists():
        return home.build_file
    return home.published_file if published else None


def copy_ahead(home: Home) -> None:
    """Start to copy the published file in the background, for `prepare_build_file` to use.

    The copy takes a second or more per GB. Most of that is waiting for the disk, so other steps of a run can
    work meanwhile.
    """
    published, known = published_state(home), _ahead.get(home.root)
    if published is None or home.build_file.exists() or (known and known.published == published):
        return
    drop_copy_ahead(home)
    _ahead[home.root] = _CopyAhead(home, published)


def drop_copy_ahead(home: Home) -> None:
    """Remove an unused background copy."""
    if ahead := _ahead.pop(home.root, None):
        ahead.finished()
        ahead.path.unlink(missing_ok=True)


class _CopyAhead:
    """A background copy of the published file."""

    def __init__(self, home: Home, published: PublishedState) -> None:
        self.published = published
        self.path = home.root / f".{home.build_file.name}.{os.getpid()}.ahead"
        self._source = home.published_file
        self._is_whole = False
        self._thread = threading.Thread(target=self._copy, daemon=True)
        self._thread.start()

    def finished(self) -> bool:
        """Wait for the copy to end, then check whether it is complete and present."""
        self._thread.join()
        return self._is_whole and self.path.exists()

    def _copy(self) -> None:
        with suppress(OSError):  # the build copies it again, and reports the error if it happens again
            shutil.copyfile(self._source, self.path)
            fsync_path(self.path)
            self._is_whole = True


_ahead: dict[Path, _CopyAhead] = {}


def prepare_build_file(home: Home, published: PublishedState | None) -> bool:
    """Create the build file if it is missing, as a copy of the published file or empty.

    Return whether it is a new copy. Copying the bytes takes 1 s per GB. `COPY FROM DATABASE`, which also
    compacts them, takes 24 s per GB.
    """
    copied = not home.build_file.exists() and published is not None and _copy_published(home, published)
    drop_copy_ahead(home)
    for left_over in home.root.glob(f".{home.build_file.name}.*"):  # of processes that were killed
        left_over.unlink()
    if not home.build_file.exists():
        # Created atomically, because no later run could open half of a DuckDB file.
        replace_file(home.build_file, _create)
    return copied


def drop_build_file(home: Home) -> None:
    """Remove the build file and its write-ahead log, which fits no other file."""
    home.build_file.unlink(missing_ok=True)
    home.build_file.with_name(f"{home.build_file.name}.wal").unlink(missing_ok=True)


def is_held(error: duckdb.Error) -> bool:
    """Check whether a file could not be opened only because another process has it open."""
    return "lock on file" in str(error)


def _create(path: Path) -> None:
    with open_duckdb() as connection:
        connection.execute(f"attach {literal(str(path))} as build_file (storage_version '{STORAGE_VERSION}')")


def _copy_published(home: Home, published: PublishedState) -> bool:
    """Copy the published file, unless it changes meanwhile; return whether there is a copy."""
    ahead = _ahead.get(home.root)
    if ahead and ahead.published == published and ahead.finished():
        put_in_place(ahead.path, home.build_file)
    else:
        replace_file(home.build_file, lambda partial: _copy(home.published_file, partial))
    if _is_intact(home.published_file, published):
        return True
    home.build_file.unlink()
    return False


def _copy(source: Path, target: Path) -> None:
    shutil.copyfile(source, target)


def _is_intact(file: Path, state: PublishedState) -> bool:
    try:
        now = file.stat()
    except FileNotFoundError:
        return False
    return (now.st_size, now.st_mtime_ns) == (state.size, state.modified_ns)
