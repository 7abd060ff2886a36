"""Finance on the dashboard: deferred revenue, the journal and closed months, worked out by hand."""

from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext

from dashboard.downloads import download_address, download_of
from dashboard.filters import Filters
from dashboard.queries import finance as finance_queries
from dashboard.snapshot import Publications, Snapshot
from exports.filters import all_of
from tests.support.browser import Screen, published_alone, serving
from tests.support.finance_story import changed, closed_and_changed
from tests.support.shared import once

pytestmark = pytest.mark.slow

TODAY = date(2026, 12, 5)
USD = Filters(date(2026, 11, 1), date(2026, 12, 1), "usd")
# opening, added, used, overdraft_settled, returned, expired, closing, promo_closing, overdraft_closing,
# booked_closing, revenue_paid, revenue_promo, revenue_unfunded, usage.
MONTHS = {
    "2026-12-01": "70 0 5 0 0 0 65 0 13.000000000001 65 5 0 0 5",
    "2026-11-01": "101 0 21 0 10 0 70 0 13.000000000001 70 21 0 9 30",
    "2026-10-01": "78 65 35.5 5 0 1.5 101 0 4.000000000001 94 35.5 0 4.000000000001 39.500000000001",
    "2026-09-01": "0 110 32 0 0 0 78 0 5 78 32 4 5 41",
}
COLUMNS = (
    "opening", "added", "used", "overdraft_settled", "returned", "expired", "closing", "promo_closing",
    "overdraft_closing", "booked_closing", "revenue_paid", "revenue_promo", "revenue_unfunded", "usage",
)  # fmt: skip
# Debit, credit, debit − credit in November, and the balance at its end.
NOVEMBER = {
    "breakage_revenue": ("0.00", "0.00", "0.00", "−1.50"),
    "clearing": ("7.00", "10.00", "−3.00", "165.00"),
    "deferred_revenue": ("31.00", "7.00", "24.00", "−70.00"),
    "overdraft_receivable": ("9.00", "0.00", "9.00", "13.000000000001"),
    "promotional_credits": ("0.00", "0.00", "0.00", "4.00"),
    "usage_revenue": ("0.00", "30.00", "−30.00", "−110.500000000001"),
}


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


# ---- queries


def test_months_have_the_rollforward_worked_out_by_hand(snapshot: Snapshot) -> None:
    rows = finance_queries.months(snapshot, "usd", TODAY)
    assert {f"{row['starts_on']}": [row[name] for name in COLUMNS] for row in rows} == {
        start: [Decimal(one) for one in texts.split()] for start, texts in MONTHS.items()
    }
    assert [row["booked_difference"] for row in rows] == [0, 0, -7, 0]
    assert [row["is_over"] for row in rows] == [False, True, True, True]
    assert rows[0]["last_day"] == TODAY
    # The days after today are left out.
    earlier = finance_queries.months(snapshot, "usd", date(2026, 11, 10))
    assert [(row["used"], row["closing"], row["is_over"]) for row in earlier[:2]] == [
        (1, 100, False),
        (35.5, 101, True),
    ]


def test_the_download_of_the_journal_has_the_lines_of_the_month(snapshot: Snapshot) -> None:
    query = download_address("journal", "csv", USD, journal_month="2026-11").partition("?")[2]
    [part] = download_of("journal.csv", query).parts
    where, values = all_of(part.request.filters)
    [row] = snapshot.rows(
        f"select count(*) as lines, sum(debit) as debit from {part.dataset.relation} where {where}", values
    )
    assert row == {"lines": 10, "debit": 47}


@pytest.mark.parametrize("dataset", ["deferred_revenue", "credit_days", "growth"])
def test_downloads_have_addresses(dataset: str) -> None:
    query = download_address(dataset, "csv", USD).partition("?")[2]
    assert download_of(f"{dataset}.csv", query).parts[0].dataset.name == dataset


# ---- the page


