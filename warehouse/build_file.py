"""The file that the next build starts from: one that was not published, else a copy of the published one.

Publication moves the build file to where readers find it, so that a home at rest holds the marts once. Where
somebody else has changed the published file, which its size and time tell, nothing is built on it.
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
# The schema with an empty table for each mart whose rows are on a cluster: its columns, and what they mean.
ON_CLUSTER = "on_cluster"
# The table that tells which snapshot of a mart came from a cluster (`warehouse.spark.import_marts`).
ARRIVED = "ops.arrived_snapshots"


@dataclass(frozen=True)
class PublishedState:
    """What was published last, and how its file is told from one that was changed since."""

    fingerprint: str
    """Of the build (`warehouse.build.Build`)."""
    built_through: int
    """The last batch that it shows."""
    size: int
    modified_ns: int


def published_state(home: Home) -> PublishedState | None:
    """What the published file shows; None where there is none, or it is not as publication left it."""
    return next((state for state in _noted(home) if _is_intact(home.published_file, state)), None)


def published_through(home: Home) -> int:
    """Return the last batch that readers have seen, -1 where they have seen none.

    Of a file that is not as publication left it that is asked itself: a file that was touched, or from which
    somebody was erased, still shows what it showed. Raises `duckdb.Error` where it cannot be read.
    """
    if state := published_state(home):
        return state.built_through
    if not home.published_file.exists():
        # It may have been deleted; what readers have seen they have seen.
        return noted_through(home)
    with open_duckdb(home.published_file, read_only=True) as connection:
        row = connection.execute("select max(built_through) from ops.build_state").fetchone()
    return int(row[0]) if row and row[0] is not None else -1


def noted_through(home: Home) -> int:
    """Return the last batch that was about to be seen when a publication was last noted down."""
    return max((state.built_through for state in _noted(home)), default=-1)


def note_publication(home: Home, file: Path, fingerprint: str, built_through: int) -> None:
    """Remember how the file is that is about to be published, beside the one that is published until then."""
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
    """Where the next build starts; None: from nothing."""
    if home.build_file.exists():
        return home.build_file
    return home.published_file if published else None


def copy_ahead(home: Home) -> None:
    """Start copying the published file now, beside whatever comes before the build; `prepare_build_file` takes
    the copy.

    A second a GB or more, of which most is waiting for the disk.
    """
    published, known = published_state(home), _ahead.get(home.root)
    if published is None or home.build_file.exists() or (known and known.published == published):
        return
    drop_copy_ahead(home)
    _ahead[home.root] = _CopyAhead(home, published)


def drop_copy_ahead(home: Home) -> None:
    """Remove a copy that nobody took."""
    if ahead := _ahead.pop(home.root, None):
        ahead.finished()
        ahead.path.unlink(missing_ok=True)


class _CopyAhead:
    """A copy of the published file that is being made."""

    def __init__(self, home: Home, published: PublishedState) -> None:
        self.published = published
        self.path = home.root / f".{home.build_file.name}.{os.getpid()}.ahead"
        self._source = home.published_file
        self._is_whole = False
        self._thread = threading.Thread(target=self._copy, daemon=True)
        self._thread.start()

    def finished(self) -> bool:
        """Whether the copy is whole and there, once it has ended."""
        self._thread.join()
        return self._is_whole and self.path.exists()

    def _copy(self) -> None:
        with suppress(OSError):  # then it is copied when it is needed, and the error is told there
            shutil.copyfile(self._source, self.path)
            fsync_path(self.path)
            self._is_whole = True


_ahead: dict[Path, _CopyAhead] = {}


def prepare_build_file(home: Home, published: PublishedState | None) -> bool:
    """Make the build file where there is none: a copy of the published one (then the answer is True), or an
    empty one.

    Copying the bytes costs a second a GB; `COPY FROM DATABASE`, which would compact them, 24.
    """
    copied = not home.build_file.exists() and published is not None and _copy_published(home, published)
    drop_copy_ahead(home)
    for left_over in home.root.glob(f".{home.build_file.name}.*"):  # of processes that were killed
        left_over.unlink()
    if not home.build_file.exists():
        # Whole or not at all: half of a DuckDB file cannot be opened by any run after.
        replace_file(home.build_file, _create)
    return copied


def drop_build_file(home: Home) -> None:
    """Remove a build file that cannot be built on, and its log, which fits no other file."""
    home.build_file.unlink(missing_ok=True)
    home.build_file.with_name(f"{home.build_file.name}.wal").unlink(missing_ok=True)


def is_held(error: duckdb.Error) -> bool:
    """Whether a file could not be opened only because another process has it open."""
    return "lock on file" in str(error)


def _create(path: Path) -> None:
    with open_duckdb() as connection:
        connection.execute(f"attach {literal(str(path))} as build_file (storage_version '{STORAGE_VERSION}')")


def _copy_published(home: Home, published: PublishedState) -> bool:
    """Whether a copy was made of what `published` tells: where the file changes meanwhile there is none."""
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
