"""One pull of a run: how long it waits for Stripe, and whether the run goes on if the pull fails."""

import time
from collections.abc import Callable

from ingestion.pulls.failures import FailedPull, forget_failure
from ingestion.sources.stripe.reports import StripeReport
from ingestion.stripe_pull.api import StripeRefusedError, StripeUnavailableError
from ingestion.stripe_pull.pull import Pulled, ReportFailedError, pull
from orchestration.assets.failed_pulls import go_on_without
from orchestration.resources import Warehouse
from orchestration.retries import retry_until

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
        required = "Nothing is published without Stripe: STRIPE_REQUIRED is set."
        return go_on_without(
            settings,
            stripe_report.source,
            error,
            warn,
            is_required=required if settings.stripe_required else None,
        )
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
        return retry_until(
            lambda: pull(warehouse.settings, api, report_type, info, deadline=deadline),
            deadline,
            StripeUnavailableError,
            warn,
        )
    except StripeUnavailableError:
        given_up.append(report_type)
        raise
