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

from ingestion.landing.area import Landing
from ingestion.stripe_pull.api import StripeApi
from paywall_warehouse.files import has_ended, remove_partials, replace_text
from paywall_warehouse.home import Home
from paywall_warehouse.settings import Settings
from warehouse.dbt_runner import code_version
from warehouse.runs import log_unlogged

OWNER = "team:finance-data"
# Steps that write the lake or a warehouse file; `dagster.yaml` gives the pool one slot.
WRITER_POOL = "writer"
RUN_HISTORY_DAYS = 180
# The process that runs the command, while its run lasts, and the machine or container whose numbers of
# processes tell it.
PROCESS_TAG, HOST_TAG = "paywall-warehouse/process", "paywall-warehouse/host"
DIED = "The process of this run ended before the run did."
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
    stripe_given_up: list[str] = field(default_factory=list)
    """The report type for which Stripe was waited for in vain: the pulls after it need not wait again."""
    unreachable: list[str] = field(default_factory=list)
    """Why the place of the exports could not be written to: one export has waited for it, the others need
    not.
    """

    @contextmanager
    def building(self, *, whole: bool) -> Iterator[None]:
        """Mark the build file as not to be published until every model has been built and every test
        holds.
        """
        replace_text(self._unfinished, self.run_id)
        yield
        if whole:
            self._unfinished.unlink()

    @property
    def is_finished(self) -> bool:
        """Whether the last build came to its end: a half-built file could pass the checks before
        publication.
        """
        return not self._unfinished.exists()

    @property
    def _unfinished(self) -> Path:
        return self.settings.home.root / "state" / "unfinished_build"


def warehouse_resource(settings: Settings) -> dg.ResourceDefinition:
    """The `Warehouse` of a run; while it is in use no other run works on the same home."""

    @dg.resource(
        description="The settings of this run, and the lock that keeps other runs of the same home waiting.",
        config_schema={
            "full_refresh": dg.Field(
                bool, default_value=False, description="Rebuild every table from the lake."
            ),
            "wait": dg.Field(
                bool,
                default_value=True,
                description="Wait where another run is at work on the home; else fail at once.",
            ),
        },
    )
    def warehouse(context: dg.InitResourceContext) -> Iterator[Warehouse]:
        run_id = context.run_id or "unknown"
        log, wait = context.log or logging.getLogger(__name__), context.resource_config["wait"]
        with exclusive(settings.home, run_id, context.instance, log, wait=wait):
            clear_up(settings)
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


def clear_up(settings: Settings) -> None:
    """Put in order what a killed run left that no later step would; the caller holds the run lock."""
    home, landing = settings.home, Landing.of(settings)
    ours = [
        home.root / "state",
        home.lake,
        home.dbt_target,
        *([Path(landing.root) / "stripe"] if landing.is_local else []),
    ]
    remove_partials(ours)
    log_unlogged(home)


def _forget_old_runs(instance: dg.DagsterInstance) -> None:
    """Dagster keeps the events of every run, a file of about 1 MB each, for ever; `ops.runs` keeps a line of
    each.
    """
    old = dg.RunsFilter(
        created_before=datetime.now(UTC) - timedelta(days=RUN_HISTORY_DAYS), statuses=list(FINISHED)
    )
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
        return (
            f"run {stated['run_id']}, process {stated['process']} on {stated['host']}, since"
            f" {stated['since']}"
        )
    except (FileNotFoundError, ValueError, KeyError):
        return "another process"


@contextmanager
def exclusive(
    home: Home, run_id: str, instance: dg.DagsterInstance | None, log: logging.Logger, *, wait: bool = True
) -> Iterator[None]:
    """Hold the home's run lock; where another run holds it, wait for its end, or raise `AnotherRunError` at
    once.

    The operating system releases the lock of a process that dies. The file beside it then still names that
    run, and whoever gets the lock settles it.
    """
    home.make()
    lock = home.run_lock
    try:
        lock.acquire(blocking=False)
    except Timeout:
        if not wait:
            raise AnotherRunError(
                f"{home.root} is in use by {holder(home)}. Without --no-wait this one would wait for its end."
            ) from None
        log.warning("%s is in use by %s; this one waits for its end", home.root, holder(home))
        lock.acquire()
    try:
        if instance is not None:
            _settle(home, instance)
            _free_pool(instance, run_id)
            _forget_old_runs(instance)
        stated = {
            "run_id": run_id,
            "process": os.getpid(),
            "host": socket.gethostname(),
            "since": f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC",
        }
        replace_text(_holder(home), json.dumps(stated))
        yield
        # Not where Dagster itself broke down, as it does where the disk is full: then the next run has to
        # settle this one.
        _holder(home).unlink(missing_ok=True)
    finally:
        lock.release()


def _free_pool(instance: dg.DagsterInstance, run_id: str) -> None:
    """Take back the pool's slots from other runs: who writes holds the run lock, and a run waits for ever for
    a slot that nobody frees.
    """
    storage = instance.event_log_storage
    if not storage.supports_global_concurrency_limits:
        return
    slots = storage.get_concurrency_info(WRITER_POOL)
    for other in {
        *(slot.run_id for slot in slots.claimed_slots),
        *(step.run_id for step in slots.pending_steps),
    } - {run_id}:
        storage.free_concurrency_slots_for_run(other)


def settle_dead_runs(home: Home, instance: dg.DagsterInstance) -> None:
    """Tell Dagster of runs whose process died, so that they do not count as running and hold no slot of a
    pool.

    Only where no run is at work: one on another machine would seem dead.
    """
    if not (_holder(home).exists() or _early_ends(instance)):
        return  # a run that starts at this moment finds the lock free
    lock = home.run_lock
    try:
        with lock.acquire(blocking=False):
            _settle(home, instance)
            for run in _early_ends(instance):
                instance.report_run_failed(run, DIED)
    except Timeout:
        return


def _early_ends(instance: dg.DagsterInstance) -> list[dg.DagsterRun]:
    """Runs of the command whose process died, perhaps before they held the home's lock and were named beside
    it.
    """
    unfinished = [status for status in dg.DagsterRunStatus if status not in FINISHED]
    runs = instance.get_runs(filters=dg.RunsFilter(statuses=unfinished))
    ours = [run for run in runs if run.tags.get(HOST_TAG) == socket.gethostname()]
    return [
        run
        for run in ours
        if (process := run.tags.get(PROCESS_TAG, "")).isdecimal() and has_ended(int(process))
    ]


def own_tags() -> dict[str, str]:
    """How Dagster knows a run of this process."""
    return {PROCESS_TAG: str(os.getpid()), HOST_TAG: socket.gethostname()}


def _settle(home: Home, instance: dg.DagsterInstance) -> None:
    try:
        run_id = json.loads(_holder(home).read_text(encoding="utf-8"))["run_id"]
    except FileNotFoundError:
        return
    run = instance.get_run_by_id(run_id)
    if run is not None:
        if not run.is_finished:
            instance.report_run_failed(run, DIED)
        instance.event_log_storage.free_concurrency_slots_for_run(run_id)
    _holder(home).unlink(missing_ok=True)
