"""The worked examples of docs/finance.md, through the real tables.

The numbers here are those of the page, worked out by hand. Each row of an example must be on the page as it
is here, so that text and program stay equal.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest

from tests.support.builders import Record, adjustment, charge, deposit, land, ledger_file, refund, withdrawal
from tests.support.harness import publish_home

PAGE = (Path(__file__).parents[2] / "docs" / "finance.md").read_text(encoding="utf-8")
PROMO, EXPIRED = {"funding": "promo"}, {"reason": "expired"}


@dataclass(frozen=True)
class Example:
    """A row of a table of the page: its words, the entries of one user, and the amounts of its last day."""

    words: str
    entries: tuple[Record, ...]
    amounts: tuple[str, ...]

    @property
    def row(self) -> str:
        return f"| {self.words} | {' | '.join(self.amounts)} |"


def at(day: int, hour: int = 9) -> str:
    return f"2026-10-{day:02d}T{hour:02d}:00:00Z"


def example(user: str, words: str, amounts: str, *entries: Record) -> Example:
    """Ids begin with the user, also in `related_id`."""
    own = tuple(
        one
        | {"id": f"{user}-{one['id']}", "user": user}
        | ({"related_id": f"{user}-{one['related_id']}"} if "related_id" in one else {})
        for one in entries
    )
    return Example(words, own, tuple(amounts.split()))


CREDIT = (deposit("paid", at(1), "10"), deposit("promo", at(1), "4", metadata=PROMO))
OVERDRAFT = charge("use", at(2), "3")

# paid_closing, promo_closing
ADDED = {
    "added-1": example("added-1", "a deposit of 10", "10 0", deposit("d", at(1), "10")),
    "added-2": example(
        "added-2",
        "a deposit of 2 without a payment, with the reason `signup_bonus`",
        "0 2",
        deposit("d", at(1), "2", metadata={"reason": "signup_bonus"}),
    ),
    "added-3": example("added-3", "an adjustment of 3", "0 3", adjustment("a", at(1), "3")),
    "added-4": example(
        "added-4",
        "an adjustment of 4 with the funding `paid`",
        "4 0",
        adjustment("a", at(1), "4", metadata={"funding": "paid"}),
    ),
    "added-5": example(
        "added-5",
        "a deposit of 5, and for its dispute, which is won, adjustments of −5 and 5 that name it",
        "5 0",
        deposit("d", at(1), "5"),
        adjustment("lost", at(1, 10), "-5", related_id="d"),
        adjustment("won", at(1, 11), "5", related_id="d"),
    ),
}

# overdraft_settled_paid, overdraft_settled_promo, then the closings: paid, promo, overdraft
SETTLED = {
    "settled-1": example("settled-1", "a deposit of 5", "3 0 2 0 0", OVERDRAFT, deposit("d", at(5), "5")),
    "settled-2": example(
        "settled-2", "promo credit of 1", "0 1 0 0 2", OVERDRAFT, deposit("d", at(5), "1", metadata=PROMO)
    ),
    "settled-3": example(
        "settled-3",
        "promo credit of 1, then a deposit of 5",
        "3 0 2 1 0",
        OVERDRAFT,
        deposit("p", at(5), "1", metadata=PROMO),
        deposit("d", at(5, 10), "5"),
    ),
    "settled-4": example(
        "settled-4",
        "promo credit of 2, then a deposit of 2",
        "2 1 0 1 0",
        OVERDRAFT,
        deposit("p", at(5), "2", metadata=PROMO),
        deposit("d", at(5, 10), "2"),
    ),
}

# paid and promo credit that is taken, then overdraft_closing
TAKEN = {
    "taken-1": example(
        "taken-1", "a refund of 3 of the deposit", "3 0 0", *CREDIT, refund("r", at(6), "3", of="paid")
    ),
    "taken-2": example("taken-2", "a withdrawal of 12", "10 2 0", *CREDIT, withdrawal("w", at(6), "12")),
    "taken-3": example("taken-3", "an adjustment of −6", "6 0 0", *CREDIT, adjustment("a", at(6), "-6")),
    "taken-4": example(
        "taken-4",
        "an adjustment of −6 with the funding `promo`, or that names the promo deposit",
        "2 4 0",
        *CREDIT,
        adjustment("a", at(6), "-6", metadata=PROMO),
    ),
    "taken-5": example(
        "taken-5", "an expiry of 3", "0 3 0", *CREDIT, adjustment("a", at(6), "-3", metadata=EXPIRED)
    ),
    "taken-6": example(
        "taken-6", "an expiry of 6", "2 4 0", *CREDIT, adjustment("a", at(6), "-6", metadata=EXPIRED)
    ),
    "taken-7": example(
        "taken-7",
        "an expiry of 6 with the funding `paid`, or that names the paid deposit",
        "6 0 0",
        *CREDIT,
        adjustment("a", at(6), "-6", metadata=EXPIRED, related_id="paid"),
    ),
    "taken-8": example(
        "taken-8", "an expiry of 15", "10 4 1", *CREDIT, adjustment("a", at(6), "-15", metadata=EXPIRED)
    ),
}
NAMED_PROMO = example("named-promo", "", "2 4 0", *CREDIT, adjustment("a", at(6), "-6", related_id="promo"))
STATED_PAID = example(
    "stated-paid",
    "",
    "6 0 0",
    *CREDIT,
    adjustment("a", at(6), "-6", metadata=EXPIRED | {"funding": "paid"}),
)

# revenue_promo, revenue_paid, revenue_unfunded; then the same with PROMO_FIRST=false
USED = {
    "used-1": example("used-1", "a charge of 3", "3 0 0 0 3 0", *CREDIT, charge("c", at(6), "3")),
    "used-2": example("used-2", "a charge of 6", "4 2 0 0 6 0", *CREDIT, charge("c", at(6), "6")),
    "used-3": example("used-3", "a charge of 20", "4 10 6 4 10 6", *CREDIT, charge("c", at(6), "20")),
    "used-4": example(
        "used-4",
        "a charge of 6, of which 1 is refunded on the same day",
        "4 1 0 0 5 0",
        *CREDIT,
        charge("c", at(6), "6"),
        refund("r", at(6, 10), "1", of="c"),
    ),
}

# refunds_promo, refunds_paid, refunds_unfunded of the refund's day; then the same with PROMO_FIRST=false
GIVEN_BACK = {
    "back-1": example(
        "back-1",
        "a charge of 6, then a refund of 3",
        "1 2 0 0 3 0",
        *CREDIT,
        charge("c", at(5), "6"),
        refund("r", at(6), "3", of="c"),
    ),
    "back-2": example(
        "back-2",
        "a charge of 12, then a refund of 3",
        "0 3 0 2 1 0",
        *CREDIT,
        charge("c", at(5), "12"),
        refund("r", at(6), "3", of="c"),
    ),
    "back-3": example(
        "back-3",
        "a charge of 20, then a refund of 8",
        "0 2 6 2 0 6",
        *CREDIT,
        charge("c", at(5), "20"),
        refund("r", at(6), "8", of="c"),
    ),
}

# The month of the page, in euro: its columns are those of fct_deferred_revenue.
MONTH = [
    deposit("g-deposit", "2026-09-30T12:00:00Z", "20", user="gina"),
    charge("g-use", at(3), "6", user="gina", provider_cost="2.10", platform_fees="0.06"),
    deposit("h-promo", at(3, 8), "2", user="hugo", metadata=PROMO),
    charge("h-use", at(3), "5", user="hugo"),
    charge("i-use", at(3), "7", user="ivan", billing="postpaid"),
    deposit("h-deposit", at(10), "10", user="hugo"),
    refund("g-refund", at(12), "1", of="g-use", user="gina"),
    refund("g-return", at(20), "4", of="g-deposit", user="gina"),
    charge("h-more", at(25), "2.5", user="hugo"),
    adjustment("g-expiry", at(31), "-5", user="gina", metadata=EXPIRED, related_id="g-deposit"),
]
ROLL_FORWARD = [
    # day, opening, added, used, overdraft_settled, returned, expired, closing
    "3 | 20 | 0 | 6 | 0 | 0 | 0 | 14",
    "10 | 14 | 10 | 0 | 3 | 0 | 0 | 21",
    "12 | 21 | 0 | -1 | 0 | 0 | 0 | 22",
    "20 | 22 | 0 | 0 | 0 | 4 | 0 | 18",
    "25 | 18 | 0 | 2.5 | 0 | 0 | 0 | 15.5",
    "31 | 15.5 | 0 | 0 | 0 | 0 | 5 | 10.5",
]
OCTOBER = "20 | 10 | 7.5 | 3 | 4 | 5 | 10.5"
JOURNAL = [
    # day, journal, account, debit, credit
    "3 | `usage` | `deferred_revenue` | 6 | 0",
    "3 | `usage` | `promotional_credits` | 2 | 0",
    "3 | `usage` | `overdraft_receivable` | 3 | 0",
    "3 | `usage` | `accounts_receivable` | 7 | 0",
    "3 | `usage` | `usage_revenue` | 0 | 18",
    "3 | `cogs` | `provider_cost` | 2.1 | 0",
    "3 | `cogs` | `accrued_provider_cost` | 0 | 2.1",
    "3 | `fees` | `platform_fees` | 0.06 | 0",
    "3 | `fees` | `accrued_platform_fees` | 0 | 0.06",
    "10 | `receipts` | `clearing` | 10 | 0",
    "10 | `receipts` | `deferred_revenue` | 0 | 10",
    "10 | `settlement` | `deferred_revenue` | 3 | 0",
    "10 | `settlement` | `overdraft_receivable` | 0 | 3",
    "12 | `refunds` | `usage_revenue` | 1 | 0",
    "12 | `refunds` | `deferred_revenue` | 0 | 1",
    "20 | `returns` | `deferred_revenue` | 4 | 0",
    "20 | `returns` | `clearing` | 0 | 4",
    "25 | `usage` | `deferred_revenue` | 2.5 | 0",
    "25 | `usage` | `usage_revenue` | 0 | 2.5",
    "31 | `expiry` | `deferred_revenue` | 5 | 0",
    "31 | `expiry` | `breakage_revenue` | 0 | 5",
]
# Credit less debit of October.
INCOME = {
    "usage_revenue": "19.5",
    "promotional_credits": "-2",
    "breakage_revenue": "5",
    "provider_cost": "-2.1",
    "platform_fees": "-0.06",
}
KPIS = "20.5 | 8.5 | 2 | 3"

ROWS = [*ADDED.values(), *SETTLED.values(), *TAKEN.values(), *USED.values(), *GIVEN_BACK.values()]
CREDIT_COLUMNS = {
    "added": ("paid_closing", "promo_closing"),
    "settled": (
        "overdraft_settled_paid",
        "overdraft_settled_promo",
        "paid_closing",
        "promo_closing",
        "overdraft_closing",
    ),
    "taken": ("paid_returned + paid_expired", "promo_returned + promo_expired", "overdraft_closing"),
    "used": ("revenue_promo", "revenue_paid", "revenue_unfunded"),
    "back": ("refunds_promo", "refunds_paid", "refunds_unfunded"),
}


class Published:
    """The published file of a home, read as text of amounts without trailing zeros."""

    def __init__(self, home: Path) -> None:
        self.connection = duckdb.connect(str(home / "published" / "warehouse.duckdb"), read_only=True)

    def rows(self, query: str) -> list[tuple[str, ...]]:
        return [tuple(shown(value) for value in row) for row in self.connection.execute(query).fetchall()]

    def credit(self, user: str, kind: str) -> tuple[str, ...]:
        """The amounts of a user's last day."""
        (row,) = self.rows(
            f"""select {", ".join(CREDIT_COLUMNS[kind])} from marts.fct_credit_days
            where user_id = '{user}' order by date_day desc limit 1"""
        )
        return row


