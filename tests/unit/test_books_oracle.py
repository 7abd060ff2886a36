"""The oracle of paid and promo credit, journal and growth against numbers worked out by hand."""

from collections import Counter
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import cache
from itertools import pairwise, permutations
from typing import Any

import pytest

from tests.support.books_oracle import (
    CREDIT_AMOUNTS,
    LINE_GRAIN,
    USED_TO_DATE,
    WALLET,
    Books,
    Facts,
    books_of,
    books_of_files,
    full_journal,
    grain,
    lines_to_book,
    net_amounts,
    usage_kpis,
)
from tests.support.builders import Record, adjustment, charge, deposit, ledger_file, refund, withdrawal
from tests.support.oracle import Expected, OracleSettings, Row, expected, group
from tests.support.random_books import AS_OF, ZONE, RandomBooks
from tests.support.shared import in_soak

D = Decimal
SETTINGS = OracleSettings(datetime(2026, 10, 20, 12, tzinfo=UTC))
ALICE = ("alice", "pw", "usd")
PAID, PROMO = {"funding": "paid"}, {"funding": "promo"}
CREDIT = {"paid_closing", "promo_closing", "overdraft_closing"}


def at(day: int, month: int = 10, time: str = "12:00") -> str:
    return f"2026-{month:02}-{day:02}T{time}:00Z"


def books(*records: Record, settings: OracleSettings = SETTINGS, **options: Any) -> Books:
    return books_of_files([ledger_file("a.jsonl", records)], settings, **options)


def credit_day(result: Books, day: int, wallet: tuple[str, ...] = ALICE) -> Row:
    (row,) = [
        row
        for row in result.credit_days
        if grain(*WALLET)(row) == wallet and row["date_day"] == date(2026, 10, day)
    ]
    return row


def moved(row: Row) -> dict[str, int]:
    """Return the amounts of a day that are not 0; the amounts of these tests are whole."""
    return {name: int(row[name]) for name in CREDIT_AMOUNTS if row[name]}


def closing(row: Row) -> tuple[int, int, int]:
    return int(row["paid_closing"]), int(row["promo_closing"]), int(row["overdraft_closing"])


def used_to_date(row: Row) -> tuple[int, int]:
    return int(row["paid_used_to_date"]), int(row["promo_used_to_date"])


def lines(result: Books, *journals: str, day: int | None = None) -> set[tuple[Any, ...]]:
    """Return the lines of some journals: account, debit, credit."""
    rows = [
        (row["account"], int(row["debit"]), int(row["credit"]))
        for row in result.journal_lines
        if row["journal"] in journals and day in (None, row["journal_date"].day)
    ]
    assert len(rows) == len(set(rows))
    return set(rows)


# ---- 1. added


def test_a_paid_deposit_is_paid_credit_and_a_promo_deposit_is_promo() -> None:
    row = credit_day(books(deposit("d", at(1), "10"), deposit("p", at(1), "4", metadata=PROMO)), 1)
    assert moved(row) == {"paid_added": 10, "promo_added": 4}
    assert closing(row) == (10, 4, 0)


@pytest.mark.parametrize(
    ("metadata", "names", "funding"),
    [
        ({}, None, "promo"),
        ({}, "unknown", "promo"),
        ({}, "charge", "promo"),
        ({}, "paid deposit", "paid"),
        ({}, "promo deposit", "promo"),
        ({}, "failed deposit of bob", "paid"),
        ({"funding": ""}, "paid deposit", "paid"),
        (PAID, None, "paid"),
        ({"funding": "PAID"}, None, "paid"),
        (PAID, "promo deposit", "paid"),
        (PROMO, "paid deposit", "promo"),
        ({"funding": "gift"}, "paid deposit", "promo"),
    ],
)
def test_a_positive_adjustment_is_paid_where_it_states_so_or_names_a_paid_deposit(
    metadata: Record, names: str | None, funding: str
) -> None:
    result = books(
        deposit("paid deposit", at(1), "1"),
        deposit("promo deposit", at(1), "1", metadata=PROMO),
        deposit("failed deposit of bob", at(1), "1", user="bob", status="failed"),
        charge("charge", at(1), "1"),
        adjustment("a", at(2), "7", related_id=names, metadata=metadata),
    )
    assert moved(credit_day(result, 2)) == {f"{funding}_added": 7}


def test_an_overdraft_is_settled_first_by_paid_credit_before_promo() -> None:
    result = books(
        charge("c", at(1), "10"),
        deposit("p", at(2), "8", metadata=PROMO),
        deposit("d", at(2), "6"),
    )
    assert credit_day(result, 1)["overdraft_closing"] == 10
    row = credit_day(result, 2)
    # 6 paid settles 6 of 10, 4 of the 8 promo settle the rest.
    assert moved(row) == {
        "paid_added": 6, "promo_added": 8, "overdraft_settled_paid": 6, "overdraft_settled_promo": 4,
    }  # fmt: skip
    assert closing(row) == (0, 4, 0)
    assert used_to_date(row) == (6, 4)


def test_paid_credit_beyond_the_overdraft_stays_paid() -> None:
    row = credit_day(books(charge("c", at(1), "3"), deposit("d", at(2), "10")), 2)
    assert moved(row) == {"paid_added": 10, "overdraft_settled_paid": 3}
    assert closing(row) == (7, 0, 0)


def test_the_day_begins_with_the_closings_of_the_day_before_whatever_lies_between() -> None:
    result = books(
        deposit("d", at(1), "10"),
        deposit("p", at(1), "4", metadata=PROMO),
        charge("c", at(9), "5"),
    )
    row = credit_day(result, 9)
    assert (row["paid_opening"], row["promo_opening"], row["overdraft_opening"]) == (10, 4, 0)
    assert len(result.credit_days) == 2


def test_every_wallet_has_credit_of_its_own() -> None:
    result = books(
        deposit("d", at(1), "10"),
        charge("c1", at(1), "1", user="bob"),
        charge("c2", at(1), "2", paywall="pw2"),
        charge("c3", at(1), "3", currency="eur"),
    )
    assert [(grain(*WALLET)(row), closing(row)) for row in result.credit_days] == [
        (("alice", "pw", "eur"), (0, 0, 3)),
        (("alice", "pw", "usd"), (10, 0, 0)),
        (("alice", "pw2", "usd"), (0, 0, 2)),
        (("bob", "pw", "usd"), (0, 0, 1)),
    ]


def test_only_settled_entries_of_wallets_count() -> None:
    result = books(
        deposit("d1", at(1), "10", status="pending"),
        deposit("d2", at(1), "10", status="failed"),
        deposit("d3", at(1), "10", status="reversed"),
        charge("postpaid", at(1), "10", billing="postpaid"),
        refund("r", at(1), "10", "postpaid"),
        withdrawal("w", at(1), "10", user=None),
    )
    assert result.credit_days == []


def test_an_entry_of_0_makes_a_row_of_zeros() -> None:
    row = credit_day(books(deposit("d", at(1), "0")), 1)
    assert moved(row) == {}
    assert closing(row) == (0, 0, 0)


