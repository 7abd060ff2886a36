"""What every step of a run works with, and the lock that keeps two runs of one home apart."""

import json
import logging
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
from filelock import Timeout

from ingestion.stripe.api import StripeApi
from orchestration.dbt import code_version
from paywall_warehouse.files import replace_text
from paywall_warehouse.home import Home
from paywall_warehouse.settings import Settings

OWNER = "team:finance-data"
# Steps that write the lake or a warehouse file; `dagster.yaml` gives the pool one slot.
WRITER_POOL = "writer"
RUN_HISTORY_DAYS = 180
FINISHED = (dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED)


@dataclass(frozen=True)
class Warehouse:
    """The settings of one run, with one `AS_OF` for all its steps."""

    settings: Settings
    run_id: str
    started_at: datetime
    code_version: str
    full_refresh: bool
    stripe: StripeApi | None = None
    """None without a key. One for all pulls of a run: they share its budget of reads."""
    unreachable: list[str] = field(default_factory=list)
    """Why the place of the exports could not be written to: one export has waited for it, the others need not."""

    @contextmanager
    def building(self, *, whole: bool) -> Iterator[None]:
        """Mark the build file as not to be published until every model has been built and every test holds."""
        replace_text(self._unfinished, self.run_id)
        yield
        if whole:
            self._unfinished.unlink()

    @property
    def is_finished(self) -> bool:
        """Whether the last build came to its end: a half-built file could pass the checks before publication."""
        return not self._unfinished.exists()

    @property
    def _unfinished(self) -> Path:
        return self.settings.home.root / "state" / "unfinished_build"


def warehouse_resource(settings: Settings) -> dg.ResourceDefinition:
    """The `Warehouse` of a run; while it is in use no other run works on the same home."""

    @dg.resource(
        description="The settings of this run, and the lock that keeps other runs of the same home waiting.",
        config_schema={
            "full_refresh": dg.Field(bool, default_value=False, description="Rebuild every table from the lake."),
            "wait": dg.Field(bool, default_value=True, description="Wait where another run is at work on the home; else fail at once."),
        },
    )
    def warehouse(context: dg.InitResourceContext) -> Iterator[Warehouse]:
        run_id = context.run_id or "unknown"
        log, wait = context.log or logging.getLogger(__name__), context.resource_config["wait"]
        with exclusive(settings.home, run_id, context.instance, log, wait=wait):
            started_at = datetime.now(UTC)
            yield Warehouse(
                settings=settings.model_copy(update={"as_of": settings.as_of or started_at}),
                run_id=run_id,
                started_at=started_at,
                code_version=code_version(),
                full_refresh=context.resource_config["full_refresh"],
                stripe=StripeApi(settings) if settings.stripe_api_key else None,
            )

    return warehouse


def _forget_old_runs(instance: dg.DagsterInstance) -> None:
    """Dagster keeps the events of every run, a file of about 1 MB each, for ever; `ops.runs` keeps a line of each."""
    old = dg.RunsFilter(created_before=datetime.now(UTC) - timedelta(days=RUN_HISTORY_DAYS), statuses=list(FINISHED))
    for run in instance.get_runs(filters=old, limit=100):
        instance.delete_run(run.run_id)


class AnotherRunError(Exception):
    """Another run is at work on the home; the text says which."""


def _holder(home: Home) -> Path:
    return home.root / "state" / "running.json"


def holder(home: Home) -> str:
    """Who holds the run lock, for people."""
    try:
        stated = json.loads(_holder(home).read_text(encoding="utf-8"))
        return f"run {stated['run_id']}, process {stated['process']} on {stated['host']}, since {stated['since']}"
    except (FileNotFoundError, ValueError, KeyError):
        return "another process"


@contextmanager
def exclusive(home: Home, run_id: str, instance: dg.DagsterInstance | None, log: logging.Logger, *, wait: bool = True) -> Iterator[None]:
    """Hold the home's run lock; where another run holds it, wait for its end, or raise `AnotherRunError` at once.

    The operating system releases the lock of a process that dies. The file beside it then still names that run, and
    whoever gets the lock settles it.
    """
    home.root.mkdir(parents=True, exist_ok=True)
    lock = home.run_lock
    try:
        lock.acquire(blocking=False)
    except Timeout:
        if not wait:
            raise AnotherRunError(f"{home.root} is in use by {holder(home)}. Without --no-wait this one would wait for its end.") from None
        log.warning("%s is in use by %s; this one waits for its end", home.root, holder(home))
        lock.acquire()
    try:
        if instance is not None:
            _settle(home, instance)
            _forget_old_runs(instance)
        stated = {
            "run_id": run_id,
            "process": os.getpid(),
            "host": socket.gethostname(),
            "since": f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC",
        }
        replace_text(_holder(home), json.dumps(stated))
        yield
    finally:
        _holder(home).unlink(missing_ok=True)
        lock.release()


def settle_dead_run(home: Home, instance: dg.DagsterInstance) -> None:
    """Tell Dagster of a run whose process died, so that it does not count as running and holds no slot of a pool."""
    if not _holder(home).exists():
        return
    lock = home.run_lock
    try:
        with lock.acquire(blocking=False):
            _settle(home, instance)
    except Timeout:
        return


def _settle(home: Home, instance: dg.DagsterInstance) -> None:
    try:
        run_id = json.loads(_holder(home).read_text(encoding="utf-8"))["run_id"]
    except FileNotFoundError:
        return
    run = instance.get_run_by_id(run_id)
    if run is not None:
        if not run.is_finished:
            instance.report_run_failed(run, "The process of this run ended before the run did.")
        instance.event_log_storage.free_concurrency_slots_for_run(run_id)
    _holder(home).unlink(missing_ok=True)
