"""The paths under `WAREHOUSE_HOME`, and the locks of a home."""

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
    def mappings(self) -> Path:
        """The user's own mappings of other systems' exports, a YAML file each."""
        return self.root / "mappings"

    @property
    def accounts(self) -> Path:
        """The user's names and codes of the journal's accounts. It need not exist."""
        return self.root / "accounts.csv"

    @property
    def alerts_file(self) -> Path:
        """The user's rules and routes of alerts. Without it there are no alerts."""
        return self.root / "alerts.yml"

    @property
    def alerts_state_file(self) -> Path:
        """The history of alerts and the messages that are still to be sent. Nothing rebuilds it."""
        return self.lake / "alerts.json"

    @property
    def build_file(self) -> Path:
        """The DuckDB file that dbt builds in. No reader opens it. It exists while a build is not
        published.
        """
        return self.root / "warehouse.duckdb"

    @property
    def published_file(self) -> Path:
        """The DuckDB file that all readers open; only ever replaced as a whole."""
        return self.root / "published" / "warehouse.duckdb"

    @property
    def unfinished_build(self) -> Path:
        """A marker that exists from the start of a build until every model is built and every test passes."""
        return self.root / "state" / "unfinished_build"

    @property
    def private_folders(self) -> tuple[Path, ...]:
        """The folders that only the owner may list: the home, which its owner may open to others, and those
        that no reader needs.
        """
        return (self.root, self.lake, self.root / "state", self.dagster, self.root / "dbt", self.tmp)

    def make(self) -> None:
        """Create the home and its private folders, with mode 700, if they do not exist."""
        for folder in self.private_folders:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    def exposure(self) -> str | None:
        """Return a warning if other users of the machine may list the home or a private folder, else None."""
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
        """The description of the published file: its build, and how to detect that it was changed since."""
        return self.root / "state" / "published.json"

    @property
    def saved_views_file(self) -> Path:
        """The views that users of the dashboard have saved."""
        return self.root / "state" / "dashboard_views.json"

    @property
    def tokens_file(self) -> Path:
        """The tokens of the pull API: their scopes, and hashes of their texts. Only the owner may read it."""
        return self.root / "state" / "tokens.json"

    @property
    def exports(self) -> Path:
        """Exports for other programs (the default of `EXPORT_URI`)."""
        return self.root / "exports"

    @property
    def exported_file(self) -> Path:
        """The last complete export and its destination: with it a run knows whether anything is left to
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
        """One JSON line per finished run, published or not: the source of `ops.runs`."""
        return self.root / "state" / "runs.jsonl"

    @property
    def idle_runs_file(self) -> Path:
        """The last run that found nothing new, and those that Dagster's history does not have yet."""
        return self.root / "state" / "idle_runs.json"

    @property
    def receiver_file(self) -> Path:
        """The state of the webhook receiver, for the dashboard: counts and times (`ReceiverState`)."""
        return self.root / "state" / "receiver.json"

    @property
    def tmp(self) -> Path:
        """Temporary files: DuckDB's spill files, and batches that are being written."""
        return self.root / "tmp"

    @property
    def run_lock(self) -> FileLock:
        """The lock that is held for a whole run, and by a process that opens the build file between runs."""
        return FileLock(self.root / ".run.lock", mode=0o644)

    @contextmanager
    def between_runs(self) -> Iterator[bool]:
        """Keep runs from starting and yield True, or yield False if one is running.

        It needs no write permission in the home.
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

        A process that holds the lock may take it again. The operating system releases the lock of a process
        that dies.
        """
        self.make()
        with FileLock(self.root / ".writer.lock", is_singleton=True):
            yield

    @contextmanager
    def working(self) -> Iterator[None]:
        """Add to the lake as a worker, without the writer lock, beside any number of other workers.

        Only `without_workers` keeps a worker waiting.
        """
        with self._workers(fcntl.LOCK_SH):
            yield

    @contextmanager
    def without_workers(self, *, wait: bool = True) -> Iterator[bool]:
        """Wait until running workers have ended, then keep workers out, and yield True.

        Without `wait`, yield False if there are workers. A process that holds the writer lock may wait here,
        because workers never take that lock.
        """
        with self._workers(fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB) as locked:
            yield locked

    @contextmanager
    def _workers(self, operation: int) -> Iterator[bool]:
        """Take a lock of the file system, because `FileLock` has no shared locks."""
        self.make()
        descriptor = os.open(self.root / ".workers.lock", os.O_RDWR | os.O_CREAT, 0o644)
        try:
            yield _is_locked(descriptor, operation)
        finally:
            os.close(descriptor)


def _mode(folder: Path) -> int:
    """Return the permissions of a folder; 0 if it does not exist or cannot be read."""
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