# ---- 2. taken

OPENING = (
    deposit("paid", at(1), "10"),
    deposit("promo", at(1), "10", metadata=PROMO),
    adjustment("paid adjustment", at(1), "10", metadata=PAID),
    adjustment("promo adjustment", at(1), "10"),
    adjustment("won dispute", at(1), "10", related_id="paid"),
    charge("charge", at(1), "10"),
    deposit("failed promo of bob", at(1), "1", user="bob", status="failed", metadata=PROMO),
    adjustment("zero", at(1), "0"),
)  # paid: 30, promo: 20 - 10 used


@pytest.mark.parametrize(
    ("names", "metadata", "first"),
    [
        (None, {}, "paid"),
        ("unknown", {}, "paid"),
        ("charge", {}, "paid"),
        ("paid", {}, "paid"),
        ("paid adjustment", {}, "paid"),
        ("won dispute", {}, "paid"),
        ("zero", {}, "paid"),
        ("promo", {}, "promo"),
        ("failed promo of bob", {}, "promo"),
        ("promo adjustment", {}, "promo"),
        (None, PROMO, "promo"),
        (None, {"funding": "PROMO"}, "promo"),
        ("paid", PROMO, "promo"),
        ("promo", PAID, "promo"),
        (None, PAID, "paid"),
        # an expiry takes promo first but where it names paid credit or states paid
        (None, {"reason": "expired"}, "promo"),
        ("unknown", {"reason": "expired"}, "promo"),
        ("charge", {"reason": "expiry"}, "promo"),
        ("zero", {"reason": "expiry"}, "promo"),
        ("paid", {"reason": "breakage"}, "paid"),
        ("paid adjustment", {"reason": "expired"}, "paid"),
        ("won dispute", {"reason": "expired"}, "paid"),
        (None, PAID | {"reason": "expired"}, "paid"),
        (None, {"funding": "gift", "reason": "expired"}, "promo"),
        ("promo", PAID | {"reason": "expired"}, "promo"),
        ("paid", PROMO | {"reason": "expired"}, "promo"),
    ],
)
def test_a_negative_adjustment_takes_from_what_it_names_or_states_first(
    names: str | None, metadata: Record, first: str
) -> None:
    """The wallet opens with 30 paid and 10 promo; 4 are in either."""
    result = books(*OPENING, adjustment("a", at(2), "-4", related_id=names, metadata=metadata))
    ending = "expired" if "reason" in metadata else "returned"
    assert moved(credit_day(result, 2)) == {f"{first}_{ending}": 4}


@pytest.mark.parametrize(
    ("record", "taken"),
    [
        (refund("r", at(2), "35", "paid"), {"paid_returned": 30, "promo_returned": 5}),
        (refund("r", at(2), "35", "promo"), {"promo_returned": 10, "paid_returned": 25}),
        (refund("r", at(2), "35", "paid", metadata=PROMO), {"promo_returned": 10, "paid_returned": 25}),
        (refund("r", at(2), "2", "failed promo of bob"), {"promo_returned": 2}),
        (withdrawal("w", at(2), "35"), {"paid_returned": 30, "promo_returned": 5}),
        (withdrawal("w", at(2), "2", related_id="promo"), {"promo_returned": 2}),
        (withdrawal("w", at(2), "2", metadata={"reason": "expired"}), {"paid_returned": 2}),
        (
            withdrawal("w", at(2), "45"),
            {"paid_returned": 30, "promo_returned": 10, "unfunded_returned": 5},
        ),
    ],
)
def test_refunds_of_deposits_and_withdrawals_are_returned(record: Record, taken: dict[str, int]) -> None:
    result = books(*OPENING, record)
    assert moved(credit_day(result, 2)) == taken


def test_what_neither_holds_becomes_overdraft_and_expiries_of_it_are_known() -> None:
    result = books(
        deposit("d", at(1), "3"),
        deposit("p", at(1), "4", metadata=PROMO),
        adjustment("a", at(2), "-10", metadata={"reason": "expired"}),
        adjustment("b", at(2), "-5"),
    )
    row = credit_day(result, 2)
    # Promo first is the first half: the expiry takes 4 promo and 3 paid, 3 are not there; then 5 more.
    assert moved(row) == {"promo_expired": 4, "paid_expired": 3, "unfunded_returned": 8}
    assert closing(row) == (0, 0, 8)
    wallet = dict(zip(WALLET, ALICE, strict=True))
    assert result.unfunded_expiries == [wallet | {"date_day": date(2026, 10, 2), "amount": 3}]


def test_an_expiry_with_credit_is_no_unfunded_expiry() -> None:
    result = books(deposit("d", at(1), "3"), adjustment("a", at(2), "-3", metadata={"reason": "expired"}))
    assert result.unfunded_expiries == []


def test_what_takes_promo_first_comes_before_what_takes_paid_first() -> None:
    """The withdrawal would take 6 of the 10 paid; the expiry comes first and takes 5 of them."""
    result = books(
        deposit("d", at(1), "10"),
        deposit("p", at(1), "2", metadata=PROMO),
        withdrawal("w", at(2, time="01:00"), "6"),
        adjustment("a", at(2, time="02:00"), "-7", metadata={"reason": "expired"}),
    )
    # a: 2 promo, 5 paid. w: 5 paid, 1 unfunded.
    assert moved(credit_day(result, 2)) == {
        "promo_expired": 2, "paid_expired": 5, "paid_returned": 5, "unfunded_returned": 1,
    }  # fmt: skip


@pytest.mark.parametrize(("metadata", "first", "second"), [(PAID, "paid", "promo"), (PROMO, "promo", "paid")])
def test_within_a_half_returns_come_first_then_adjustments_then_expiries(
    metadata: Record, first: str, second: str
) -> None:
    result = books(
        deposit("d", at(1), "5"),
        deposit("p", at(1), "5", metadata=PROMO),
        adjustment("a", at(2, time="01:00"), "-4", metadata=metadata | {"reason": "expired"}),
        adjustment("b", at(2, time="02:00"), "-4", metadata=metadata),
        withdrawal("w", at(2, time="03:00"), "4", metadata=metadata),
    )
    # w: 4 of the first kind. b: 1 of the first, 3 of the second. a: 2 of the second, 2 unfunded.
    assert moved(credit_day(result, 2)) == {
        f"{first}_returned": 5, f"{second}_returned": 3, f"{second}_expired": 2, "unfunded_returned": 2,
    }  # fmt: skip
    # w goes to clearing, b to adjustments: 1 or 3 of it are paid.
    assert ("adjustments", 0, 1 if first == "paid" else 3) in lines(result, "returns")
    assert lines(result, "expiry") == {
        ("breakage_revenue", 0, 2 + (2 if second == "paid" else 0)),
        ("overdraft_receivable", 2, 0),
    } | ({("deferred_revenue", 2, 0)} if second == "paid" else set())


