"""Runs that found nothing new: the last one, and how many of them Dagster's history does not have yet.

Such a run ends before Dagster is imported. The next process that opens Dagster's history adds one run for all
of them: a run of its own would take 0.2 s each, and a home may have hundreds a day.
"""

# ruff: noqa: PLC0415  a run with nothing new is noted without Dagster

import json
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Final

from paywall_warehouse.files import replace_text
from paywall_warehouse.home import Home

if TYPE_CHECKING:
    import dagster as dg

IDLE_JOB: Final = "refresh"
# A tag with the number of runs that a run in Dagster's history stands for.
IDLE_TAG: Final = "paywall-warehouse/nothing_new"


@dataclass(frozen=True)
class IdleRun:
    """A run that found nothing new. Instants are UTC."""

    run_id: str
    started_at: datetime
    finished_at: datetime


@dataclass(frozen=True)
class IdleRuns:
    """The state of the file: the last run, and the runs until it that Dagster's history does not have."""

    last: IdleRun
    waiting: int = 0
    since: datetime | None = None
    """The start of the first of those runs."""


def note_idle_run(home: Home, run: IdleRun, *, is_in_history: bool) -> None:
    """Write down that a run found nothing new. The caller holds the run lock."""
    before = read_idle_runs(home)
    waiting, since = (before.waiting, before.since) if before else (0, None)
    if not is_in_history:
        waiting, since = waiting + 1, since or run.started_at
    _write(home, IdleRuns(run, waiting, since))


def read_idle_runs(home: Home) -> IdleRuns | None:
    """Return the state of the file; None without one, or if it cannot be read."""
    try:
        content = json.loads(home.idle_runs_file.read_text(encoding="utf-8"))
        instants = {
            name: datetime.fromisoformat(content["last"][name]) for name in ("started_at", "finished_at")
        }
        since = content["since"]
        return IdleRuns(
            IdleRun(content["last"]["run_id"], **instants),
            int(content["waiting"]),
            datetime.fromisoformat(since) if since else None,
        )
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None


def has_waiting(home: Home) -> bool:
    """Check whether there are runs that Dagster's history does not have."""
    runs = read_idle_runs(home)
    return runs is not None and runs.waiting > 0


def add_to_history(home: Home, instance: "dg.DagsterInstance") -> None:
    """Add the waiting runs to Dagster's history, as one finished run. The caller holds the run lock.

    If the process is killed meanwhile, the next one continues: the run has the id of the last of them.
    """
    runs = read_idle_runs(home)
    if runs is None or not runs.waiting:
        return
    import dagster as dg
    from dagster._core.events import DagsterEvent, DagsterEventType

    last = runs.last
    known = instance.get_run_by_id(last.run_id)
    if known is None:
        run = dg.DagsterRun(IDLE_JOB, last.run_id, tags={IDLE_TAG: str(runs.waiting)})
        instance.run_storage.add_historical_run(run, last.started_at)
    if known is None or not known.is_finished:
        for kind, at, message in (
            (DagsterEventType.RUN_START, last.started_at, "Started without Dagster."),
            (DagsterEventType.RUN_SUCCESS, last.finished_at, describe(runs)),
        ):
            event = DagsterEvent(kind.value, IDLE_JOB, message=message)
            instance.report_dagster_event(event, last.run_id, timestamp=at.timestamp())
    _write(home, IdleRuns(last))


def describe(runs: IdleRuns) -> str:
    """Return a sentence for the run in Dagster's history."""
    if runs.waiting == 1 or runs.since is None:
        return "Nothing was new, so no step was started."
    return (
        f"Nothing was new, so no step was started. This run stands for {runs.waiting:,} such runs, the first"
        f" of them at {runs.since:%Y-%m-%d %H:%M} UTC."
    )


def _write(home: Home, runs: IdleRuns) -> None:
    replace_text(home.idle_runs_file, json.dumps(asdict(runs), default=datetime.isoformat))
