"""The queries of the Overview are answered before anybody opens it, for every publication."""

import os
import shutil
import subprocess
from datetime import datetime
from pathlib import Path

import duckdb
import pytest
from streamlit.testing.v1 import AppTest

from dashboard import home as dashboard_home, warm_up
from dashboard.controls import CUSTOM, PERIODS
from dashboard.server import SCRIPT
from dashboard.snapshot import Publications, Snapshot
from paywall_warehouse.home import Home
from paywall_warehouse.settings import load_settings
from tests.support.browser import published_alone

pytestmark = pytest.mark.slow


@pytest.fixture
def home(first_run: tuple[Path, subprocess.CompletedProcess[str]], tmp_path: Path) -> Path:
    return published_alone(first_run[0], tmp_path / "home")


def file_of(home: Path) -> Path:
    return Home(home).published_file


def publications(home: Path) -> Publications:
    return Publications(file_of(home), home / "spill")


def current(published: Publications) -> Snapshot:
    snapshot = published.current()
    assert snapshot is not None
    return snapshot


def test_the_overview_of_a_named_period_asks_nothing_new(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    published = publications(home)
    monkeypatch.setenv("WAREHOUSE_HOME", str(home))
    snapshot = current(published)
    warm_up.warm_up(published)
    known = set(snapshot._results._kept)
    monkeypatch.setattr(dashboard_home, "settings", lambda: load_settings(_env_file=None))
    monkeypatch.setattr(dashboard_home, "publications", lambda: published)
    for name, label in PERIODS.items():
        if name != CUSTOM:
            page = AppTest.from_file(str(SCRIPT), default_timeout=120)
            page.query_params["period"] = label
            page.run()
            assert (len(page.exception), len(page.error)) == (0, 0)
            assert any("Revenue" in metric.label for metric in page.metric)
    assert set(snapshot._results._kept) - known == set()


def test_a_new_publication_is_answered_with_its_own_numbers(home: Path) -> None:
    published = publications(home)
    seen = warm_up.look(published, None)
    before = current(published)
    new = home / "new.duckdb"
    shutil.copy(file_of(home), new)
    with duckdb.connect(str(new)) as connection:
        connection.execute("update marts.fct_daily_revenue set revenue = revenue * 10")
    os.replace(new, file_of(home))
    assert warm_up.look(published, seen) != seen
    after = current(published)
    assert after is not before
    # A day that is cut is summed from entries, which have not changed.
    kept = [
        (query, values)
        for query, values in after._results._kept
        if "marts.kpis" in query and not any(isinstance(value, datetime) for value in values)
    ]
    revenue = [
        [sum(row["revenue"] for row in snapshot.rows(query, values)) for query, values in kept]
        for snapshot in (before, after)
    ]
    assert revenue[1] == [10 * amount for amount in revenue[0]]
    assert any(revenue[0])


def test_a_file_that_cannot_be_read_is_left_to_the_pages(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    published = publications(home)
    file_of(home).write_bytes(b"no database")
    seen = warm_up.look(published, None)
    assert seen == published.identity()
    monkeypatch.setattr(warm_up, "warm_up", lambda published: pytest.fail("opened again"))
    assert warm_up.look(published, seen) == seen
    file_of(home).unlink()
    assert warm_up.look(published, seen) is None
