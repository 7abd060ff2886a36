"""Fixtures of several files.

They import what they need themselves: Dagster, dbt and the browser would add 3 s to every unit test.
"""

from __future__ import annotations

import gc
import os
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import hypothesis
import pytest

from tests.support import shared

if TYPE_CHECKING:
    import subprocess

    import dagster as dg
    from playwright.sync_api import Browser, BrowserContext

    from tests.support.browser import Screen
    from tests.support.harness import RunResult

# Whole runs allocate millions of objects that live as long as the run. Python looks for garbage after every
# 700 of them, which takes an eighth of the time of a run.
gc.set_threshold(50_000, 20, 100)

# Only a power failure shows whether something was on the disk, and to wait for it is a sixth of the time of a
# run. Which files are flushed, tests note by a function of their own in its place.
os.fsync = lambda _: None

# How long an example takes depends on what else the machine does.
hypothesis.settings.register_profile("no_deadline", deadline=None)
hypothesis.settings.load_profile("no_deadline")

# Workers take a file at a time: with a minute-long one last, the others wait for it. First comes the file
# whose builds all others repeat, the rest by CPU.
LONGEST_FIRST = (
    "test_replayed_dbt",
    "test_cli",
    "test_periods",
    "test_erasure",
    "test_crashes",
    "test_dashboard",
    "test_close_commands",
    "test_hostile_input",
    "test_pull",
    "test_dbt_project",
    "test_mapped_sources",
    "test_unified_payments",
    "test_discard",
    "test_bill_pull",
    "test_bills_loading",
    "test_dashboard_costs",
    "test_cost_reconciliation",
    "test_postgres_pull",
    "test_orchestration",
    "test_reconciliation_runs",
    "test_parallel_load",
    "test_growth",
    "test_export_restatements",
    "test_cost_currency",
    "test_export_stores",
    "test_dashboard_trust",
    "test_dashboard_server",
    "test_dagster_ui",
    "test_sample",
    "test_pull_api",
    "test_alert_runs",
    "test_reconciliation",
    "test_markups",
    "test_stripe_outage",
    "test_stripe_times",
    "test_cost_statements",
    "test_books",
    "test_journal_export",
    "test_dashboard_users",
    "test_publish",
    "test_ingestion",
    "test_export_runs",
    "test_pipeline_against_oracle",
    "test_filtered_macros",
    "test_mapped_runs",
    "test_dashboard_reconciliation",
    "test_dashboard_growth",
    "test_unused_models",
    "test_billing",
    "test_receiver",
    "test_row_limits",
    "test_stripe_pull",
    "test_dashboard_finance",
    "test_export_slices",
    "test_export_command",
    "test_export_interruptions",
    "test_export_values",
    "test_cluster",
    "test_validate_file",
    "test_dagster_home",
    "test_unread_files",
    "test_serve",
    "test_dashboard_publication",
    "test_alert_rules",
    "test_books_oracle",
    "test_doc_recipes",
    "test_pull_bounds",
    "test_dashboard_charts",
    "test_stripe_files",
    "test_warm_up",
    "test_spark_sql",
    "test_costs",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The files that take longest come first."""
    ranks = {name: rank for rank, name in enumerate(LONGEST_FIRST)}
    items.sort(key=lambda item: ranks.get(item.path.stem, len(ranks)))


@pytest.fixture(scope="session", autouse=True)
def _folder_of_all_workers(tmp_path_factory: pytest.TempPathFactory) -> None:
    shared.folder = shared.folder_of_all(tmp_path_factory)


@pytest.fixture(scope="session")
def first_run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, subprocess.CompletedProcess[str]]:
    """`make run` on a fresh machine, once for all workers; no other file is published there."""
    from tests.support.command import real_command

    def make(folder: Path) -> None:
        (folder / "done.pickle").write_bytes(
            pickle.dumps(real_command(folder / "home", "run", "--sample", AS_OF="2026-11-01T12:00:00Z"))
        )

    folder = shared.once(tmp_path_factory, "sample", make)
    return folder / "home", pickle.loads((folder / "done.pickle").read_bytes())


@pytest.fixture(scope="session")
def empty_run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, RunResult]:
    """A run where nothing landed, once for all workers; its home is not to be changed."""
    from tests.support.harness import run_pipeline

    def make(folder: Path) -> None:
        (folder / "done.pickle").write_bytes(pickle.dumps(run_pipeline(folder / "home")))

    folder = shared.once(tmp_path_factory, "empty", make)
    return folder / "home", pickle.loads((folder / "done.pickle").read_bytes())


@pytest.fixture(scope="session")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The home of the first publication; not to be changed."""
    from tests.support.export_homes import first_publication

    return first_publication(tmp_path_factory)


@pytest.fixture(scope="session")
def second(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The home of the second publication; not to be changed."""
    from tests.support.export_homes import second_publication

    return second_publication(tmp_path_factory)


@pytest.fixture
def no_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    """Superseded files are removed at once."""
    from exports import catalog

    monkeypatch.setattr(catalog, "READERS_GRACE_SECONDS", 0)


@pytest.fixture(scope="module")
def instance() -> Iterator[dg.DagsterInstance]:
    """Dagster's history of the runs of one file."""
    import dagster as dg

    with dg.DagsterInstance.ephemeral() as ephemeral:
        yield ephemeral


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """For one file: as long as it runs, no event loop of another test can."""
    from tests.support.browser import browsing

    with browsing() as browser:
        yield browser


@pytest.fixture(scope="module")
def context(browser: Browser) -> BrowserContext:
    """What all windows of a file know of: the scripts that have been loaded."""
    from tests.support.browser import new_context

    return new_context(browser)


@pytest.fixture
def screen(context: BrowserContext, address: str) -> Iterator[Screen]:
    """A window on the dashboard at `address`, a fixture of the file, without errors until the test ends."""
    from tests.support.browser import Screen

    screen = Screen(context, address)
    yield screen
    assert (screen.errors(), screen.complaints) == ([], [])
    screen.page.close()
