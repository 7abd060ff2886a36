"""The seconds of a run by stage, from Dagster's records of its steps in the home's `dagster/`."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import dagster as dg

INGEST, DBT, CHECKS, PUBLISH, EXPORTS = "ingest", "dbt", "checks", "publish", "exports"
CHECKS_AND_PUBLISH, OTHER, START_UP = "checks and publish", "other steps", "start-up"
STAGES = (INGEST, DBT, CHECKS, PUBLISH, CHECKS_AND_PUBLISH, EXPORTS, OTHER, START_UP)
PREFIXES = {
    "stripe__": INGEST,
    "raw__": INGEST,
    "landing__": INGEST,
    "bill_pulls": INGEST,
    "build__": INGEST,
    "dbt_": DBT,
    "published__": CHECKS_AND_PUBLISH,
    "exports__": EXPORTS,
}
LEDGER_STEP, PUBLISHED_STEP = "raw__ledger_entries", "published__warehouse"
# The model of the ledger table, and what Dagster calls the seconds that dbt measures for a model.
LEDGER_MODEL, MODEL_SECONDS = "fct_ledger_entries", "Execution Duration"
CHECK_SECONDS, PUBLISH_SECONDS = "check seconds", "publish seconds"

Interval = tuple[float, float]


@dataclass(frozen=True)
class Steps:
    """Dagster's record of one call of the command: the intervals of its steps, in seconds since the epoch."""

    intervals: Mapping[str, Interval]
    check_seconds: float | None = None
    publish_seconds: float | None = None
    """Both are None if the published asset does not record them."""
    ledger_table_seconds: float | None = None
    """dbt's seconds for the model of the ledger table. None if it was not built."""

    def seconds(self, step: str) -> float:
        """Return the seconds of one step, 0 if it did not run."""
        start, end = self.intervals.get(step, (0.0, 0.0))
        return end - start

    def first_start(self) -> float | None:
        """Return the start of the first step."""
        return min((start for start, _ in self.intervals.values()), default=None)


def stage_of(step: str) -> str:
    """Return the stage of a step."""
    return next((stage for prefix, stage in PREFIXES.items() if step.startswith(prefix)), OTHER)


def covered(intervals: Iterable[Interval]) -> float:
    """Return the seconds that lie in at least one interval. Parallel steps count once."""
    total, reached = 0.0, float("-inf")
    for start, end in sorted(intervals):
        total += max(0.0, end - max(start, reached))
        reached = max(reached, end)
    return total


def stage_seconds(steps: Steps, wall: float) -> dict[str, float]:
    """Return wall seconds by stage.

    Start-up is the time that no step covers: before the first, between steps, and after the last. If the
    published asset records its checks and its publication, the rest of that step (its page in Dagster) counts
    as other steps.
    """
    by_stage: dict[str, list[Interval]] = {}
    for step, interval in steps.intervals.items():
        by_stage.setdefault(stage_of(step), []).append(interval)
    seconds = {stage: covered(by_stage[stage]) for stage in STAGES if stage in by_stage}
    if (
        CHECKS_AND_PUBLISH in seconds
        and steps.check_seconds is not None
        and steps.publish_seconds is not None
    ):
        rest = seconds.pop(CHECKS_AND_PUBLISH) - steps.check_seconds - steps.publish_seconds
        seconds |= {
            CHECKS: steps.check_seconds,
            PUBLISH: steps.publish_seconds,
            OTHER: seconds.get(OTHER, 0.0) + rest,
        }
    seconds[START_UP] = wall - covered(steps.intervals.values())
    return {stage: seconds[stage] for stage in STAGES if stage in seconds}


def recorded_steps(home: Path, began_at: float) -> Steps:
    """Return the steps of all jobs on a home since an instant.

    There may be two jobs, because `run` starts another one if only exports are left.
    """
    intervals: dict[str, Interval] = {}
    seconds_by_name: dict[str, float] = {}
    with dg.DagsterInstance.from_config(str(home / "dagster")) as instance:
        for record in instance.get_run_records():
            if record.create_timestamp.timestamp() < began_at:
                continue
            run_id = record.dagster_run.run_id
            for step in instance.get_run_step_stats(run_id):
                if step.start_time is not None and step.end_time is not None:
                    intervals[step.step_key] = (step.start_time, step.end_time)
            seconds_by_name |= _recorded_seconds(instance, run_id)
    return Steps(
        intervals,
        seconds_by_name.get(CHECK_SECONDS),
        seconds_by_name.get(PUBLISH_SECONDS),
        seconds_by_name.get(MODEL_SECONDS),
    )


def _recorded_seconds(instance: dg.DagsterInstance, run_id: str) -> dict[str, float]:
    seconds_by_name: dict[str, float] = {}
    for record in instance.get_records_for_run(
        run_id, of_type=dg.DagsterEventType.ASSET_MATERIALIZATION
    ).records:
        event = record.event_log_entry.dagster_event
        if event is None:
            continue
        materialization = event.step_materialization_data.materialization
        wanted: tuple[str, ...] = ()
        if event.step_key == PUBLISHED_STEP:
            wanted = (CHECK_SECONDS, PUBLISH_SECONDS)
        elif materialization.asset_key.path[-1] == LEDGER_MODEL:
            wanted = (MODEL_SECONDS,)
        metadata = materialization.metadata
        seconds_by_name |= {name: float(str(metadata[name].value)) for name in wanted if name in metadata}
    return seconds_by_name
