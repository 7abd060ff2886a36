"""One pull of a run: how long it waits for Stripe, and whether the run goes on if the pull fails."""

import time
from collections.abc import Callable
from datetime import UTC, datetime

import dagster as dg

from ingestion.pulls.failures import FailedPull, forget_failure, note_failure
from ingestion.sources.stripe.reports import StripeReport
from ingestion.stripe_pull.api import StripeApi, StripeRefusedError, StripeUnavailableError
from ingestion.stripe_pull.pull import Pulled, ReportFailedError, pull
from ingestion.unloaded_files import nothing_landed
from orchestration.resources import Warehouse
from orchestration.retries import MAX_RETRIES, seconds_to_wait

Progress = Callable[[str], None]
FAILURES = (StripeUnavailableError, StripeRefusedError, ReportFailedError)


def pull_or_go_on(
    warehouse: Warehouse, stripe_report: StripeReport, report_type: str, info: Progress, warn: Progress
) -> Pulled | FailedPull:
    """Pull a report. If Stripe does not deliver it, record the failure and let the run go on without it.

    Raises `dg.Failure` if the run needs Stripe: STRIPE_REQUIRED is set, or nothing else has landed that could
    be published.
    """
    settings = warehouse.settings
    try:
        pulled = _pull_until_deadline(warehouse, report_type, info, warn)
    except FAILURES as error:
        failure = note_failure(settings.home, stripe_report.source, datetime.now(UTC), str(error))
        if settings.stripe_required:
            raise dg.Failure(
                f"{failure.reason}. Nothing is published without Stripe: STRIPE_REQUIRED is set.",
                allow_retries=False,
            ) from None
        if nothing_landed(settings):
            raise dg.Failure(
                f"{failure.reason}. Nothing else has landed, so there is nothing to publish.",
                allow_retries=False,
            ) from None
        warn(f"{failure.source} could not be pulled; the run goes on without it: {failure.reason}")
        return failure
    forget_failure(settings.home, stripe_report.source)
    return pulled


def _pull_until_deadline(warehouse: Warehouse, report_type: str, info: Progress, warn: Progress) -> Pulled:
    """Pull a report, and retry until STRIPE_DEADLINE_SECONDS have passed.

    The retries happen within the step. With Dagster's own retries, the other pulls of the run would start
    meanwhile and meet the same fault.
    """
    api, given_up = warehouse.stripe, warehouse.stripe_given_up
    if api is None:
        raise ValueError("STRIPE_API_KEY is not set")
    if given_up:
        raise StripeUnavailableError(
            f"skipped, because {given_up[0]} has already waited for Stripe without success"
        )
    deadline = time.monotonic() + warehouse.settings.stripe_deadline_seconds
    try:
        return _pull_with_retries(api, warehouse, report_type, deadline, info, warn)
    except StripeUnavailableError:
        given_up.append(report_type)
        raise


def _pull_with_retries(
    api: StripeApi, warehouse: Warehouse, report_type: str, deadline: float, info: Progress, warn: Progress
) -> Pulled:
    for retry in range(MAX_RETRIES):
        try:
            return pull(warehouse.settings, api, report_type, info, deadline=deadline)
        except StripeUnavailableError as error:
            wait = seconds_to_wait(retry)
            if time.monotonic() + wait >= deadline:
                raise
            warn(f"{error}; retrying in {wait} s")
            time.sleep(wait)
    return pull(warehouse.settings, api, report_type, info, deadline=deadline)
