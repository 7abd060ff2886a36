"""One run of the job `refresh` in this process, and the summary at its end."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import dagster as dg
from sqlalchemy.exc import OperationalError

from exports.catalog import is_complete
from ingestion.lake.batches import Lake
from orchestration.alert_delivery.deliver import notify_idle_run
from orchestration.assets.exports import CATALOG
from orchestration.assets.published import PUBLISHED
from orchestration.cli.progress import terminal_logger
from orchestration.cli.summary import EXPORT, REFRESH, Outcome, print_summary
from orchestration.definitions import build_defs
from orchestration.faults import remedy
from orchestration.run_lock import own_tags
from paywall_warehouse.errors import first_line, without_class
from paywall_warehouse.settings import Settings
from warehouse.build_file import published_state
from warehouse.published import last_published_batch

GOOD, NOT_PUBLISHED = 0, 1


def run_once(
    settings: Settings,
    instance: dg.DagsterInstance,
    *,
    full_refresh: bool = False,
    wait: bool = True,
    exports: bool = True,
    job: str = REFRESH,
    between: Callable[[], None] | None = None,
    **overrides: Any,
) -> int:
    """Run a job (`REFRESH`, or `PUBLISH` without loading), print a summary, and return the exit code.

    If another run works on the home, wait for its end, or fail at once if `wait` is false. With `between`,
    the job runs twice: after a first publication without exports, `between` is called. The summary and the
    exports are those of both.
    """
    before = published_state(settings.home)
    published_through = before.built_through if before else last_published_batch(settings)
    try:
        outcome = execute(
            settings,
            instance,
            job,
            full_refresh=full_refresh,
            wait=wait,
            exports=exports and between is None,
            **overrides,
        )
        if between and outcome.published:
            between()
            outcome = execute(settings, instance, job, wait=wait, exports=exports, **overrides)
    except (OSError, OperationalError) as error:
        # Dagster could not write its event log.
        if remedy(first_line(error), settings.home.root) is None:
            raise
        outcome = Outcome(
            job, "", False, published_state(settings.home) != before, False, [first_line(error)]
        )
    if exports and outcome.success and not outcome.published and not is_complete(settings):
        # An earlier run was interrupted after it had published, or the location of exports has changed.
        outcome = execute(settings, instance, EXPORT, wait=wait, exports=exports, **overrides)
    if outcome.success and not outcome.published:
        notify_idle_run(settings)
    # Batches that an earlier run loaded but did not publish are new to readers too.
    batches = [
        manifest for manifest in Lake(settings.home).manifests() if manifest.batch_seq > published_through
    ]
    advice = {advice: None for error in outcome.errors if (advice := remedy(error, settings.home.root))}
    outcome = replace(outcome, errors=[*outcome.errors, *advice])
    print_summary(settings, outcome, batches)
    return GOOD if outcome.success else NOT_PUBLISHED


def execute(
    settings: Settings,
    instance: dg.DagsterInstance,
    job: str,
    *,
    full_refresh: bool = False,
    wait: bool = True,
    **overrides: Any,
) -> Outcome:
    """Run a job in this process, on the instance that the UI shows. `overrides` are those of `build_defs`."""
    defs = build_defs(settings, loggers={"progress": terminal_logger()}, **overrides)
    result = defs.resolve_job_def(job).execute_in_process(
        run_config={
            "resources": {"warehouse": {"config": {"full_refresh": full_refresh, "wait": wait}}},
            "loggers": {"progress": {}},
        },
        instance=instance,
        tags=own_tags(),
        raise_on_error=False,
    )
    materialized = {event.asset_key for event in result.get_asset_materialization_events()}
    return Outcome(
        job,
        result.run_id,
        result.success,
        PUBLISHED in materialized,
        CATALOG in materialized,
        list(_errors(result)),
    )


def _errors(result: dg.ExecuteInProcessResult) -> Iterator[str]:
    """Yield a message for each failed step: the description of its failure, or else its exception."""
    failures = [
        event.step_failure_data
        for event in result.all_events
        if event.event_type is dg.DagsterEventType.STEP_FAILURE
    ]
    for failure in failures:
        description = failure.user_failure_data.description if failure.user_failure_data else None
        yield description or _first_cause(failure.error)
    if not failures and not result.success:
        ends = (dg.DagsterEventType.RUN_FAILURE, dg.DagsterEventType.RUN_CANCELED)
        last = [event for event in result.all_events if event.event_type in ends]
        yield (
            _first_cause(getattr(last[-1].event_specific_data, "error", None))
            if last
            else "The run ended early."
        )


def _first_cause(error: Any) -> str:
    while error is not None and error.cause is not None:
        error = error.cause
    return without_class(error.message) if error is not None else "The run was interrupted."
