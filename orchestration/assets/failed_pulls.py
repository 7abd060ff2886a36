"""A pull that failed: whether the run goes on without its source."""

from collections.abc import Callable
from datetime import UTC, datetime

import dagster as dg

from ingestion.pulls.failures import FailedPull, note_failure
from ingestion.unloaded_files import nothing_landed
from paywall_warehouse.settings import Settings


def go_on_without(
    settings: Settings,
    source: str,
    error: Exception,
    warn: Callable[[str], None],
    *,
    is_required: str | None = None,
) -> FailedPull:
    """Record the failure of a pull, and warn that the run goes on without it.

    Raises `dg.Failure` if nothing else has landed that could be published, or the run needs the source:
    `is_required` states why.
    """
    failure = note_failure(settings.home, source, datetime.now(UTC), str(error))
    reason = is_required
    if reason is None and nothing_landed(settings):
        reason = "Nothing else has landed, so there is nothing to publish."
    if reason is not None:
        raise dg.Failure(f"{failure.reason}. {reason}", allow_retries=False) from None
    warn(f"{source} could not be pulled; the run goes on without it: {failure.reason}")
    return failure
