"""A whole run, as `paywall-warehouse run` does it, in this process: what it imports and parses is paid once
for all tests.

The command as a process of its own takes 7 s more a run; `test_cli.py` shows that it does the same. From the
second build of its kind in a process, dbt's statements are repeated without dbt (`replayed_dbt`). Tests of
numbers also do without Dagster and dbt's data tests: `publish_home` calls the functions that the assets call.
"""

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any
from unittest.mock import patch

import dagster as dg
from dagster._core.events.log import EventLogEntry
from dagster._core.storage.event_log import InMemoryEventLogStorage
from dagster._core.storage.event_log.base import AssetRecord

from ingestion.load import load
from ingestion.sources.registry import sources
from orchestration.assets.failures import check_failure, dbt_failure
from orchestration.cli.run import run_once
from paywall_warehouse.settings import Settings, SettingsError, load_settings
from tests.support.replayed_dbt import WITHOUT_DATA_TESTS, parse_once, replayed_builds
from warehouse.build import finish_build, prepare_build
from warehouse.build_file import copy_ahead, drop_build_file
from warehouse.checks.invariants import INVARIANTS
from warehouse.code_version import code_version
from warehouse.dbt_runner import Dbt
from warehouse.engines import engine_of
from warehouse.plan import Build
from warehouse.price_book import resolve_price_book
from warehouse.publish import check_and_publish


@dataclass(frozen=True)
class RunResult:
    """Exit code, and stdout and stderr in one."""

    exit_code: int
    output: str

    def __str__(self) -> str:
        return self.output


class _UnreadEventLog(InMemoryEventLogStorage):
    """Dagster's history of a run that no test can read: nothing is kept, nothing is found. To write 540
    events as text and into SQLite is a fifth of the CPU of a run, to find that no asset was ever
    materialized or observed another one. Tests with an `instance` of their own do all of it.
    """

    def store_event(self, event: EventLogEntry) -> None:
        pass

    def get_asset_records(self, asset_keys: Sequence[dg.AssetKey] | None = None) -> list[AssetRecord]:
        return []

    def _get_event_records(self, *_: Any, **__: Any) -> list[dg.EventLogRecord]:
        return []


class _MaterializationsOnly(_UnreadEventLog):
    """Dagster's history of which tests read nothing but materializations."""

    def store_event(self, event: EventLogEntry) -> None:
        if event.dagster_event is not None and event.dagster_event.is_step_materialization:
            InMemoryEventLogStorage.store_event(self, event)


@contextmanager
def kept_materializations() -> Iterator[dg.DagsterInstance]:
    """An instance that keeps what assets show of themselves and nothing else, in two thirds of the CPU."""
    with dg.DagsterInstance.ephemeral() as instance:
        instance._event_storage = _MaterializationsOnly()
        instance._event_storage.register_instance(instance)
        yield instance


@cache
def _unread_instance() -> dg.DagsterInstance:
    instance = dg.DagsterInstance.ephemeral()
    instance._event_storage = _UnreadEventLog()
    instance._event_storage.register_instance(instance)
    return instance


@contextmanager
def _unread_history() -> Iterator[dg.DagsterInstance]:
    """An instance without a run, which is made once: its tables cost as much as an eighth of a run."""
    instance = _unread_instance()
    try:
        yield instance
    finally:
        # What Dagster knows of the job itself stays.
        for run in instance.get_runs():
            instance.run_storage.delete_run(run.run_id)


@contextmanager
def unread_histories() -> Iterator[None]:
    """Let Dagster keep nothing of the runs of commands in this process."""
    with patch("orchestration.instance.open_instance", lambda _: _unread_history()):
        yield


def run_pipeline(
    home: Path,
    *,
    full_refresh: bool = False,
    exports: bool = False,
    by_dbt: bool = False,
    instance: dg.DagsterInstance | None = None,
    overrides: dict[str, Any] | None = None,
    **settings: Any,
) -> RunResult:
    """Run the job `refresh` on a home; settings by their lower-case names, such as
    `reporting_timezone="Europe/Berlin"`.

    Without `exports`, which only their own tests need, a run ends with the published file. Dagster keeps no
    history of the run unless an `instance` is given; `overrides` go to `build_defs`. `by_dbt` is for tests of
    the run itself: dbt builds, whatever was built before.
    """
    output = io.StringIO()
    with redirect_stdout(output), redirect_stderr(output):
        try:
            checked = load_settings(_env_file=None, warehouse_home=home, **settings)
        except SettingsError as error:
            return RunResult(2, str(error))
        parse_once(Dbt(checked))
        with (
            nullcontext(instance) if instance else _unread_history() as used,
            nullcontext() if by_dbt else replayed_builds(),
        ):
            exit_code = run_once(
                checked, used, full_refresh=full_refresh, exports=exports, **(overrides or {})
            )
    return RunResult(exit_code, output.getvalue())


def publish_home(home: Path, *, full_refresh: bool = False, **settings: Any) -> None:
    """Load, build, check and publish as `run_pipeline` does, without Dagster, dbt's data tests and exports.

    Raises Dagster's `Failure`, as the assets do, if a model or a check fails. Settings by their lower-case
    names.
    """
    checked = _settings_at_one_instant(home, settings)
    started_at = datetime.now(UTC)
    plan = _load_and_build(checked, full_refresh=full_refresh, replayed=True)
    if plan is None:
        return
    finish_build(checked, plan)
    candidate = engine_of(checked).candidate()
    publication = check_and_publish(checked, "test", started_at, checked.now(), code_version(), candidate)
    if not publication.published:
        raise check_failure("Nothing is published", INVARIANTS, publication.failures)


def build_unchecked(home: Path, *, by_dbt: bool = True, **settings: Any) -> None:
    """Build everything anew with dbt and end before the checks, which leaves the build file."""
    checked = _settings_at_one_instant(home, settings)
    plan = _load_and_build(checked, full_refresh=True, replayed=not by_dbt)
    assert plan is not None
    finish_build(checked, plan)


def _settings_at_one_instant(home: Path, settings: dict[str, Any]) -> Settings:
    # With two threads, the default, DuckDB takes 8 % more CPU for small tables. Runs of the job have two.
    checked = load_settings(_env_file=None, warehouse_home=home, **({"duckdb_threads": 1} | settings))
    return checked.model_copy(update={"as_of": checked.as_of or datetime.now(UTC)})


def _load_and_build(settings: Settings, *, full_refresh: bool, replayed: bool) -> Build | None:
    """Return the plan of the build, None if nothing had to be built."""
    for source in sources(settings.home):
        load(settings, source, drop_build=drop_build_file, on_new=copy_ahead)
    resolve_price_book(settings)
    plan = prepare_build(settings, code_version(), full_refresh=full_refresh)
    if not plan.needed:
        return None
    # What is replayed asks for the manifest only where dbt has to build.
    manifest = {} if replayed else Dbt(settings).prepare_manifest()
    with replayed_builds() if replayed else nullcontext():
        done = engine_of(settings).build(plan, "test", manifest, WITHOUT_DATA_TESTS, lambda _: None)
    if done.failures:
        raise dbt_failure(done)
    return plan