def shown(value: Any) -> str:
    return f"{value.normalize():f}" if isinstance(value, Decimal) else str(value)


def publish(home: Path, **settings: Any) -> Iterator[Published]:
    entries = [entry for one in [*ROWS, NAMED_PROMO, STATED_PAID] for entry in one.entries]
    euro = [one | {"currency": "eur"} for one in MONTH]
    land(home, [ledger_file("examples.jsonl", entries + euro)])
    publish_home(home, as_of="2026-11-05", **settings)
    published = Published(home)
    yield published
    published.connection.close()


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Published]:
    yield from publish(tmp_path_factory.mktemp("promo_first") / "home")


@pytest.fixture(scope="module")
def paid_first(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Published]:
    yield from publish(tmp_path_factory.mktemp("paid_first") / "home", promo_first=False)


@pytest.mark.parametrize("one", ROWS, ids=[one.words for one in ROWS])
def test_each_row_of_an_example_is_on_the_page(one: Example) -> None:
    assert one.row in PAGE


@pytest.mark.parametrize("user", [*ADDED, *SETTLED, *TAKEN])
def test_credit_that_is_added_settles_or_is_taken(published: Published, user: str) -> None:
    kind = user.partition("-")[0]
    assert published.credit(user, kind) == (ADDED | SETTLED | TAKEN)[user].amounts


