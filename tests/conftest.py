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
    "test_crashes",
    "test_erasure",
    "test_dashboard",
    "test_hostile_input",
    "test_pull",
    "test_dashboard_reconciliation",
    "test_reconciliation_runs",
    "test_dbt_project",
    "test_dashboard_users",
    "test_parallel_load",
    "test_orchestration",
    "test_discard",
    "test_publish",
    "test_dashboard_costs",
    "test_dashboard_server",
    "test_dashboard_trust",
    "test_dashboard_charts",
    "test_postgres_pull",
    "test_unified_payments",
    "test_bill_pull",
    "test_receiver",
    "test_stripe_pull",
    "test_dagster_ui",
    "test_reconciliation",
    "test_pipeline_against_oracle",
    "test_export_runs",
    "test_costs",
    "test_export_command",
    "test_dashboard_publication",
    "test_row_limits",
    "test_dashboard_hostile",
    "test_cost_currency",
    "test_stripe_server",
    "test_dagster_home",
    "test_faults",
    "test_sample",
    "test_books_oracle",
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