def test_within_returns_what_goes_to_clearing_comes_first() -> None:
    """Both take promo first. The withdrawal gets the promo credit although the refund is earlier."""
    result = books(
        deposit("d", at(1), "10"),
        deposit("p", at(1), "5", metadata=PROMO),
        refund("r", at(2, time="01:00"), "5", "p"),
        withdrawal("w", at(2, time="02:00"), "5", metadata=PROMO),
    )
    assert moved(credit_day(result, 2)) == {"promo_returned": 5, "paid_returned": 5}
    assert lines(result, "returns") == {
        ("promotional_credits", 5, 0), ("clearing", 0, 5), ("deferred_revenue", 5, 0), ("adjustments", 0, 5),
    }  # fmt: skip


def test_within_adjustments_what_names_a_paid_deposit_comes_first() -> None:
    result = books(
        deposit("d", at(1), "5"),
        deposit("p", at(1), "5", metadata=PROMO),
        adjustment("a", at(2, time="01:00"), "-4"),
        adjustment("dispute", at(2, time="02:00"), "-4", related_id="d"),
    )
    # dispute: 4 paid to clearing. a: 1 paid to adjustments, 3 promo that were never booked.
    assert lines(result, "returns") == {
        ("deferred_revenue", 5, 0), ("clearing", 0, 4), ("adjustments", 0, 1),
    }  # fmt: skip


def test_expiry_reasons_are_a_setting_and_hold_for_negative_adjustments_only() -> None:
    records = (
        *OPENING,
        adjustment("a", at(2), "-1", metadata={"reason": "lapsed"}),
        adjustment("b", at(3), "-1", metadata={"reason": "expired"}),
        refund("c", at(4), "1", "paid", metadata={"reason": "lapsed"}),
        adjustment("d", at(5), "1", metadata={"reason": "lapsed"}),
        adjustment("e", at(6), "-1", metadata={"reason": "Lapsed"}),
    )
    result = books(*records, expiry_reasons=["lapsed"])
    assert [moved(credit_day(result, day)) for day in range(2, 7)] == [
        {"promo_expired": 1}, {"paid_returned": 1}, {"paid_returned": 1}, {"promo_added": 1},
        {"paid_returned": 1},
    ]  # fmt: skip
    result = books(*records, expiry_reasons=["LAPSED"], expiry_ignores_case=True)
    assert moved(credit_day(result, 6)) == {"promo_expired": 1}


@pytest.mark.parametrize("reason", ["expired", "expiry", "breakage"])
def test_three_reasons_are_expiries_by_default(reason: str) -> None:
    result = books(*OPENING, adjustment("a", at(2), "-1", metadata={"reason": reason}))
    assert moved(credit_day(result, 2)) == {"promo_expired": 1}


# ---- 3. used


def test_usage_takes_promo_then_paid_and_the_rest_is_overdraft() -> None:
    result = books(
        deposit("d", at(1), "10"), deposit("p", at(1), "4", metadata=PROMO), charge("c", at(1), "20")
    )
    row = credit_day(result, 1)
    assert moved(row) == {
        "paid_added": 10, "promo_added": 4, "revenue_promo": 4, "revenue_paid": 10, "revenue_unfunded": 6,
    }  # fmt: skip
    assert closing(row) == (0, 0, 6)
    assert used_to_date(row) == (10, 4)


def test_usage_of_a_day_is_net_of_the_refunds_of_charges() -> None:
    result = books(
        deposit("d", at(1), "10"),
        charge("c", at(1), "8"),
        refund("r1", at(1), "2", "c"),
        refund("r2", at(1), "1", "unknown"),
    )
    # 8 - 2 - 1: a refund with an unknown related_id is one of usage.
    assert moved(credit_day(result, 1)) == {"paid_added": 10, "revenue_paid": 5}


def test_added_credit_can_be_taken_and_used_on_the_same_day() -> None:
    result = books(
        charge("c", at(1, time="01:00"), "5"),
        withdrawal("w", at(1, time="02:00"), "7"),
        deposit("d", at(1, time="03:00"), "10"),
    )
    row = credit_day(result, 1)
    assert moved(row) == {"paid_added": 10, "paid_returned": 7, "revenue_paid": 3, "revenue_unfunded": 2}
    assert closing(row) == (0, 0, 2)


def test_what_is_given_back_pays_the_overdraft_then_paid_usage_then_promo() -> None:
    result = books(
        deposit("d", at(1), "10"),
        deposit("p", at(1), "4", metadata=PROMO),
        charge("c", at(1), "16"),
        refund("r", at(2), "15", "c"),
    )
    row = credit_day(result, 2)
    # 2 overdraft, then 10 paid usage so far, then 3.
    assert moved(row) == {"refunds_unfunded": 2, "refunds_paid": 10, "refunds_promo": 3}
    assert closing(row) == (10, 3, 0)
    assert used_to_date(row) == (0, 1)


def test_an_overdraft_of_returns_is_given_back_too() -> None:
    result = books(
        deposit("d", at(1), "2"),
        charge("c", at(1), "2"),
        withdrawal("w", at(2), "5"),
        refund("r", at(2), "4", "c"),
    )
    row = credit_day(result, 2)
    assert moved(row) == {"unfunded_returned": 5, "refunds_unfunded": 4}
    assert closing(row) == (0, 0, 1)


def test_what_was_settled_today_is_paid_usage_so_far() -> None:
    result = books(charge("c", at(1), "5"), deposit("d", at(2), "3"), refund("r", at(2), "4", "c"))
    row = credit_day(result, 2)
    # 3 of the overdraft of 5 are settled. Of 4 given back, 2 pay the rest, and 2 of the 3 settled return.
    assert moved(row) == {
        "paid_added": 3,
        "overdraft_settled_paid": 3,
        "refunds_unfunded": 2,
        "refunds_paid": 2,
    }
    assert closing(row) == (2, 0, 0)
    assert used_to_date(row) == (1, 0)


def test_what_is_given_back_beyond_all_usage_is_promo() -> None:
    result = books(
        deposit("d", at(1), "3"),
        charge("c", at(1), "3"),
        refund("r", at(2), "10", "c"),
        charge("c2", at(3), "8"),
        refund("r2", at(4), "4", "c2"),
    )
    assert moved(credit_day(result, 2)) == {"refunds_paid": 3, "refunds_promo": 7}
    assert used_to_date(credit_day(result, 2)) == (0, -7)
    # 8 used: 7 promo, 1 paid. Of 4 given back, 1 is paid.
    assert moved(credit_day(result, 3)) == {"revenue_promo": 7, "revenue_paid": 1}
    assert moved(credit_day(result, 4)) == {"refunds_paid": 1, "refunds_promo": 3}


def test_promo_first_false_takes_paid_then_promo() -> None:
    result = books(
        deposit("d", at(1), "10"),
        deposit("p", at(1), "4", metadata=PROMO),
        charge("c", at(1), "12"),
        promo_first=False,
    )
    assert closing(credit_day(result, 1)) == (0, 2, 0)
    assert used_to_date(credit_day(result, 1)) == (10, 2)


