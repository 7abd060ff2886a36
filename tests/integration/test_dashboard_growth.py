"""Growth on the dashboard: numbers worked out by hand, and the users who add up to each bar."""

import csv
import io
from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import BrowserContext

from dashboard.downloads import WrongDownloadError, download_address, download_of
from dashboard.filters import Filters
from dashboard.queries import growth as growth_queries
from dashboard.queries.growth import MovementSearch
from dashboard.queries.paging import PageRequest
from dashboard.snapshot import Publications, Snapshot
from exports.filters import all_of
from tests.support.browser import Screen, Tile, published_alone, serving
from tests.support.finance_story import changed, closed_and_changed
from tests.support.shared import once

pytestmark = pytest.mark.slow

USD = Filters(date(2026, 11, 1), date(2026, 12, 1), "usd")
LARGEST = PageRequest("amount", descending=True, offset=0, limit=50)
# period_start: revenue, net new, new, resurrected, expansion, contraction, churned.
MONTHS = {
    "2026-09-01": "41 41 41 0 0 0 0",
    "2026-10-01": "39.500000000001 -1.499999999999 12.5 0 2.000000000001 10 6",
    "2026-11-01": "30 -9.500000000001 0 1 1.999999999999 0 12.5",
    "2026-12-01": "5 -25 0 0 0 15 10",
}
AMOUNTS = ("revenue", "net_new", "new", "resurrected", "expansion", "contraction", "churned")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return once(tmp_path_factory, "finance-story", closed_and_changed)


@pytest.fixture(scope="module")
def snapshot(home: Path, tmp_path_factory: pytest.TempPathFactory) -> Snapshot:
    file = home / "published" / "warehouse.duckdb"
    found = Publications(file, tmp_path_factory.mktemp("spill")).current()
    assert found is not None
    return found


@pytest.fixture(scope="module")
def address(home: Path) -> Iterator[str]:
    with serving(home) as base:
        yield base


def month(text: str, movement: str | None = None, currency: str = "usd") -> MovementSearch:
    return MovementSearch("month", date.fromisoformat(f"{text}-01"), currency, movement)


def amounts(rows: list[dict[str, Any]]) -> dict[str, Decimal]:
    return {row["user_id"]: row["amount"] for row in rows}


# ---- queries


def test_months_have_the_movements_worked_out_by_hand(snapshot: Snapshot) -> None:
    rows = growth_queries.periods(snapshot, "month", "usd")
    assert {f"{row['starts_on']}": [row[name] for name in AMOUNTS] for row in rows} == {
        start: [Decimal(one) for one in texts.split()] for start, texts in MONTHS.items()
    }
    assert [row["is_complete"] for row in rows] == [True, True, True, False]
    eur = growth_queries.periods(snapshot, "month", "eur")
    assert [(row["revenue"], row["users_new"]) for row in eur] == [(0, 0), (0, 0), (2, 1), (0, 0)]
    assert growth_queries.periods(snapshot, "month", "gbp") == []


@pytest.mark.parametrize(
    ("search", "expected"),
    [
        (month("2026-09", "new"), {"ann": "30", "bob": "6", "cat": "5"}),
        (month("2026-10", "contraction"), {"ann": "10"}),
        (month("2026-10", "expansion"), {"cat": "2.000000000001"}),
        (month("2026-11", "resurrected"), {"bob": "1"}),
        (month("2026-11", "retained"), {"ann": "0"}),
        (month("2026-12", "churned"), {"cat": "9", "bob": "1"}),
        (month("2026-11", "new", "eur"), {"eve": "2"}),
        (month("2026-10", "resurrected"), {}),
    ],
)
def test_the_users_behind_a_bar_add_up_to_it(
    snapshot: Snapshot, search: MovementSearch, expected: dict[str, str]
) -> None:
    found = amounts(list(growth_queries.users(snapshot, search, LARGEST)))
    assert found == {user: Decimal(amount) for user, amount in expected.items()}
    assert list(found) == list(expected)
    sums = growth_queries.movement_sums(snapshot, search)
    assert (sums["users"], sums["amount"]) == (len(expected), sum(map(Decimal, expected.values())))


def test_all_movements_of_every_period_add_up_to_the_net_new_revenue(snapshot: Snapshot) -> None:
    periods = [
        (kind, row)
        for kind in growth_queries.PERIOD_KINDS
        for row in growth_queries.periods(snapshot, kind, "usd")
    ]
    # 14 weeks from 31 August, 4 months, 4 blocks from 10 August.
    assert len(periods) == 14 + 4 + 4 + 1
    for kind, row in periods:
        search = MovementSearch(kind, row["starts_on"], "usd")
        assert growth_queries.movement_sums(snapshot, search)["difference"] == row["net_new"]


