"""A run that finds nothing new and ends before Dagster and dbt are imported."""

# ruff: noqa: PLC0415  slow imports belong into the functions that need them

import logging
from datetime import UTC, datetime
from uuid import uuid4

from filelock import Timeout

from ingestion.lake.batches import Lake
from orchestration.cli.summary import REFRESH, Outcome, print_summary
from orchestration.idle import reason_to_run
from orchestration.idle_runs import IdleRun, note_idle_run
from orchestration.left_overs import clear_up
from orchestration.run_lock import holder_file, named_holder
from paywall_warehouse.errors import first_line
from paywall_warehouse.settings import Settings

log = logging.getLogger(__name__)


def end_if_idle(settings: Settings) -> bool:
    """Return whether a run has nothing to do. If so, it is noted and its summary is printed.

    If another run is at work, or something cannot be read, return False: a run with Dagster waits for its
    end, or reports the fault.
    """
    run_id = str(uuid4())
    try:
        with settings.home.run_lock.acquire(blocking=False):
            # A killed run left the file, and Dagster's history does not know yet that it has ended.
            if holder_file(settings.home).exists():
                return False
            with named_holder(settings.home, run_id):
                reason = _note_or_reason(settings, run_id)
    except Timeout:
        return False
    except Exception as error:  # whatever it is, a run with Dagster meets it, too, and reports it
        reason = first_line(error)
    if reason is not None:
        log.debug("A run is needed: %s.", reason)
        return False
    if settings.home.alerts_file.exists():
        from orchestration.alert_delivery.deliver import notify_idle_run

        notify_idle_run(settings)
    print_summary(settings, Outcome(REFRESH, run_id, True, False, False, []), [])
    return True


def _note_or_reason(settings: Settings, run_id: str) -> str | None:
    """Note that nothing is new, or return why a run is needed. The caller holds the run lock."""
    clear_up(settings)
    started_at = datetime.now(UTC)
    with settings.home.writing():
        Lake(settings.home).remove_left_overs()
        reason = reason_to_run(settings.model_copy(update={"as_of": settings.as_of or started_at}))
    if reason is None:
        run = IdleRun(run_id, started_at, datetime.now(UTC))
        note_idle_run(settings.home, run, is_in_history=False)
    return reason