def test_promo_first_false_gives_back_promo_up_to_its_usage_then_paid_and_promo_beyond() -> None:
    result = books(
        deposit("d", at(1), "10"),
        deposit("p", at(1), "4", metadata=PROMO),
        charge("c", at(1), "12"),
        refund("r", at(2), "5", "c"),
        refund("r2", at(3), "20", "c"),
        promo_first=False,
    )
    assert moved(credit_day(result, 2)) == {"refunds_promo": 2, "refunds_paid": 3}
    # 7 paid usage is left, 13 are beyond all usage.
    assert moved(credit_day(result, 3)) == {"refunds_paid": 7, "refunds_promo": 13}
    assert used_to_date(credit_day(result, 3)) == (0, -13)


def test_promo_first_false_changes_neither_settlement_nor_what_is_taken() -> None:
    result = books(
        charge("c", at(1), "5"),
        deposit("d", at(2), "10"),
        deposit("p", at(2), "5", metadata=PROMO),
        adjustment("a", at(2), "-3", metadata={"reason": "expired"}),
        promo_first=False,
    )
    row = credit_day(result, 2)
    assert moved(row) == {"paid_added": 10, "promo_added": 5, "overdraft_settled_paid": 5, "promo_expired": 3}


def test_with_negative_promo_usage_promo_first_false_gives_back_paid_usage_only() -> None:
    result = books(
        refund("r", at(1), "3", "unknown"),
        deposit("d", at(2), "6"),
        charge("c", at(2), "6"),
        refund("r2", at(3), "2", "c"),
        promo_first=False,
    )
    # Promo usage so far is -3, which is nothing to give back; of paid usage there are 6.
    assert used_to_date(credit_day(result, 1)) == (0, -3)
    assert moved(credit_day(result, 3)) == {"refunds_paid": 2}


def test_a_day_is_one_of_the_reporting_time_zone() -> None:
    """On 2026-10-25 the clock goes back: 23:30 UTC is 00:30 of the next day in Berlin, 22:30 is 23:30."""
    settings = OracleSettings(datetime(2026, 11, 5, tzinfo=UTC), "Europe/Berlin")
    result = books(
        deposit("d", at(24, time="21:59"), "10"),
        charge("c1", at(24, time="22:00"), "1"),
        charge("c2", at(25, time="22:59"), "2"),
        charge("c3", at(25, time="23:00"), "3"),
        settings=settings,
    )
    assert [(row["date_day"].day, row["revenue_paid"]) for row in result.credit_days] == [
        (24, 0),
        (25, 3),
        (26, 3),
    ]


# ---- deferred revenue


def test_deferred_revenue_rolls_forward_every_day_over_all_wallets() -> None:
    result = books(
        deposit("d", at(16), "10"),
        charge("c", at(17), "4"),
        deposit("d2", at(17), "5", user="bob"),
        charge("c2", at(19), "7", user="bob"),
        refund("r", at(19), "1", "c"),
        adjustment("x", at(19), "-2", metadata=PAID | {"reason": "expired"}),
        withdrawal("w", at(19), "1"),
        deposit("d3", at(20), "6", user="bob"),
        deposit("p", at(20), "9", metadata=PROMO),
        charge("pending", at(18), "1", currency="eur", status="pending"),
    )
    names = ("opening", "added", "used", "overdraft_settled", "returned", "expired", "closing")
    usd = [row for row in result.deferred_revenue if row["currency"] == "usd"]
    assert [(row["date_day"].day, *(int(row[name]) for name in names)) for row in usd] == [
        (16, 0, 10, 0, 0, 0, 0, 10),
        (17, 10, 5, 4, 0, 0, 0, 11),
        (18, 11, 0, 0, 0, 0, 0, 11),
        # bob uses 5 of 7, alice is given 1 back; 2 expire, 1 is withdrawn
        (19, 11, 0, 4, 0, 1, 2, 4),
        # bob's overdraft of 2 is settled
        (20, 4, 6, 0, 2, 0, 0, 8),
    ]
    assert [(row["promo_closing"], row["overdraft_closing"]) for row in usd[-2:]] == [(0, 2), (9, 0)]
    assert [row["booked_closing"] for row in usd] == [row["closing"] for row in usd]
    eur = [row for row in result.deferred_revenue if row["currency"] == "eur"]
    assert [(row["date_day"].day, row["closing"]) for row in eur] == [(day, 0) for day in range(16, 21)]


def test_deferred_revenue_reaches_through_an_entry_after_today() -> None:
    result = books(deposit("d", at(19), "10"), charge("c", at(22), "4"))
    assert [row["closing"] for row in result.deferred_revenue] == [10, 10, 10, 6]


# ---- journal


def test_receipts_of_paid_credit() -> None:
    result = books(
        deposit("d", at(1), "10"),
        deposit("p", at(1), "4", metadata=PROMO),
        adjustment("a", at(1), "1"),
        adjustment("b", at(1), "20", related_id="d"),
        adjustment("c", at(1), "300", related_id="p", metadata=PAID),
        adjustment("e", at(1), "4000", related_id="b", metadata=PAID),
        adjustment("f", at(1), "50000", related_id="d", metadata=PROMO),
    )
    assert lines(result, "receipts") == {
        ("clearing", 330, 0), ("adjustments", 4000, 0), ("deferred_revenue", 0, 4330),
    }  # fmt: skip


def test_usage_settlement_and_refunds_have_journals_of_their_own() -> None:
    result = books(
        deposit("d", at(1), "10"),
        deposit("p", at(1), "4", metadata=PROMO),
        charge("c", at(1), "20"),
        deposit("d2", at(2), "1"),
        deposit("p2", at(2), "2", metadata=PROMO),
        refund("r", at(3), "15", "c"),
    )
    assert lines(result, "usage") == {
        ("deferred_revenue", 10, 0), ("promotional_credits", 4, 0), ("overdraft_receivable", 6, 0),
        ("usage_revenue", 0, 20),
    }  # fmt: skip
    assert lines(result, "settlement") == {
        ("deferred_revenue", 1, 0), ("promotional_credits", 2, 0), ("overdraft_receivable", 0, 3),
    }  # fmt: skip
    # 3 of the overdraft are left, 11 paid usage so far, 1 promo.
    assert lines(result, "refunds") == {
        ("usage_revenue", 15, 0), ("overdraft_receivable", 0, 3), ("deferred_revenue", 0, 11),
        ("promotional_credits", 0, 1),
    }  # fmt: skip


def test_a_postpaid_charge_and_its_refund_are_lines_of_their_own() -> None:
    result = books(
        charge("c", at(1), "20", billing="postpaid"),
        charge("failed", at(1), "5", billing="postpaid", status="failed"),
        refund("r", at(1), "3", "failed"),
        refund("pending", at(1), "1", "c", status="pending"),
    )
    assert lines(result, "usage") == {
        ("accounts_receivable", 20, 0), ("usage_revenue", 0, 20),
        ("usage_revenue", 3, 0), ("accounts_receivable", 0, 3),
    }  # fmt: skip
    assert lines(result, "refunds") == set()