def test_what_names_a_deposit_and_what_states_its_funding_are_taken_alike(published: Published) -> None:
    for one in (NAMED_PROMO, STATED_PAID):
        assert published.credit(one.entries[0]["user"], "taken") == one.amounts


@pytest.mark.parametrize("user", [*USED, *GIVEN_BACK])
def test_usage_takes_promo_first_unless_paid_is_first(
    published: Published, paid_first: Published, user: str
) -> None:
    kind, expected = user.partition("-")[0], (USED | GIVEN_BACK)[user].amounts
    assert published.credit(user, kind) + paid_first.credit(user, kind) == expected


def test_deferred_revenue_over_a_month(published: Published) -> None:
    columns = "opening, added, used, overdraft_settled, returned, expired, closing"
    days = published.rows(
        f"""select day(date_day), {columns} from marts.fct_deferred_revenue
        where currency = 'eur' and month(date_day) = 10 and opening <> closing order by date_day"""
    )
    assert [" | ".join(row) for row in days] == ROLL_FORWARD
    (month,) = published.rows(
        """select arg_min(opening, date_day), sum(added), sum(used), sum(overdraft_settled), sum(returned),
            sum(expired), arg_max(closing, date_day)
        from marts.fct_deferred_revenue where currency = 'eur' and month(date_day) = 10"""
    )
    assert " | ".join(month) == OCTOBER
    for row in [*ROLL_FORWARD, f"**October** | {OCTOBER}"]:
        assert f"| {row} |".replace(" -", " −") in PAGE


def test_the_journal_of_a_month(published: Published) -> None:
    lines = published.rows(
        """select day(journal_date), '`' || journal || '`', '`' || account || '`', debit, credit
        from marts.fct_journal_lines where currency = 'eur' and month(journal_date) = 10"""
    )
    assert sorted(" | ".join(row) for row in lines) == sorted(JOURNAL)
    for row in JOURNAL:
        assert f"| {row} |" in PAGE


def test_the_income_of_a_month(published: Published) -> None:
    found = published.rows(
        """select account, sum(credit - debit) from marts.fct_journal_lines
        where currency = 'eur' and month(journal_date) = 10 group by account"""
    )
    assert {account: amount for account, amount in found if account in INCOME} == INCOME
    for account, amount in INCOME.items():
        assert f"| `{account}` | {amount} |".replace("-", "−") in PAGE


def test_usage_in_the_kpis_by_what_it_was_paid_from(published: Published) -> None:
    (row,) = published.rows(
        """select revenue, revenue_paid, revenue_promo, revenue_unfunded
        from marts.kpis('2026-10-01', '2026-11-01') where currency = 'eur'"""
    )
    assert " | ".join(row) == KPIS
    assert f"| {KPIS} |" in PAGE
