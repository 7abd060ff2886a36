"""Every path under `WAREHOUSE_HOME`, named once."""

import fcntl
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock


@dataclass(frozen=True)
class Home:
    """The folders and files of one warehouse."""

    root: Path

    @property
    def landing(self) -> Path:
        """Files as received (the default of `LANDING_URI`)."""
        return self.root / "landing"

    @property
    def lake(self) -> Path:
        """Validated Parquet batches, their manifests, and the resolved price book."""
        return self.root / "lake"

    @property
    def build_file(self) -> Path:
        """The DuckDB file that dbt builds in; no reader opens it. It is there while a build is not
        published.
        """
        return self.root / "warehouse.duckdb"

    @property
    def published_file(self) -> Path:
        """The DuckDB file that everybody reads; only ever replaced whole."""
        return self.root / "published" / "warehouse.duckdb"

    @property
    def unfinished_build(self) -> Path:
        """A marker that exists from the start of a build until every model is built and every test passes."""
        return self.root / "state" / "unfinished_build"

    @property
    def private_folders(self) -> tuple[Path, ...]:
        """Folders that nobody but the owner may look into: the home, which its owner may open, and those that
        are for no reader.
        """
        return (self.root, self.lake, self.root / "state", self.dagster, self.root / "dbt", self.tmp)

    def make(self) -> None:
        """Make the home and its private folders, with mode 700, where they do not exist yet."""
        for folder in self.private_folders:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    def exposure(self) -> str | None:
        """Return a warning where other users of the machine may list the home or look into a private
        folder.
        """
        mode = _mode(self.root)
        if not mode & 0o077:
            return None
        inside = [folder for folder in self.private_folders if folder != self.root and _mode(folder) & 0o077]
        faults = [f"chmod go-rw {self.root}"] if mode & 0o066 else []
        if mode & 0o011 and inside:
            faults.append(f"chmod go= {' '.join(map(str, inside))}")
        if not faults:
            return None
        return (
            f"other users of this machine may look into {self.root} (mode {mode:o}). To close it:"
            f" {' && '.join(faults)}"
        )

    @property
    def published_state_file(self) -> Path:
        """What the published file shows, and how to tell whether somebody has changed it."""
        return self.root / "state" / "published.json"

    @property
    def exports(self) -> Path:
        """Slices for programs (the default of `EXPORT_URI`)."""
        return self.root / "exports"

    @property
    def exported_file(self) -> Path:
        """What has been exported whole, and to where: tells a run whether there is anything left to
        export.
        """
        return self.root / "state" / "exported.json"

    @property
    def dagster(self) -> Path:
        """`DAGSTER_HOME`: run history, schedules, sensors."""
        return self.root / "dagster"

    @property
    def dbt_target(self) -> Path:
        """dbt's compiled project, kept between runs for partial parsing."""
        return self.root / "dbt" / "target"

    @property
    def dbt_logs(self) -> Path:
        """dbt's log files."""
        return self.root / "dbt" / "logs"

    @property
    def runs_file(self) -> Path:
        """One JSON line a finished run, published or not: the source of `ops.runs`."""
        return self.root / "state" / "runs.jsonl"

    @property
    def tmp(self) -> Path:
        """What may be deleted at any time: DuckDB's spill files, batches being written."""
        return self.root / "tmp"

    @property
    def run_lock(self) -> FileLock:
        """Held for the whole of a run, and by whoever opens the build file between runs."""
        return FileLock(self.root / ".run.lock", mode=0o644)

    @contextmanager
    def between_runs(self) -> Iterator[bool]:
        """Keep runs from starting and yield True; yield False where one is at work. Needs no right to write
        to the home.
        """
        try:
            descriptor = os.open(self.root / ".run.lock", os.O_RDONLY)
        except FileNotFoundError:  # no run has ever started
            yield True
            return
        try:
            yield _is_locked(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        finally:
            os.close(descriptor)

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Hold the home's writer lock: one process at a time changes lake, build file or published file.

        Within a process the lock may be taken again by whoever holds it. The operating system releases the
        lock of a process that dies.
        """
        self.make()
        with FileLock(self.root / ".writer.lock", is_singleton=True):
            yield

    @contextmanager
    def working(self) -> Iterator[None]:
        """Add to the lake without the writer lock, beside any number of other workers; only `without_workers`
        keeps one waiting.
        """
        with self._workers(fcntl.LOCK_SH):
            yield

    @contextmanager
    def without_workers(self, *, wait: bool = True) -> Iterator[bool]:
        """Keep workers out, once those at work have ended; where this may not `wait` for them it tells
        whether there were none.

        Holding the writer lock one may wait here: no worker ever asks for that.
        """
        with self._workers(fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB) as locked:
            yield locked

    @contextmanager
    def _workers(self, operation: int) -> Iterator[bool]:
        """A lock of the file system: `FileLock` has none that many can share."""
        self.make()
        descriptor = os.open(self.root / ".workers.lock", os.O_RDWR | os.O_CREAT, 0o644)
        try:
            yield _is_locked(descriptor, operation)
        finally:
            os.close(descriptor)


def _mode(folder: Path) -> int:
    """Return the permissions of a folder; none where it does not exist or may not be looked at."""
    try:
        return stat.S_IMODE(folder.stat().st_mode)
    except OSError:
        return 0


def _is_locked(descriptor: int, operation: int) -> bool:
    try:
        fcntl.flock(descriptor, operation)
    except BlockingIOError:
        return False
    return True