def test_returns_go_to_clearing_or_adjustments() -> None:
    result = books(
        deposit("d", at(1), "100"),
        deposit("p", at(1), "100", metadata=PROMO),
        withdrawal("w", at(2), "1"),
        refund("r", at(2), "2", "d"),
        adjustment("dispute", at(2), "-4", related_id="d"),
        adjustment("correction", at(2), "-8"),
        refund("promo", at(2), "16", "p"),
        withdrawal("promo money", at(3), "32", related_id="p"),
        withdrawal("operator", at(3), "64", user=None),
        adjustment("rest", at(4), "-200", related_id="d"),
    )
    assert lines(result, "returns", day=2) == {
        ("deferred_revenue", 15, 0), ("clearing", 0, 7), ("adjustments", 0, 8),
    }  # fmt: skip
    assert lines(result, "returns", day=3) == {("promotional_credits", 32, 0), ("clearing", 0, 32)}
    # 85 paid, 52 promo and 63 unfunded are taken for a paid deposit: money left.
    assert lines(result, "returns", day=4) == {
        ("deferred_revenue", 85, 0), ("promotional_credits", 52, 0), ("overdraft_receivable", 63, 0),
        ("clearing", 0, 200),
    }  # fmt: skip


def test_an_expiry_is_breakage_even_if_it_names_a_paid_deposit_and_promo_is_not_booked() -> None:
    result = books(
        deposit("d", at(1), "5"),
        deposit("p", at(1), "5", metadata=PROMO),
        adjustment("x", at(2), "-12", related_id="d", metadata={"reason": "expired"}),
    )
    assert moved(credit_day(result, 2)) == {"paid_expired": 5, "promo_expired": 5, "unfunded_returned": 2}
    assert lines(result, "expiry") == {
        ("deferred_revenue", 5, 0), ("overdraft_receivable", 2, 0), ("breakage_revenue", 0, 7),
    }  # fmt: skip
    assert lines(result, "returns") == set()


def test_cost_counts_in_its_own_currency_in_every_status_but_pending() -> None:
    cost = {"provider_cost": "1", "platform_fees": "2"}
    result = books(
        charge("a", at(1), **cost),
        charge("b", at(1), status="failed", **cost),
        charge("c", at(1), status="reversed", **cost),
        charge("d", at(1), status="pending", **cost),
        charge("e", at(1), billing="postpaid", **cost),
        charge("f", at(1), **cost, provider_cost_currency="EUR"),
        charge("g", at(1)),
        refund("r", at(1), "1", "a", **cost),
    )
    costs = [row for row in result.journal_lines if row["journal"] == "cogs"]
    assert [(row["account"], row["currency"], row["debit"], row["credit"]) for row in costs] == [
        ("accrued_provider_cost", "eur", 0, 1),
        ("accrued_provider_cost", "usd", 0, 4),
        ("provider_cost", "eur", 1, 0),
        ("provider_cost", "usd", 4, 0),
    ]
    # Settled charges only: a, e and f.
    assert lines(result, "fees") == {("platform_fees", 6, 0), ("accrued_platform_fees", 0, 6)}


def test_a_line_is_the_sum_over_wallets_and_keeps_every_digit() -> None:
    result = books(
        deposit("d", at(1), "999999999999999999.999999999999"),
        deposit("e", at(1), "0.000000000002", user="bob"),
        deposit("f", at(1), "0", currency="eur"),
    )
    assert result.journal_lines == [
        {
            "journal_date": date(2026, 10, 1), "journal": "receipts", "account": "clearing",
            "debit": D("1000000000000000000.000000000001"), "credit": D(0), "currency": "usd",
            "relates_to_date": date(2026, 10, 1),
        },
        {
            "journal_date": date(2026, 10, 1), "journal": "receipts", "account": "deferred_revenue",
            "debit": D(0), "credit": D("1000000000000000000.000000000001"), "currency": "usd",
            "relates_to_date": date(2026, 10, 1),
        },
    ]  # fmt: skip


# ---- periods

OCTOBER, NOVEMBER, DECEMBER = date(2026, 10, 1), date(2026, 11, 1), date(2026, 12, 1)
AT_YEAR_END = OracleSettings(datetime(2026, 12, 10, tzinfo=UTC))
BOOKED = (
    deposit("d", at(5), "10"),
    charge("c", at(6), "4"),
    deposit("n", at(3, 11), "100"),
)


def dated_lines(result: Books) -> set[tuple[Any, ...]]:
    """Return the lines with their dates: journal date, journal, account, debit, credit, relates-to date."""
    return {
        (
            f"{row['journal_date']:%m-%d}",
            row["journal"],
            row["account"],
            int(row["debit"]),
            int(row["credit"]),
            f"{row['relates_to_date']:%m-%d}",
        )
        for row in result.journal_lines
    }


IN_NOVEMBER = {
    ("11-03", "receipts", "clearing", 100, 0, "11-03"),
    ("11-03", "receipts", "deferred_revenue", 0, 100, "11-03"),
}
IN_OCTOBER = {
    ("10-05", "receipts", "clearing", 10, 0, "10-05"),
    ("10-05", "receipts", "deferred_revenue", 0, 10, "10-05"),
    ("10-06", "usage", "deferred_revenue", 4, 0, "10-06"),
    ("10-06", "usage", "usage_revenue", 0, 4, "10-06"),
}


def close_october(*records: Record) -> list[Row]:
    return lines_to_book(books(*records, settings=AT_YEAR_END).journal_lines, NOVEMBER)


def after_close(*records: Record, first_open_month: date = NOVEMBER, booked: Any = None) -> Books:
    return books(
        *records,
        settings=AT_YEAR_END,
        booked=close_october(*BOOKED) if booked is None else booked,
        first_open_month=first_open_month,
    )


def test_a_close_alone_changes_no_line() -> None:
    assert dated_lines(books(*BOOKED, settings=AT_YEAR_END)) == IN_OCTOBER | IN_NOVEMBER
    assert after_close(*BOOKED).journal_lines == books(*BOOKED, settings=AT_YEAR_END).journal_lines


def test_what_lands_late_is_journaled_on_the_first_open_day_and_relates_to_its_own() -> None:
    result = after_close(*BOOKED, deposit("late", at(5), "3"), deposit("new", at(3, 11), "1"))
    assert dated_lines(result) == IN_OCTOBER | {
        ("11-01", "receipts", "clearing", 3, 0, "10-05"),
        ("11-01", "receipts", "deferred_revenue", 0, 3, "10-05"),
        ("11-03", "receipts", "clearing", 101, 0, "11-03"),
        ("11-03", "receipts", "deferred_revenue", 0, 101, "11-03"),
    }