def test_the_download_has_the_users_behind_the_bar(snapshot: Snapshot) -> None:
    more = {"period_kind": "month", "period_start": "2026-09-01", "movement": "new"}
    path, _, query = download_address("user_movements", "csv", USD, **more).partition("?")
    [part] = download_of(path.rpartition("/")[2], query).parts
    where, values = all_of(part.request.filters)
    rows = snapshot.rows(f"select * from {part.dataset.relation} where {where}", values)
    assert amounts(rows) == {"ann": 30, "bob": 6, "cat": 5}
    with pytest.raises(WrongDownloadError, match="movement"):
        download_address("user_movements", "csv", USD, movement="gone")
    # A period that does not exist has no rows.
    query = download_address("user_movements", "csv", USD, period_start="soon").partition("?")[2]
    where, values = all_of(download_of("user_movements.csv", query).parts[0].request.filters)
    assert snapshot.rows(f"select * from marts.fct_user_movements where {where}", values) == []


# ---- the page


def test_the_latest_month_that_is_over_is_compared_with_the_one_before(screen: Screen) -> None:
    screen.open("growth")
    assert screen.page.title() == "Growth · paywall-warehouse"
    # 27 of 39.5 stay of October's revenue, 25 of 41 stayed of September's; with expansion 29 and 27.
    assert screen.tiles() == {
        "Revenue": Tile("30.00 USD", "-24.1 %", "before: 39.50 USD"),
        "Net new revenue": Tile("−9.50 USD", "before: −1.50 USD", None),
        "Gross retention": Tile("68.4 %", "+7.4 points", "before: 61.0 %"),
        "Net retention": Tile("73.4 %", "+7.6 points", "before: 65.9 %"),
        # 3 won for 12.5 lost; 14.5 for 16.
        "Quick ratio": Tile("0.24", "-73.5 %", "before: 0.91"),
        "Users new": Tile("0", "-100.0 %", "before: 1"),
        "Users retained": Tile("2", "0.0 %", "before: 2"),
        "Users resurrected": Tile("1", "before: 0", None),
        "Users churned": Tile("1", "0.0 %", "before: 1"),
    }
    assert "Nov 2026: 4 users, together −9.500000000001 USD, which is the net new revenue." in screen.text
    assert [tuple(row.values()) for row in screen.table("Users behind the bar")] == [
        ("12.50", "dan", "Churned", "0.00", "12.50", "−12.50"),
        ("1.999999999999", "cat", "Expansion", "9.00", "7.000000000001", "1.999999999999"),
        ("1.00", "bob", "Resurrected", "1.00", "0.00", "1.00"),
        ("0.00", "ann", "Retained without change", "20.00", "20.00", "0.00"),
    ]
    screen.expand("Numbers")
    rows = {row["Month"]: row for row in screen.table("Growth by period")}
    assert list(rows) == ["2026-12", "2026-11", "2026-10", "2026-09"]
    assert [rows["2026-10"][name] for name in ("Net new", "Expansion", "Contraction", "Churned")] == [
        "−1.499999999999",
        "2.000000000001",
        "10.00",
        "6.00",
    ]
    assert (rows["2026-09"]["Gross retention"], rows["2026-09"]["Quick ratio"]) == ("–", "–")
    with screen.page.expect_download() as started:
        screen.main.get_by_role("button", name="CSV").first.click()
    text = Path(started.value.path()).read_text(encoding="utf-8")
    exact = {row["starts_on"]: row for row in csv.DictReader(io.StringIO(text))}
    assert exact["2026-11-01"]["net_new"] == "-9.500000000001"
    assert (exact["2026-11-01"]["period_is_over"], exact["2026-12-01"]["period_is_over"]) == (
        "yes",
        "not yet",
    )


@pytest.mark.soak
def test_a_bar_leads_to_its_users_and_a_user_to_the_page(screen: Screen) -> None:
    screen.open("growth?kind=Month&growth_month=2026-10&movement=Contraction")
    assert "Oct 2026: 1 user, together 10.00 USD, which is the bar of contraction." in screen.text
    [row] = screen.table("Users behind the bar")
    assert (row["User"], row["Revenue"], row["Revenue before"]) == ("ann", "20.00", "30.00")
    screen.open_row("Users behind the bar")
    assert screen.codes[0] == "ann"


@pytest.mark.soak
def test_a_period_that_is_not_over_is_not_compared(screen: Screen) -> None:
    screen.open("growth?growth_month=2026-12&kind=Year&movement=%3Cb%3Egone")
    assert "The kind of period “Year” does not exist; months are shown." in screen.text
    assert "The movement “<b>gone” does not exist; all movements are shown." in screen.text
    assert "Dec 2026, not over yet" in screen.text
    assert "Whoever has not paid in it yet counts as churned so far" in screen.text
    tiles = screen.tiles()
    assert tiles["Revenue"] == Tile("5.00 USD", None, None)
    assert tiles["Users churned"] == Tile("2", None, None)


def test_without_the_tables_of_growth_the_page_says_so(
    home: Path, context: BrowserContext, tmp_path: Path
) -> None:
    alone = published_alone(home, tmp_path / "alone")
    with changed(alone) as connection:
        connection.execute("drop table marts.fct_growth")
        connection.execute("drop table marts.fct_journal_lines")
    with serving(alone) as base:
        screen = Screen(context, base).open("growth")
        assert "was written by an earlier version, which did not compute growth" in screen.text
        assert "was written by an earlier version, which had no journal" in screen.open("finance").text
        assert (screen.errors(), screen.complaints) == ([], [])
        screen.page.close()
