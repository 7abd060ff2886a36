"""The lock that keeps two runs of one home apart, and the clean-up after a run whose process died."""

# ruff: noqa: PLC0415  a run with nothing new holds the lock without Dagster

import json
import logging
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import Timeout

from orchestration.history import FINISHED
from orchestration.idle_runs import add_to_history, has_waiting
from paywall_warehouse.files import has_ended, replace_text
from paywall_warehouse.home import Home

if TYPE_CHECKING:
    import dagster as dg

# Steps that write the lake or a warehouse file; `dagster.yaml` gives the pool one slot.
WRITER_POOL = "writer"
RUN_HISTORY_DAYS = 180
# Tags of a run: the process that runs it, and the machine or container on which that number is valid.
PROCESS_TAG, HOST_TAG = "paywall-warehouse/process", "paywall-warehouse/host"
DIED = "The process of this run ended before the run did."


class AnotherRunError(Exception):
    """Another run is at work on the home; the text names it."""

    def __init__(self, place: Path, holder: str) -> None:
        self.in_use = f"{place} is in use by {holder}."
        """The message for commands that never wait."""
        super().__init__(f"{self.in_use} Without --no-wait this one would wait for its end.")


@contextmanager
def exclusive(
    home: Home, run_id: str, instance: "dg.DagsterInstance | None", log: logging.Logger, *, wait: bool = True
) -> Iterator[None]:
    """Hold the home's run lock. If another run holds it, wait, or raise `AnotherRunError` at once.

    The operating system releases the lock of a process that dies. The file next to the lock then still names
    that run, and the next holder marks it as failed.
    """
    home.make()
    lock = home.run_lock
    try:
        lock.acquire(blocking=False)
    except Timeout:
        if not wait:
            raise AnotherRunError(home.root, describe_holder(home)) from None
        log.warning("%s is in use by %s; this one waits for its end", home.root, describe_holder(home))
        lock.acquire()
    try:
        if instance is not None:
            _settle(home, instance)
            _free_pool(instance, run_id)
            _delete_old_runs(instance)
            add_to_history(home, instance)
        with named_holder(home, run_id):
            yield
    finally:
        lock.release()


@contextmanager
def named_holder(home: Home, run_id: str) -> Iterator[None]:
    """Name the run beside the lock that it holds."""
    holder = {
        "run_id": run_id,
        "process": os.getpid(),
        "host": socket.gethostname(),
        "since": f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC",
    }
    replace_text(holder_file(home), json.dumps(holder))
    yield
    # Kept if Dagster itself failed, for example on a full disk: the next run then settles this one.
    holder_file(home).unlink(missing_ok=True)


def settle_dead_runs(home: Home, instance: "dg.DagsterInstance") -> None:
    """Mark runs whose process died as failed, so that they hold no slot of the pool, and add the runs that
    ended without Dagster to its history.

    Does nothing while a run is at work: a run on another machine would look dead from here.
    """
    if not (holder_file(home).exists() or has_waiting(home) or _runs_without_process(instance)):
        return  # without taking the lock: a run that starts at this moment finds it free
    try:
        with home.run_lock.acquire(blocking=False):
            _settle(home, instance)
            for run in _runs_without_process(instance):
                instance.report_run_failed(run, DIED)
            add_to_history(home, instance)
    except Timeout:
        return


def own_tags() -> dict[str, str]:
    """Return the tags by which Dagster knows a run of this process."""
    return {PROCESS_TAG: str(os.getpid()), HOST_TAG: socket.gethostname()}


def holder_file(home: Home) -> Path:
    """Return the file that names the run that holds the lock, or held it when its process died."""
    return home.root / "state" / "running.json"


def describe_holder(home: Home) -> str:
    """Return the run that holds the run lock, as words."""
    try:
        holder = json.loads(holder_file(home).read_text(encoding="utf-8"))
        return (
            f"run {holder['run_id']}, process {holder['process']} on {holder['host']}, since"
            f" {holder['since']}"
        )
    except (FileNotFoundError, ValueError, KeyError):
        return "another process"


def _settle(home: Home, instance: "dg.DagsterInstance") -> None:
    """Mark the run that the holder file names as failed if it has not finished, and free its slots."""
    try:
        run_id = json.loads(holder_file(home).read_text(encoding="utf-8"))["run_id"]
    except FileNotFoundError:
        return
    run = instance.get_run_by_id(run_id)
    if run is not None:
        if not run.is_finished:
            instance.report_run_failed(run, DIED)
        instance.event_log_storage.free_concurrency_slots_for_run(run_id)
    holder_file(home).unlink(missing_ok=True)


def _free_pool(instance: "dg.DagsterInstance", run_id: str) -> None:
    """Free the pool's slots of other runs: only the holder of the run lock writes.

    Without this, a run would wait for ever for a slot of a run that died.
    """
    storage = instance.event_log_storage
    if not storage.supports_global_concurrency_limits:
        return
    slots = storage.get_concurrency_info(WRITER_POOL)
    claimed = {slot.run_id for slot in slots.claimed_slots}
    pending = {step.run_id for step in slots.pending_steps}
    for other in (claimed | pending) - {run_id}:
        storage.free_concurrency_slots_for_run(other)


def _delete_old_runs(instance: "dg.DagsterInstance") -> None:
    """Delete old runs from Dagster, which keeps about 1 MB of events for each; `ops.runs` keeps a row."""
    import dagster as dg

    created_before = datetime.now(UTC) - timedelta(days=RUN_HISTORY_DAYS)
    old = dg.RunsFilter(created_before=created_before, statuses=[*map(dg.DagsterRunStatus, FINISHED)])
    for run in instance.get_runs(filters=old, limit=100):
        instance.delete_run(run.run_id)


def _runs_without_process(instance: "dg.DagsterInstance") -> "list[dg.DagsterRun]":
    """Return unfinished runs of this machine whose process died, perhaps before they held the run lock."""
    import dagster as dg

    unfinished = [status for status in dg.DagsterRunStatus if status.value not in FINISHED]
    runs = instance.get_runs(filters=dg.RunsFilter(statuses=unfinished))
    ours = [run for run in runs if run.tags.get(HOST_TAG) == socket.gethostname()]
    return [
        run
        for run in ours
        if (process := run.tags.get(PROCESS_TAG, "")).isdecimal() and has_ended(int(process))
    ]