def test_less_is_on_the_opposite_side() -> None:
    result = after_close(
        *BOOKED, deposit("d", at(5), "10", status="failed", updated_at=at(7)), charge("e", at(3, 11), "30")
    )
    # Without the deposit the charge of 4 made an overdraft, which November's deposit settles.
    assert dated_lines(result) == IN_OCTOBER | IN_NOVEMBER | {
        ("11-01", "receipts", "clearing", 0, 10, "10-05"),
        ("11-01", "receipts", "deferred_revenue", 10, 0, "10-05"),
        ("11-01", "usage", "deferred_revenue", 0, 4, "10-06"),
        ("11-01", "usage", "overdraft_receivable", 4, 0, "10-06"),
        ("11-03", "settlement", "deferred_revenue", 4, 0, "11-03"),
        ("11-03", "settlement", "overdraft_receivable", 0, 4, "11-03"),
        ("11-03", "usage", "deferred_revenue", 30, 0, "11-03"),
        ("11-03", "usage", "usage_revenue", 0, 30, "11-03"),
    }


def test_an_adjustment_is_net_per_account_within_its_journal() -> None:
    """A postpaid charge and a refund of the same amount cancel out; of the second refund 1 stays."""
    late = charge("late", at(6), "5", billing="postpaid")
    assert after_close(*BOOKED, late, refund("r", at(6), "5", "late")).journal_lines == (
        books(*BOOKED, settings=AT_YEAR_END).journal_lines
    )
    result = after_close(*BOOKED, late, refund("r", at(6), "6", "late"))
    assert dated_lines(result) == IN_OCTOBER | IN_NOVEMBER | {
        ("11-01", "usage", "accounts_receivable", 0, 1, "10-06"),
        ("11-01", "usage", "usage_revenue", 1, 0, "10-06"),
    }


def test_months_before_a_closed_one_count_as_closed() -> None:
    result = after_close(*BOOKED, deposit("late", at(30, 9), "2"))
    assert dated_lines(result) == IN_OCTOBER | IN_NOVEMBER | {
        ("11-01", "receipts", "clearing", 2, 0, "09-30"),
        ("11-01", "receipts", "deferred_revenue", 0, 2, "09-30"),
    }


def test_the_second_close_books_the_adjustments_of_the_first() -> None:
    late = deposit("late", at(5), "3")
    booked = lines_to_book(after_close(*BOOKED, late).journal_lines, DECEMBER)
    assert len(booked) == 8
    again = after_close(*BOOKED, late, booked=booked, first_open_month=DECEMBER)
    assert again.journal_lines == sorted_rows(booked)
    # Two more on the same day: the adjustment is the difference from what is booked and already adjusted.
    more = after_close(*BOOKED, late, deposit("later", at(5), "2"), booked=booked, first_open_month=DECEMBER)
    assert dated_lines(more) - dated_lines(again) == {
        ("12-01", "receipts", "clearing", 2, 0, "10-05"),
        ("12-01", "receipts", "deferred_revenue", 0, 2, "10-05"),
    }


def sorted_rows(rows: list[Row]) -> list[Row]:
    return sorted(rows, key=lambda row: (*grain(*LINE_GRAIN)(row), row["credit"] > 0))


def test_a_reopened_month_is_restated_and_has_the_adjustments_of_earlier_months() -> None:
    late, in_november = deposit("late", at(5), "3"), deposit("in november", at(4, 11), "7")
    booked = lines_to_book(after_close(*BOOKED, late).journal_lines, DECEMBER)
    closed = after_close(*BOOKED, late, in_november, booked=booked, first_open_month=DECEMBER)
    assert ("12-01", "receipts", "clearing", 7, 0, "11-04") in dated_lines(closed)
    kept = [row for row in booked if row["journal_date"] < NOVEMBER]
    reopened = after_close(*BOOKED, late, in_november, booked=kept, first_open_month=NOVEMBER)
    assert dated_lines(reopened) == IN_OCTOBER | IN_NOVEMBER | {
        ("11-01", "receipts", "clearing", 3, 0, "10-05"),
        ("11-01", "receipts", "deferred_revenue", 0, 3, "10-05"),
        ("11-04", "receipts", "clearing", 7, 0, "11-04"),
        ("11-04", "receipts", "deferred_revenue", 0, 7, "11-04"),
    }


def test_booked_closing_goes_by_journal_date_and_closing_by_the_day_itself() -> None:
    result = after_close(*BOOKED, deposit("late", at(5), "3"))
    by_day = {row["date_day"]: (row["closing"], row["booked_closing"]) for row in result.deferred_revenue}
    assert by_day[date(2026, 10, 5)] == (13, 10)
    assert by_day[date(2026, 10, 31)] == (9, 6)
    assert by_day[NOVEMBER] == (9, 9)


# ---- period KPIs


def test_revenue_by_funding_is_the_sum_over_the_credit_days_of_a_period() -> None:
    result = books(
        deposit("d", at(1), "10"),
        deposit("p", at(1), "4", metadata=PROMO),
        charge("c", at(19), "5"),
        charge("c2", at(20), "12"),
        charge("postpaid", at(20), "100", billing="postpaid"),
    )
    rows = {row["period"]: row for row in result.period_kpis}
    names = ("revenue_paid", "revenue_promo", "revenue_unfunded")
    assert grain(*names)(rows["yesterday"]) == (1, 4, 0)
    assert grain(*names)(rows["today"]) == (9, 0, 3)
    assert grain(*names)(rows["all_time"]) == (10, 4, 3)
    assert grain(*names)(rows["previous_month"]) == (0, 0, 0)
    half_open = usage_kpis(result.credit_days, "usd", date(2026, 10, 19), date(2026, 10, 20))
    assert half_open == {"revenue_paid": 1, "revenue_promo": 4, "revenue_unfunded": 0}


# ---- growth: 2026-10-05, -12 and -19 are Mondays


def growth(result: Books, kind: str, currency: str = "usd") -> dict[date, Row]:
    return {
        row["period_start"]: row
        for row in result.growth
        if row["period_kind"] == kind and row["currency"] == currency
    }


def weekly_movements(result: Books, monday: int) -> dict[str, tuple[str, int]]:
    return {
        row["user_id"]: (row["movement"], int(row["amount"]))
        for row in result.user_movements
        if row["period_kind"] == "week" and row["period_start"] == date(2026, 10, monday)
    }


def test_each_user_moves_by_its_revenue_now_and_before() -> None:
    result = books(
        charge("a1", at(4), "3", user="back"),
        charge("b1", at(5), "5", user="gone"),
        charge("b2", at(5), "5", user="less"),
        charge("b3", at(5), "5", user="same"),
        charge("b4", at(5), "5", user="more"),
        charge("c1", at(12), "2", user="back"),
        charge("c2", at(12), "1", user="less"),
        charge("c3", at(13), "2", user="same"),
        charge("c4", at(18), "3", user="same", paywall="pw2"),
        charge("c5", at(12), "12", user="more"),
        charge("c6", at(12), "20", user="first"),
    )
    assert weekly_movements(result, 12) == {
        "back": ("resurrected", 2), "gone": ("churned", 5), "less": ("contraction", 4),
        "same": ("retained", 0), "more": ("expansion", 7), "first": ("new", 20),
    }  # fmt: skip
    row = growth(result, "week")[date(2026, 10, 12)]
    assert row == {
        "period_kind": "week", "period_start": date(2026, 10, 12), "currency": "usd",
        "users_new": 1, "users_retained": 3, "users_resurrected": 1, "users_churned": 1,
        "revenue": 40, "previous_revenue": 20,
        "new": 20, "resurrected": 2, "expansion": 7, "contraction": 4, "churned": 5,
        "gross_retention": 11 / 20, "net_retention": 18 / 20, "quick_ratio": 29 / 9, "is_complete": True,
    }  # fmt: skip


