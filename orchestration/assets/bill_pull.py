"""The pulls of bills of a run: how long it waits for an API, and whether the run goes on if a pull fails."""

import time
from collections.abc import Callable
from typing import Any, Final

import dagster as dg

from ingestion.bill_pull.apis import BillApi
from ingestion.bill_pull.client import BillsRefusedError, BillsUnavailableError
from ingestion.bill_pull.pull import PulledBills, pull_bills
from ingestion.pulls.failures import FailedPull, forget_failure
from orchestration.assets.failed_pulls import files_listed, pulled_or_failed
from orchestration.retries import retry_until
from paywall_warehouse.settings import Settings

Progress = Callable[[str], None]
FAILURES = (BillsUnavailableError, BillsRefusedError)
# Dagster's UI plots numbers over time, so every run states them.
NO_COUNTS: Final = {"new files": 0, "new or changed days": 0, "requested days": 0}


def bill_pull(settings: Settings, api: BillApi, info: Progress, warn: Progress) -> dict[str, Any]:
    """Pull the bills of an API if its key is set, and return the metadata for its asset.

    If the API does not deliver them, the failure is recorded and the run goes on without it. Raises
    `dg.Failure` if nothing else has landed that could be published.
    """
    if not api.is_active(settings):
        forget_failure(settings.home, api.source)
        key = api.key_setting.upper()
        return {**NO_COUNTS, "pull": f"{key} is not set: only files in the landing area are loaded"}
    return pull_metadata(pull_bills_or_go_on(settings, api, info, warn))


def pull_bills_or_go_on(
    settings: Settings, api: BillApi, info: Progress, warn: Progress
) -> PulledBills | FailedPull:
    """Pull the bills of an API as `bill_pull` does, and retry until BILLS_DEADLINE_SECONDS have passed."""
    deadline = time.monotonic() + settings.bills_deadline_seconds

    def pull() -> PulledBills:
        return retry_until(
            lambda: pull_bills(settings, api, info, deadline=deadline), deadline, BillsUnavailableError, warn
        )

    return pulled_or_failed(settings, api.source, pull, FAILURES, warn)


def pull_metadata(pulled: PulledBills | FailedPull) -> dict[str, Any]:
    """Return the new files and days, and until when there are complete days."""
    if isinstance(pulled, FailedPull):
        return {**NO_COUNTS, "pull failed": pulled.reason}
    metadata: dict[str, Any] = {
        "new files": len(pulled.files),
        "new or changed days": pulled.days,
        "requested days": pulled.requested,
    }
    if pulled.available_until is not None:
        metadata["data until"] = dg.MetadataValue.timestamp(pulled.available_until)
    return metadata | files_listed(pulled.files)
