"""The log of finished runs, published or not: one JSON line per run, published as `ops.runs`."""

import json
import os
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime, timedelta
from typing import Any

import duckdb

from paywall_warehouse.duckdb_connections import open_duckdb
from paywall_warehouse.home import Home

PUBLISHED = "published"
FAILED = "failed"
INSTANTS = ("started_at", "finished_at", "as_of")


@dataclass(frozen=True)
class Run:
    """A row of `ops.runs`."""

    run_id: str
    started_at: datetime
    finished_at: datetime
    as_of: datetime
    status: str
    new_records: int
    rejected_records: int
    code_version: str
    reason: str | None = None
    """Why the run did not publish. Runs of earlier versions have none."""


def append_run(home: Home, run: Run) -> None:
    """Add a finished run to the log."""
    home.make()
    values = {
        name: value.isoformat() if isinstance(value, datetime) else value
        for name, value in asdict(run).items()
    }
    with home.runs_file.open("ab+") as log:
        # After a power cut the last line may be incomplete. Start a new line, so that this one is readable.
        log.seek(max(log.seek(0, os.SEEK_END) - 1, 0))
        torn = log.read(1) not in (b"", b"\n")
        log.write((b"\n" if torn else b"") + json.dumps(values).encode() + b"\n")
        log.flush()
        os.fsync(log.fileno())


def read_runs(home: Home) -> list[Run]:
    """Return all finished runs, the oldest first. A line that a power cut left incomplete is skipped."""
    if not home.runs_file.exists():
        return []
    return [
        run
        for line in home.runs_file.read_text(encoding="utf-8").splitlines()
        if (run := _parsed(line)) is not None
    ]


def log_unlogged(home: Home) -> None:
    """Add the runs to the log that only the published file lists.

    Such a run was killed after it had published, and before it was logged.
    """
    if not home.published_file.exists():
        return
    names = [field.name for field in fields(Run)]
    instants = [f"epoch_us({name})" if name in INSTANTS else name for name in names]
    try:
        with open_duckdb(home.published_file, read_only=True) as connection:
            rows = connection.execute(f"select {', '.join(instants)} from ops.runs order by rowid").fetchall()
    except duckdb.Error:
        # A process holds the file, or it is damaged, or an earlier version wrote it. The next run retries.
        return
    logged = {run.run_id for run in read_runs(home)}
    for row in rows:
        values = dict(zip(names, row, strict=True))
        if values["run_id"] not in logged:
            append_run(home, Run(**{**values, **{name: _instant(values[name]) for name in INSTANTS}}))


def _instant(microseconds: int) -> datetime:
    return datetime.fromtimestamp(0, UTC) + timedelta(microseconds=microseconds)


def last_published(home: Home) -> Run | None:
    """Return the run that published last, None if no run has published."""
    return next((run for run in reversed(read_runs(home)) if run.status == PUBLISHED), None)


def _parsed(line: str) -> Run | None:
    try:
        values: dict[str, Any] = json.loads(line)
    except json.JSONDecodeError:
        return None
    return Run(**{**values, **{name: datetime.fromisoformat(values[name]) for name in INSTANTS}})