def test_the_page_has_the_rollforward_the_journal_and_the_changes(screen: Screen) -> None:
    screen.open("finance")
    assert screen.page.title() == "Finance · paywall-warehouse"
    assert "On 2026-12-05" in screen.text
    assert {label: tile.value for label, tile in screen.tiles().items()} == {
        "Deferred revenue": "65.00 USD",
        "Promo credit": "0.00 USD",
        "Overdrafts": "13.00 USD",
        "Closed through": "2026-10",
    }
    rows = screen.table("Deferred revenue by month")
    assert [row["Month"] for row in rows] == ["2026-12 *", "2026-11", "2026-10", "2026-09"]
    assert list(rows[2].values())[1:] == [
        "78.00", "65.00", "35.50", "5.00", "0.00", "1.50", "101.00", "4.000000000001", "94.00", "−7.00",
    ]  # fmt: skip
    assert "Booked differs from closing in 2026-10: entries of a closed month landed" in screen.text
    [*_, october, september] = screen.table("What usage was paid from by month")
    assert list(october.values()) == ["2026-10", "35.50", "0.00", "4.000000000001", "39.500000000001", "1.50"]
    assert list(september.values()) == ["2026-09", "32.00", "4.00", "5.00", "41.00", "0.00"]

    # The journal of the latest month that is over.
    accounts = {row["Account"]: tuple(row.values())[1:] for row in screen.table("Journal by account")}
    assert accounts == NOVEMBER
    assert "2026-11 is open: 10 lines. Debits and credits are equal: 47.00 USD and 47.00 USD." in screen.text

    months = screen.table("Months open and closed")
    assert [(row["Month"], row["Status"], row["By"], row["Note"]) for row in months] == [
        ("2026-12", "open, not over yet", "–", "–"),
        ("2026-11", "open", "–", "–"),
        ("2026-10", "closed", "Ann Lee", "as <b>reported"),
        ("2026-09", "closed", "Ann Lee", "as <b>reported"),
    ]
    assert [len(row["Digest"]) for row in months] == [1, 1, 64, 64]
    assert screen.codes == ['paywall-warehouse close 2026-11 --by "YOUR NAME"']
    changes = screen.table("What changed after a close")
    assert [tuple(row.values()) for row in changes] == [
        ("2026-10", "clearing", "receipts", "2026-11-01", "7.00", "0.00", "7.00", "1"),
        ("2026-10", "deferred_revenue", "receipts", "2026-11-01", "0.00", "7.00", "−7.00", "1"),
    ]
    screen.expand("Every close and reopening")
    events = screen.table("Every close and reopening")
    assert [(row["Month"], row["By"]) for row in events] == [("2026-10", "Ann Lee"), ("2026-09", "Ann Lee")]


@pytest.mark.soak
def test_a_month_leads_to_its_journal(screen: Screen) -> None:
    screen.open("finance?journal_month=1999-01")
    assert "The month “1999-01” does not exist; 2026-11 is shown." in screen.text
    screen.open_row("Deferred revenue by month", 3)
    # 2 lines a day, and 3 on the day on which bob uses promo and paid credit: 110 received, 41 used.
    assert "2026-09 is closed: 9 lines. Debits and credits are equal: 151.00 USD and" in screen.text
    screen.expand("By account and journal")
    lines = screen.table("Journal by account and journal")
    assert [(row["Account"], row["Journal"], row["Debit − credit"]) for row in lines] == [
        ("clearing", "receipts", "110.00"),
        ("deferred_revenue", "receipts", "−110.00"),
        ("deferred_revenue", "usage", "32.00"),
        ("overdraft_receivable", "usage", "5.00"),
        ("promotional_credits", "usage", "4.00"),
        ("usage_revenue", "usage", "−41.00"),
    ]


@pytest.mark.soak
def test_a_currency_without_promo_credit_and_overdrafts_says_so(screen: Screen) -> None:
    screen.open("finance?currency=EUR")
    text = screen.text
    assert "There has never been any promo credit and no overdrafts at the end of a month." in text
    assert "None of it was from promo credit or unfunded." in text
    assert "Nothing has changed in the closed months in EUR." in text
    [_, november, *_] = screen.table("Deferred revenue by month")
    assert november["+\N{NO-BREAK SPACE}Added"] == "3.00"
    assert "Promo credit" not in november


@pytest.mark.soak
def test_the_overview_has_promo_and_unfunded_apart_where_they_exist(screen: Screen) -> None:
    screen.open("?period=Custom+days&days=2026-09-01&days=2026-09-30")
    tiles = screen.tiles()
    assert (tiles["Usage from promo credit"].value, tiles["Unfunded usage"].value) == ("4.00 USD", "5.00 USD")
    tiles = screen.open("?currency=EUR").tiles()
    assert not {"Usage from promo credit", "Unfunded usage"} & set(tiles)


def test_without_a_closed_month_the_page_says_how_to_close_one(
    home: Path, context: BrowserContext, tmp_path: Path
) -> None:
    alone = published_alone(home, tmp_path / "alone")
    with changed(alone) as connection:
        connection.execute("delete from ops.period_events")
        connection.execute("delete from ops.periods where month_start < '2026-12-01'")
    with serving(alone) as base:
        screen = Screen(context, base).open("finance")
        assert "No month is closed. While a month is open" in screen.text
        assert "The next month to close is 2026-12, from 2027-01-01 on" in screen.text
        assert screen.tiles()["Closed through"].value == "no month yet"
        assert "Booked" not in screen.table("Deferred revenue by month")[0]
        assert "What changed after a close" not in screen.text
        assert (screen.errors(), screen.complaints) == ([], [])
        screen.page.close()