def test_a_user_without_revenue_in_both_periods_has_no_movement() -> None:
    result = books(
        charge("a", at(5), "1"), deposit("d", at(19), "5", user="bob"), charge("z", at(19), "0", user="z")
    )
    assert weekly_movements(result, 19) == {}
    row = growth(result, "week")[date(2026, 10, 19)]
    assert (row["revenue"], row["users_churned"], row["is_complete"]) == (0, 0, False)
    assert (row["gross_retention"], row["net_retention"], row["quick_ratio"]) == (None, None, None)


def test_a_charge_of_0_is_not_the_first_revenue() -> None:
    result = books(charge("zero", at(5), "0"), charge("a", at(12), "1"))
    assert weekly_movements(result, 12) == {"alice": ("new", 1)}


def test_revenue_is_that_of_settled_charges_postpaid_too_and_not_less_by_refunds() -> None:
    result = books(
        charge("a", at(12), "1", billing="postpaid"),
        charge("b", at(12), "2", status="pending"),
        charge("c", at(12), "4", status="reversed"),
        refund("r", at(12), "8", "a"),
    )
    assert weekly_movements(result, 12) == {"alice": ("new", 1)}


def test_the_first_revenue_counts_per_currency() -> None:
    result = books(charge("a", at(5), "1"), charge("b", at(12), "2", currency="eur"))
    eur = growth(result, "week", "eur")
    assert [(row["new"], row["churned"]) for row in eur.values()] == [(0, 0), (2, 0), (0, 2)]


def test_growth_ends_with_the_period_of_today() -> None:
    """Today is Tuesday 2026-10-20; what is dated later is not in its week yet."""
    result = books(charge("a", at(20), "1"), charge("b", at(21), "2"), charge("c", at(27), "4", user="bob"))
    assert weekly_movements(result, 19) == {"alice": ("new", 1)}
    assert [*growth(result, "week")] == [date(2026, 10, 19)]


def test_periods_begin_with_the_first_ledger_day_whatever_its_entry_is() -> None:
    result = books(
        deposit("d", "2026-08-31T12:00:00Z", "1", status="failed", currency="eur"), charge("a", at(19), "1")
    )
    assert [*growth(result, "month")] == [date(2026, 8, 1), date(2026, 9, 1), date(2026, 10, 1)]
    assert [*growth(result, "week", "eur")][:2] == [date(2026, 8, 31), date(2026, 9, 7)]
    # 9394 days lie between 2001-01-01 and 2026-09-21, which are 335 blocks of 28 days and 14 days.
    assert [*growth(result, "days_28")] == [date(2026, 8, 10), date(2026, 9, 7), date(2026, 10, 5)]


def test_a_period_is_complete_once_it_is_over_before_today() -> None:
    settings = OracleSettings(datetime(2026, 11, 1, 12, tzinfo=UTC))
    result = books(charge("a", at(5), "1"), settings=settings)
    months = growth(result, "month")
    assert [row["is_complete"] for row in months.values()] == [True, False]
    # The block of 2026-10-05 ends with Sunday 2026-11-01: today.
    assert [row["is_complete"] for row in growth(result, "days_28").values()] == [False]


def test_an_empty_ledger_has_no_rows() -> None:
    assert books_of([], today=date(2026, 10, 20)) == Books()


# ---- what must hold for every ledger

SEEDS = range(8)
FEW = SEEDS[:3]
FEW_AND_MORE = (*FEW, *in_soak(*SEEDS[3:]))
BERLIN = OracleSettings(AS_OF, ZONE)


@cache
def random_tables(seed: int) -> Expected:
    return expected(RandomBooks(seed).landings(), BERLIN)


@cache
def random_result(seed: int, promo_first: bool = True) -> Books:
    tables = random_tables(seed)
    return books_of(tables.ledger, today=tables.today, promo_first=promo_first)


@pytest.mark.parametrize("promo_first", [True, False])
@pytest.mark.parametrize("seed", FEW_AND_MORE)
def test_credit_equals_the_balance_of_every_wallet_and_day(seed: int, promo_first: bool) -> None:
    wallet_days = dict(random_tables(seed).wallet_days)
    for row in random_result(seed, promo_first).credit_days:
        of_wallet = wallet_days.pop((*grain(*WALLET)(row), row["date_day"]))
        balance = row["paid_closing"] + row["promo_closing"] - row["overdraft_closing"]
        assert balance == of_wallet["closing_balance"]
        used = sum(row[f"revenue_{name}"] - row[f"refunds_{name}"] for name in ("paid", "promo", "unfunded"))
        assert used == of_wallet["charged"] - of_wallet["refunds"]
        assert all(
            value >= 0 for name, value in row.items() if isinstance(value, D) and name not in USED_TO_DATE
        )
        assert row["overdraft_closing"] == 0 or row["paid_closing"] == row["promo_closing"] == 0
    assert wallet_days == {}


@pytest.mark.parametrize("seed", FEW_AND_MORE)
def test_the_journal_balances_and_holds_deferred_revenue(seed: int) -> None:
    result = random_result(seed)
    assert net_amounts(result.journal_lines, "journal_date", "journal", "currency") == {}
    for row in result.deferred_revenue:
        assert row["booked_closing"] == row["closing"]
    for (_currency,), of_currency in group(result.deferred_revenue, "currency").items():
        for before, after in pairwise(of_currency):
            assert after["opening"] == before["closing"]


@pytest.mark.parametrize("seed", FEW_AND_MORE)
def test_growth_explains_the_change_of_revenue(seed: int) -> None:
    result = random_result(seed)
    users = group(result.user_movements, "period_kind", "period_start", "currency")
    for row in result.growth:
        gained, lost = row["new"] + row["resurrected"] + row["expansion"], row["contraction"] + row["churned"]
        assert row["revenue"] - row["previous_revenue"] == gained - lost
        of_row = users.get((row["period_kind"], row["period_start"], row["currency"]), [])
        assert sum(one["revenue"] for one in of_row) == row["revenue"]


@pytest.mark.parametrize("seed", FEW_AND_MORE)
def test_the_order_of_landings_decides_nothing(seed: int) -> None:
    landings = RandomBooks(seed).landings()
    assert len(landings) == 3
    for order in [*permutations(landings)][1::2]:
        tables = expected(order, BERLIN)
        assert not tables.rejects
        assert books_of(tables.ledger, today=tables.today) == random_result(seed)


