"""Credit, deferred revenue and journal of random ledgers, against a sequential computation."""

import shutil
from collections import defaultdict
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from itertools import permutations
from pathlib import Path
from typing import Any

import duckdb
import pytest

from paywall_warehouse.settings import load_settings
from tests.support.books_oracle import Books, books_of_files, lines_to_book
from tests.support.builders import land
from tests.support.harness import publish_home
from tests.support.oracle import LandedFile, OracleSettings
from tests.support.random_books import AS_OF, ZONE, RandomBooks
from warehouse.closing import close_months

KEYS = {
    "credit_days": "user_id, paywall_id, currency, date_day",
    "deferred_revenue": "date_day, currency",
    "journal_lines": "journal_date, journal, account, currency, relates_to_date, debit",
}
KPIS = ("period", "currency", "revenue_paid", "revenue_promo", "revenue_unfunded")


def published(home: Path, query: str) -> list[dict[str, Any]]:
    with duckdb.connect(str(home / "published" / "warehouse.duckdb"), read_only=True) as connection:
        found = connection.execute(query)
        columns = [column[0] for column in found.description or ()]
        return [dict(zip(columns, row, strict=True)) for row in found.fetchall()]


def compare(home: Path, books: Books) -> None:
    """Assert that the published tables have the rows of the computation, in the columns of the contract."""
    for name, key in KEYS.items():
        expected = getattr(books, name)
        columns = ", ".join(expected[0])
        rows = published(home, f"select {columns} from marts.fct_{name} order by {key}")
        ordered = sorted(expected, key=lambda row: tuple(row[column] for column in key.split(", ")))
        for row, other in zip(rows, ordered, strict=False):
            assert row == other, name
        assert len(rows) == len(ordered), name
    found = published(home, f"select {', '.join(KPIS)} from marts.fct_period_kpis order by period, currency")
    assert found == sorted(books.period_kpis, key=lambda row: (row["period"], row["currency"]))
    compare_focus(home, books)


def compare_focus(home: Path, books: Books) -> None:
    """Assert that the rows of FOCUS have the usage, the money and the balances of the books."""
    usage: dict[tuple[Any, ...], Decimal] = defaultdict(Decimal)
    balances: dict[tuple[Any, ...], Decimal] = {}
    for day in sorted(books.credit_days, key=lambda row: row["date_day"]):
        wallet = (day["user_id"], day["paywall_id"], day["currency"].upper())
        kinds = ("paid", "promo", "unfunded")
        usage[*wallet, day["date_day"]] = sum(
            (day[f"revenue_{kind}"] - day[f"refunds_{kind}"] for kind in kinds), Decimal()
        )
        balances[wallet] = day["paid_closing"] + day["promo_closing"] - day["overdraft_closing"]
    money: dict[tuple[Any, ...], Decimal] = defaultdict(Decimal)
    for line in books.journal_lines:
        if line["account"] == "clearing":
            money[line["currency"].upper(), line["relates_to_date"]] += line["debit"] - line["credit"]
    wallet_columns = '"BillingAccountId", "SubAccountId", "BillingCurrency"'
    day_column, prepaid = '"x_ReportingDate"', "\"x_Billing\" = 'prepaid'"
    for key, amount, expected in (
        (f"{wallet_columns}, {day_column}", "EffectiveCost", usage),
        (f'"BillingCurrency", {day_column}', "BilledCost", money),
        (wallet_columns, "x_BalanceEffect", balances),
    ):
        query = f'select {key}, sum("{amount}") from marts.rpt_focus where {prepaid} group by all'
        found = {tuple(row.values())[:-1]: tuple(row.values())[-1] for row in published(home, query)}
        assert {name: sum_ for name, sum_ in found.items() if sum_} == {
            name: sum_ for name, sum_ in expected.items() if sum_
        }, amount


def expected_books(files: list[LandedFile], as_of: datetime, **options: Any) -> Books:
    return books_of_files(files, OracleSettings(as_of=as_of, reporting_timezone=ZONE), **options)


@pytest.mark.soak
def test_books_of_three_landings_equal_a_sequential_computation(tmp_path: Path) -> None:
    """Each landing has late and restated entries. The tables are those of all that has landed, as in the next
    test, and no month is closed.
    """
    landings = RandomBooks(1).landings()
    for count in range(1, len(landings) + 1):
        land(tmp_path, landings[count - 1 : count])
        publish_home(tmp_path, as_of=AS_OF, reporting_timezone=ZONE)
        compare(tmp_path, expected_books(landings[:count], AS_OF))


LANDINGS = RandomBooks(1).landings()


@dataclass(frozen=True)
class ClosedBooks:
    """A home, and the lines and the first open month that its closes left."""

    home: Path
    booked: list[dict[str, Any]]
    first_open: date


@pytest.fixture(scope="module")
def closed_books(tmp_path_factory: pytest.TempPathFactory) -> ClosedBooks:
    """Two months are closed after the first landing and one more after the second; not to be changed."""
    home = tmp_path_factory.mktemp("books")
    booked: list[dict[str, Any]] = []
    first_open: date | None = None
    closes = [[date(2026, 3, 1), date(2026, 4, 1)], [date(2026, 5, 1)]]
    settings = load_settings(warehouse_home=home, as_of=AS_OF, reporting_timezone=ZONE)
    for count, months in enumerate(closes, 1):
        land(home, LANDINGS[count - 1 : count])
        publish_home(home, as_of=AS_OF, reporting_timezone=ZONE)
        books = expected_books(LANDINGS[:count], AS_OF, booked=booked, first_open_month=first_open)
        compare(home, books)
        close_months(settings, months, "Ann", None)
        first_open = date(2026, months[-1].month + 1, 1)
        booked = lines_to_book(books.journal_lines, first_open)
    land(home, LANDINGS[len(closes) :])
    publish_home(home, as_of=AS_OF, reporting_timezone=ZONE)
    assert first_open is not None
    return ClosedBooks(home, booked, first_open)


def test_journal_of_closed_months_gets_adjustments_as_a_sequential_computation(
    closed_books: ClosedBooks,
) -> None:
    books = expected_books(
        LANDINGS, AS_OF, booked=closed_books.booked, first_open_month=closed_books.first_open
    )
    compare(closed_books.home, books)
    late = [line for line in books.journal_lines if line["relates_to_date"] != line["journal_date"]]
    assert {line["journal_date"] for line in late} == {date(2026, 5, 1), date(2026, 6, 1)}


def test_another_order_of_credit_and_other_reasons_restate_everything(
    closed_books: ClosedBooks, tmp_path: Path
) -> None:
    """The lines of closed months stay, and what they would be now is adjusted."""
    home = Path(shutil.copytree(closed_books.home, tmp_path / "home"))
    changed: dict[str, Any] = {"promo_first": False, "expiry_reasons": ("EXPIRY",)}
    publish_home(home, as_of=AS_OF, reporting_timezone=ZONE, **changed)
    compare(
        home,
        expected_books(
            LANDINGS,
            AS_OF,
            booked=closed_books.booked,
            first_open_month=closed_books.first_open,
            **changed,
        ),
    )


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(3, 9))
def test_landings_in_any_order_equal_a_sequential_computation(tmp_path: Path, seed: int) -> None:
    landings = RandomBooks(seed).landings()
    order = list(permutations(landings))[seed - 3]
    for file in order:
        land(tmp_path, [file])
        publish_home(tmp_path, as_of=AS_OF, reporting_timezone=ZONE)
    compare(tmp_path, expected_books(list(order), AS_OF))
