"""A pull of a run, and whether the run goes on without its source if the pull fails."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, Protocol, TypeVar

import dagster as dg

from ingestion.pulls.failures import FailedPull, forget_failure, note_failure
from ingestion.unloaded_files import nothing_landed
from paywall_warehouse.settings import Settings


class Pulled(Protocol):
    """What a pull has landed."""

    @property
    def warnings(self) -> Sequence[str]:
        """What a person should look at."""


PulledT = TypeVar("PulledT", bound=Pulled)


def pulled_or_failed(
    settings: Settings,
    source: str,
    pull: Callable[[], PulledT],
    failures: tuple[type[Exception], ...],
    warn: Callable[[str], None],
) -> PulledT | FailedPull:
    """Pull a source and pass its warnings on. If one of `failures` is raised, go on without the source."""
    try:
        pulled = pull()
    except failures as error:
        return go_on_without(settings, source, error, warn)
    forget_failure(settings.home, source)
    for warning in pulled.warnings:
        warn(f"{source}: {warning}")
    return pulled


def files_listed(names: Sequence[str]) -> dict[str, dg.MetadataValue[Any]]:
    """Return the metadata with the names of new files; none without any."""
    return {"files": dg.MetadataValue.md("\n".join(f"- {name}" for name in names))} if names else {}


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
