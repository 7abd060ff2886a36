"""What must not look healthy: failed runs, unknown costs, unfinished days, addresses that ask in vain."""

import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import pytest
from playwright.sync_api import BrowserContext

from paywall_warehouse.home import Home
from tests.support.browser import Screen, serving
from tests.support.builders import charge, deposit, land, ledger_file
from tests.support.harness import publish_home
from tests.support.shared import once
from warehouse.runs import FAILED, Run, append_run

pytestmark = pytest.mark.slow

# At noon of the last day.
AS_OF = "2026-10-05T12:00:00Z"
LEDGER = [
    deposit("d1", "2026-10-01T08:00:00Z", "20", user="alice"),
    deposit("d2", "2026-10-01T08:00:00Z", "20", user="alice", currency="eur"),
    deposit("d3", "2026-10-01T08:00:00Z", "20", user="bob", currency="eur"),
    # No cost is known of what is paid in dollars.
    charge("c1", "2026-10-02T09:00:00Z", "1.25", user="alice"),
    # Nor of this one: it is in another currency.
    charge(
        "c0",
        "2026-10-02T08:00:00Z",
        "0",
        user="alice",
        provider_cost="8",
        provider_cost_currency="EUR",
        metadata={"billed_by": "OpenRouter"},
    ),
    charge("c2", "2026-10-04T09:00:00Z", "2", user="alice", currency="eur", provider_cost="0.5"),
    # Yesterday afternoon is left out of a comparison with this morning.
    charge("c3", "2026-10-04T15:00:00Z", "7", user="bob", currency="eur", provider_cost="1"),
    charge("c4", "2026-10-05T09:00:00Z", "3", user="bob", currency="eur", provider_cost="0.25"),
]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with one publication, after which a run has failed."""

    def make(home: Path) -> None:
        land(home, [ledger_file("a.jsonl", LEDGER)])
        publish_home(home, as_of=AS_OF)
        at = datetime(2031, 1, 1, tzinfo=UTC)
        append_run(
            Home(home), Run("run-2", at, at, at, FAILED, 12, 12, "test", "12 of 12 records are rejects")
        )

    return once(tmp_path_factory, "trust", make)


@pytest.fixture(scope="module")
def address(home: Path) -> Iterator[str]:
    with serving(home) as base:
        yield base


def test_a_run_that_failed_since_is_on_the_overview_and_on_runs(screen: Screen) -> None:
    screen.open("?currency=EUR")
    health = screen.main.get_by_role("list", name="Health of the numbers").inner_text()
    assert "Last run failed" in health
    assert "The run of 2031-01-01 00:00:00 did not publish: the numbers are older." in health
    assert "12 of 12 records are rejects" in health
    screen.go("Last run failed")
    runs = [(row["Status"], row["Why it did not publish"]) for row in screen.table("Runs")]
    assert runs == [("failed", "12 of 12 records are rejects"), ("published", "–")]
    assert screen.page.title() == "Runs · paywall-warehouse"


def test_unknown_cost_is_a_dash_and_people_are_counted_over_all_currencies(screen: Screen) -> None:
    screen.open()
    tiles = screen.tiles()
    assert {name: tiles[name].value for name in ("Revenue", "− Provider cost", "= Profit", "Margin")} == {
        "Revenue": "1.25 USD",
        "− Provider cost": "–",
        "= Profit": "–",
        "Margin": "–",
    }
    # Alice paid in both currencies, Bob in one.
    assert "2 payers in the period, in any currency" in screen.text
    assert [
        (row["Currency"], row["Revenue"], row["Provider cost"], row["Profit"], row["Active payers"])
        for row in screen.table("All currencies")
    ] == [("EUR", "12.00", "1.75", "10.25", "2"), ("USD", "1.25", "–", "–", "1")]


def test_a_day_that_is_not_over_is_compared_with_the_same_hours(screen: Screen) -> None:
    screen.open("?currency=EUR&period=Today")
    assert "2026-10-05 (1 day, until 12:00) · EUR · compared with 2026-10-04, 12:00" in screen.text
    revenue = screen.tiles()["Revenue"]
    # 3 this morning, 2 yesterday morning: c3 came in the afternoon.
    assert (revenue.value, revenue.change, revenue.before) == ("3.00 EUR", "+50.0 %", "before: 2.00 EUR")


def test_a_cost_in_another_currency_is_shown_with_it(screen: Screen) -> None:
    screen.open("entry?entry=c0&period=All+time")
    shown = {row["Field"]: row["Value"] for row in screen.table("Fields of the entry")}
    names = ("amount", "provider_cost", "provider_cost_currency", "billed_by")
    assert [shown[name] for name in names] == ["0.00 USD", "8.00 EUR", "eur", "openrouter"]
    screen.open("ledger?period=All+time")
    costs = {row["Entry"]: row["Provider cost"] for row in screen.table("Ledger entries")}
    assert (costs["c0"], costs["c1"]) == ("8.00 EUR", "–")


@pytest.mark.soak
def test_a_period_before_the_data_is_not_compared(screen: Screen) -> None:
    screen.open("?currency=EUR&period=Last+7+days")
    assert "not compared: the data begin on 2026-10-01" in screen.text
    assert not [tile for tile in screen.tiles().values() if tile.change or tile.before]


@pytest.mark.soak
def test_days_in_the_wrong_order_and_a_paywall_of_nobody(screen: Screen) -> None:
    screen.open("?currency=EUR&period=Custom+days&days=2026-10-04&days=2026-10-02&paywall=nobody%3Cb%3E")
    assert "The days are in the wrong order; 2026-10-02 to 2026-10-04 is shown." in screen.text
    assert "2026-10-02 to 2026-10-04 (3 days)" in screen.text
    assert screen.tiles()["Revenue"].value == "9.00 EUR"
    assert "The paywall “nobody<b>” does not exist; it is left out of the filter." in screen.text


@pytest.mark.soak
def test_days_outside_the_data(screen: Screen) -> None:
    screen.open("?period=Custom+days&days=2025-01-01&days=2025-01-02")
    assert "2025-01-01 is outside the data, which are from 2026-10-01 to 2026-10-05" in screen.text


@pytest.mark.soak
def test_a_view_is_saved_followed_and_deleted(screen: Screen, home: Path) -> None:
    screen.open("models?currency=EUR&period=Today")
    screen.expand("Saved views")
    screen.page.get_by_label("Name", exact=True).fill("Today in euros")
    screen.page.get_by_role("button", name="Save this view").click()
    link = screen.page.get_by_role("link", name="Today in euros")
    link.wait_for()
    screen.open("runs")
    screen.expand("Saved views")
    screen.follow(link.click)
    assert screen.address == "models?currency=EUR&period=Today"
    screen.expand("Saved views")
    screen.page.get_by_role("button", name="Delete").click()
    link.wait_for(state="detached")
    assert Home(home).saved_views_file.read_text(encoding="utf-8") == "[]\n"


def test_an_empty_ledger_still_has_its_runs_and_its_reconciliation(
    context: BrowserContext, home: Path, tmp_path: Path
) -> None:
    empty = tmp_path / "empty"
    shutil.copytree(home / "published", empty / "published")
    with duckdb.connect(str(empty / "published" / "warehouse.duckdb")) as connection:
        connection.execute("delete from marts.fct_period_kpis")
    with serving(empty) as base:
        screen = Screen(context, base)
        for page, words in (
            ("", "The published ledger has no entries yet."),
            ("runs", "Checks before publication"),
            ("reconciliation", "Balance roll-forward"),
        ):
            assert words in screen.open(page).text
        assert screen.errors() == []
        screen.page.close()
