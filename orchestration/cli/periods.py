"""The work of `close` and `reopen`: the act in the lake, then a build and a publication without a load."""

# ruff: noqa: PLC0415  Dagster takes seconds to import, and a refusal needs nothing of it

from collections.abc import Callable
from datetime import date

from filelock import Timeout

from ingestion.lake.period_acts import Act
from orchestration.cli.common import NOT_PUBLISHED, WrongUsageError
from paywall_warehouse.settings import Settings
from warehouse.closing import PeriodRefusedError, close_month, reopen_month

Progress = Callable[[str], None]


def close_and_publish(
    settings: Settings, month: date, by: str, note: str | None, *, progress: Progress
) -> int:
    """Close a month and publish; return the exit code. Raises `WrongUsageError` if nothing was changed."""
    act = _act(settings, lambda: close_month(settings, month, by, note))
    return _publish(
        settings,
        f"{act.month_text} is closed: {act.line_count:,} journal lines, digest {act.digest}.",
        progress,
    )


def reopen_and_publish(settings: Settings, month: date, by: str, reason: str, *, progress: Progress) -> int:
    """Reopen a month and publish; return the exit code. Raises `WrongUsageError` if nothing was changed."""
    act = _act(settings, lambda: reopen_month(settings, month, by, reason))
    return _publish(settings, f"{act.month_text} is open again: its journal lines are restated.", progress)


def _act(settings: Settings, act: Callable[[], Act]) -> Act:
    """Do something that takes a moment, unless a run is at work, which may publish other lines."""
    home = settings.home
    try:
        with home.run_lock.acquire(blocking=False):
            return act()
    except PeriodRefusedError as error:
        raise WrongUsageError(f"{error}\nNothing was changed.") from error
    except Timeout:
        from orchestration.run_lock import AnotherRunError, describe_holder

        another = AnotherRunError(home.root, describe_holder(home))
        raise WrongUsageError(f"{another.in_use} Try again after its end.\nNothing was changed.") from None


def _publish(settings: Settings, done: str, progress: Progress) -> int:
    from orchestration.cli.run import run_once
    from orchestration.cli.summary import PUBLISH
    from orchestration.instance import open_instance

    progress(done)
    with open_instance(settings.home) as instance:
        code = run_once(settings, instance, job=PUBLISH)
    if code == NOT_PUBLISHED:
        progress(
            f"{done} This is not published yet: fix the cause of the failed run, then `paywall-warehouse"
            " run`."
        )
    return code
