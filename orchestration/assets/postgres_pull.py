"""The pulls from Postgres of one run: what is tried again, and whether the run goes on if a pull fails."""

from collections.abc import Callable, Mapping
from typing import Any

from ingestion.postgres_pull.block import PostgresPull
from ingestion.postgres_pull.pull import PullResult, pull_postgres
from ingestion.postgres_pull.server import PostgresRefusedError, PostgresUnavailableError
from ingestion.pulls.failures import FailedPull
from orchestration.assets.failed_pulls import files_listed, pulled_or_failed
from orchestration.retries import retry_in_place
from paywall_warehouse.settings import Settings

Progress = Callable[[str], None]
FAILURES = (PostgresUnavailableError, PostgresRefusedError)
# Dagster's UI plots numbers over time, so every run states them.
NO_COUNTS = {"new files": 0, "new rows": 0, "unchanged rows": 0, "rows without cursor": 0}


def postgres_pulls(
    settings: Settings, pulls: Mapping[str, PostgresPull], info: Progress, warn: Progress
) -> dict[str, dict[str, Any]]:
    """Pull each source, and return the metadata of each for its asset.

    If Postgres does not deliver a source, the failure is recorded and the run goes on without it. Raises
    `dg.Failure` if nothing else has landed that could be published.
    """
    given_up: set[str] = set()
    return {
        source: pull_metadata(postgres_pull_or_go_on(settings, source, pull, info, warn, given_up))
        for source, pull in pulls.items()
    }


def postgres_pull_or_go_on(
    settings: Settings, source: str, pull: PostgresPull, info: Progress, warn: Progress, given_up: set[str]
) -> PullResult | FailedPull:
    """Pull a source as `postgres_pulls` does.

    `given_up` has the variables of servers for which an earlier pull of the run has waited in vain. Later
    pulls from there try once.
    """

    def pull_once() -> PullResult:
        return pull_postgres(settings, source, pull, info)

    def pull_patiently() -> PullResult:
        try:
            return pull_once() if pull.dsn_variable in given_up else retry_in_place(pull_once, warn)
        except PostgresUnavailableError:
            given_up.add(pull.dsn_variable)
            raise

    return pulled_or_failed(settings, source, pull_patiently, FAILURES, warn)


def pull_metadata(pulled: PullResult | FailedPull) -> dict[str, Any]:
    """Return the new files and rows, and up to which cursor value everything has landed."""
    if isinstance(pulled, FailedPull):
        return {**NO_COUNTS, "pull failed": pulled.reason}
    metadata: dict[str, Any] = {
        "new files": len(pulled.files),
        "new rows": pulled.rows,
        "unchanged rows": pulled.unchanged,
        "rows without cursor": pulled.without_cursor,
    }
    if pulled.through is not None:
        metadata["data until"] = pulled.through
    if pulled.missing_columns:
        metadata["columns that the table does not have"] = ", ".join(pulled.missing_columns)
    return metadata | files_listed(pulled.files)