@pytest.mark.parametrize("seed", FEW_AND_MORE)
def test_as_booked_and_adjustments_are_the_restated_lines_after_every_close(seed: int) -> None:
    """Close a month after each landing: what is booked never changes, and the sum is what is restated."""
    landings = RandomBooks(seed).landings()
    booked: list[Row] = []
    first_open = None
    for number, next_open in enumerate((date(2026, 4, 1), date(2026, 10, 1), date(2026, 11, 1)), 1):
        tables = expected(landings[:number], BERLIN)
        result = books_of(tables.ledger, today=tables.today, booked=booked, first_open_month=first_open)
        if first_open:
            assert [row for row in result.journal_lines if row["journal_date"] < first_open] == sorted_rows(
                booked
            )
            assert any(
                row["relates_to_date"] < first_open == row["journal_date"] for row in result.journal_lines
            )
        names = ("account", "currency", "relates_to_date")
        assert net_amounts(result.journal_lines, *names) == net_amounts(result.restated_lines, *names)
        assert net_amounts(result.journal_lines, "journal_date", "journal", "currency") == {}
        assert {
            row["journal_date"] == row["relates_to_date"] or row["journal_date"].day == 1
            for row in result.journal_lines
        } == {True}
        booked, first_open = lines_to_book(result.journal_lines, next_open), next_open


# ---- every rule applies often in the random ledgers

SIDES = ("takes paid", "takes promo", "takes unfunded")
PLACES = (
    "promo first, return, clearing", "promo first, return, adjustments", "promo first, adjustment, clearing",
    "promo first, adjustment, adjustments", "promo first, expiry, breakage_revenue",
    "paid first, return, clearing", "paid first, adjustment, clearing", "paid first, adjustment, adjustments",
    "paid first, expiry, breakage_revenue",
)  # fmt: skip
RULES = (
    *(f"{funding} deposit" for funding in ("paid", "promo")),
    "paid adjustment, stated None, clearing",
    *(f"paid adjustment, stated paid, {source}" for source in ("clearing", "adjustments")),
    *(
        f"promo adjustment, stated {stated}, {source}"
        for stated in (None, "promo", "gift")
        for source in ("clearing", "adjustments")
    ),
    *(f"{place}, {side}" for place in PLACES for side in SIDES),
    *CREDIT_AMOUNTS,
    "given back beyond all usage",
    "postpaid charge",
    *(f"refund of a postpaid charge, {status}" for status in ("settled", "pending", "failed", "reversed")),
    *(f"cost of a {status} charge" for status in ("settled", "failed", "reversed")),
    "cost in another currency",
    "fees",
    *("new", "resurrected", "churned", "expansion", "contraction", "retained"),
    "unfunded expiry",
    "named entry of another wallet",
    "named entry that is not settled",
    "explicit paid beats a promo reason",
    "promo reason with a payment reference",
    "promo reason alone",
    "withdrawal without a user",
    "restated version",
    "reason in another case",
    "after today",
)


def other_rules(seed: int) -> Counter[str]:
    """Count the rules that the oracle of credit does not see itself."""
    rules: Counter[str] = Counter(one["movement"] for one in random_result(seed).user_movements)
    rules["unfunded expiry"] = len(random_result(seed).unfunded_expiries)
    rules["restated version"] = len(RandomBooks(seed).records) - len(random_tables(seed).ledger)
    by_id = {one["entry_id"]: one for one in random_tables(seed).ledger}
    for one in by_id.values():
        reason, stated = one["reason"] or "", (one["stated_funding"] or "").lower()
        promo_reason = one["entry_type"] == "deposit" and reason in BERLIN.promo_reasons
        has_payment = any(
            one[name] for name in ("payment_intent_id", "charge_id", "checkout_session_id", "payment_id")
        )
        rules["explicit paid beats a promo reason"] += promo_reason and stated == "paid"
        rules["promo reason with a payment reference"] += promo_reason and has_payment and stated == ""
        rules["promo reason alone"] += promo_reason and not has_payment and stated == ""
        rules["withdrawal without a user"] += one["user_id"] is None
        rules["reason in another case"] += reason in ("Expired", "EXPIRY") and one["amount"] < 0
        rules["after today"] += one["entry_date"] > random_tables(seed).today
        named = by_id.get(one["related_entry_id"])
        if named and one["status"] == "settled" and named["entry_type"] in ("deposit", "adjustment"):
            rules["named entry of another wallet"] += grain(*WALLET)(named) != grain(*WALLET)(one)
            rules["named entry that is not settled"] += named["status"] != "settled"
    return rules


def test_every_rule_applies_often() -> None:
    counts: Counter[str] = Counter()
    for seed in SEEDS:
        counts += random_result(seed).rules + other_rules(seed)
    rare = {rule: counts[rule] for rule in RULES if counts[rule] < len(SEEDS)}
    assert rare == {}


def swap_halves(facts: Facts, entry: Row) -> tuple[int, int, int]:
    half, *rest = TAKING_ORDER(facts, entry)
    return (1 - half, *rest)  # type: ignore[return-value]


def ignore_kinds(facts: Facts, entry: Row) -> tuple[int, int, int]:
    half, _, clearing = TAKING_ORDER(facts, entry)
    return half, 0, clearing


def ignore_clearing(facts: Facts, entry: Row) -> tuple[int, int, int]:
    half, kind, clearing = TAKING_ORDER(facts, entry)
    return half, kind, 1 - clearing


def ignore_other_wallets(facts: Facts, entry: Row) -> Row | None:
    named = NAMED(facts, entry)
    return named if named and grain(*WALLET)(named) == grain(*WALLET)(entry) else None


def ignore_unsettled(facts: Facts, entry: Row) -> Row | None:
    named = NAMED(facts, entry)
    return named if named and named["status"] == "settled" else None


TAKING_ORDER, NAMED = Facts.taking_order, Facts.named
WRONG_RULES: dict[str, tuple[str, Callable[..., Any]]] = {
    "the halves exchanged": ("taking_order", swap_halves),
    "no order of returns, adjustments and expiries": ("taking_order", ignore_kinds),
    "what goes to clearing last": ("taking_order", ignore_clearing),
    "named entries of the own wallet only": ("named", ignore_other_wallets),
    "settled named entries only": ("named", ignore_unsettled),
    "paid first for all": ("takes_promo_first", lambda _facts, _entry: False),
}


@pytest.mark.parametrize(("method", "wrong"), [*WRONG_RULES.values()], ids=[*WRONG_RULES])
def test_a_wrong_rule_shows_in_every_random_ledger(
    method: str, wrong: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Facts, method, wrong)
    for seed in FEW:
        tables = random_tables(seed)
        result = books_of(tables.ledger, today=tables.today)
        assert (result.credit_days, result.journal_lines) != (
            random_result(seed).credit_days,
            random_result(seed).journal_lines,
        )


def test_the_order_of_promo_shows_in_every_random_ledger() -> None:
    for seed in FEW:
        assert random_result(seed, promo_first=False).credit_days != random_result(seed).credit_days


def test_the_journal_refuses_booked_lines_of_an_open_month() -> None:
    booked = close_october(*BOOKED)
    with pytest.raises(AssertionError, match="open month"):
        full_journal(booked, booked, OCTOBER)
    with pytest.raises(AssertionError, match="no month is closed"):
        full_journal(booked, booked, None)
    assert all(row["journal_date"] < NOVEMBER - timedelta(days=1) for row in booked)
