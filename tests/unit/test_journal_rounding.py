"""Rounded journals: every account stands at its rounded balance, every transaction balances."""

from collections import defaultdict
from collections.abc import Iterable
from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import NamedTuple

import pytest
from hypothesis import given, settings as hypothesis_settings, strategies as st

from exports.accounting.rounding import (
    Balances,
    Line,
    Occasion,
    Transaction,
    rounded,
    rounded_transactions,
)
from paywall_warehouse.currencies import iso_4217, minor_unit
from warehouse.published import NotPublishedError

D = Decimal
FIRST = date(2026, 10, 1)


def occasion(
    day: int, currency: str = "usd", journal: str = "usage", relates_to: date | None = None
) -> Occasion:
    when = FIRST + timedelta(days=day)
    return Occasion(when, currency, journal, relates_to or when)


def pair(when: Occasion, amount: str, debit: str = "deferred", credit: str = "revenue") -> list[Line]:
    return [Line(when, debit, D(amount)), Line(when, credit, D(amount).copy_negate())]


def round_off(lines: Iterable[Line], balances: Balances | None = None) -> list[Transaction]:
    known = list(lines)
    names = {line.account: line.account for line in known}
    return list(rounded_transactions(known, names, "rounding", balances or Balances()))


def texts(transactions: Iterable[Transaction]) -> list[tuple[int, dict[str, str]]]:
    """The day and the amounts of each transaction."""
    return [
        ((one.occasion.journal_date - FIRST).days, {name: str(amount) for name, amount in one.postings})
        for one in transactions
    ]


@pytest.mark.parametrize(
    ("code", "decimals"),
    [
        *[("usd", 2), ("EUR", 2), ("huf", 2), ("idr", 2), ("jpy", 0), ("krw", 0), ("isk", 0), ("kwd", 3)],
        *[("iqd", 3), ("clf", 4), ("usdc", 6), ("btc", 8), ("sol", 9), ("eth", 12), ("points", 2)],
    ],
)
def test_a_currency_is_booked_in_its_minor_unit(code: str, decimals: int) -> None:
    assert minor_unit(code) == decimals


def test_no_currency_has_more_decimals_than_an_amount() -> None:
    assert {minor_unit(code) for code in iso_4217()} == {0, 2, 3, 4}


@pytest.mark.parametrize(
    ("exact", "currency", "found"),
    [
        ("0.005", "usd", "0.00"),
        ("0.015", "usd", "0.02"),
        ("0.025", "usd", "0.02"),
        ("0.025000000001", "usd", "0.03"),
        ("-0.015", "usd", "-0.02"),
        ("-0.005", "usd", "0.00"),
        ("0.5", "jpy", "0"),
        ("1.5", "jpy", "2"),
        ("2.5", "jpy", "2"),
        ("0.0005", "kwd", "0.000"),
        ("0.0015", "kwd", "0.002"),
        ("99999999999999999999999999.995", "usd", "100000000000000000000000000.00"),
    ],
)
def test_half_goes_to_the_even_unit(exact: str, currency: str, found: str) -> None:
    assert str(rounded(D(exact), currency)) == found


def test_what_is_too_small_for_a_day_is_carried_to_the_next() -> None:
    # Balances 0.004, 0.008, 0.012, 0.016: rounded 0.00, 0.01, 0.01, 0.02.
    lines = [line for day in range(4) for line in pair(occasion(day), "0.004")]
    assert texts(round_off(lines)) == [
        (1, {"deferred": "0.01", "revenue": "-0.01"}),
        (3, {"deferred": "0.01", "revenue": "-0.01"}),
    ]


def test_half_even_balances_move_by_differences() -> None:
    # Balances 0.005, 0.010, 0.015, 0.020, 0.025: rounded 0.00, 0.01, 0.02, 0.02, 0.02.
    lines = [line for day in range(5) for line in pair(occasion(day), "0.005")]
    assert texts(round_off(lines)) == [
        (1, {"deferred": "0.01", "revenue": "-0.01"}),
        (2, {"deferred": "0.01", "revenue": "-0.01"}),
    ]


def test_accounts_that_round_differently_leave_a_rest() -> None:
    # receipts: clearing 10.006, deferred -10.006 -> 10.01, -10.01.
    # usage: deferred -10.006 + 3.333 = -6.673 -> -6.67 (by 3.34); revenue -3.333 -> -3.33.
    lines = [
        *pair(occasion(0, journal="receipts"), "10.006", "clearing", "deferred"),
        *pair(occasion(0), "3.333"),
    ]
    assert texts(round_off(lines)) == [
        (0, {"clearing": "10.01", "deferred": "-10.01"}),
        (0, {"deferred": "3.34", "revenue": "-3.33", "rounding": "-0.01"}),
    ]


def test_a_rest_is_taken_back_when_the_balances_meet_again() -> None:
    # Day 0: a 0.006 -> 0.01; b and c -0.003 -> 0. Day 1: a 0.012 -> 0.01; b and c -0.006 -> -0.01 each.
    # Day 2: a 0.020 -> 0.02; b -0.010 and c -0.010 -> -0.01 each.
    lines = [
        Line(occasion(day), account, D(amount))
        for day, amounts in enumerate([(6, -3, -3), (6, -3, -3), (8, -4, -4)])
        for account, amount in zip("abc", [f"{one}e-3" for one in amounts], strict=True)
    ]
    assert texts(round_off(lines)) == [
        (0, {"a": "0.01", "rounding": "-0.01"}),
        (1, {"b": "-0.01", "c": "-0.01", "rounding": "0.02"}),
        (2, {"a": "0.01", "rounding": "-0.01"}),
    ]


def test_opposite_sides_of_one_account_stay_lines_of_their_own() -> None:
    # A postpaid charge of 7.777 and a refund of 2.222: receivable 7.777 -> 7.78, then 5.555 -> 5.56 (-2.22);
    # revenue -7.777 -> -7.78, then -5.555 -> -5.56 (+2.22).
    when = occasion(0)
    lines = [
        Line(when, "receivable", D("7.777")),
        Line(when, "revenue", D("2.222")),
        Line(when, "receivable", D("-2.222")),
        Line(when, "revenue", D("-7.777")),
    ]
    (transaction,) = round_off(lines)
    # revenue is debited first: 2.222 -> 2.22; then -5.555 -> -5.56, by -7.78.
    assert [(name, str(amount)) for name, amount in transaction.postings] == [
        ("receivable", "7.78"),
        ("revenue", "2.22"),
        ("receivable", "-2.22"),
        ("revenue", "-7.78"),
    ]


def test_currencies_round_to_their_own_decimals() -> None:
    # In one day, 2.5 + 1 = 3.5: yen 2, then 4; dollars 2.50, 3.50; dinars to the thousandth.
    lines = [
        *pair(occasion(0, "jpy"), "2.5"),
        *pair(occasion(0, "kwd"), "0.0025"),
        *pair(occasion(0, "usd"), "2.5"),
        *pair(occasion(1, "jpy"), "1"),
        *pair(occasion(1, "kwd"), "1.0005"),
        *pair(occasion(1, "usd"), "1"),
    ]
    assert [
        (one.occasion.currency, [str(amount) for _, amount in one.postings]) for one in round_off(lines)
    ] == [
        ("jpy", ["2", "-2"]),
        ("kwd", ["0.002", "-0.002"]),
        ("usd", ["2.50", "-2.50"]),
        ("jpy", ["2", "-2"]),
        ("kwd", ["1.001", "-1.001"]),
        ("usd", ["1.00", "-1.00"]),
    ]


def test_adjustments_of_two_days_are_two_transactions() -> None:
    third, fourth = date(2026, 9, 3), date(2026, 9, 4)
    lines = [*pair(occasion(0, relates_to=third), "1"), *pair(occasion(0, relates_to=fourth), "2")]
    assert [one.occasion.relates_to for one in round_off(lines)] == [third, fourth]


def test_accounts_that_are_booked_as_one_have_one_balance() -> None:
    # 0.004 on both: together 0.008 -> 0.01. By themselves, both would stand at 0.00.
    lines = [*pair(occasion(0), "0.004", "x", "revenue"), *pair(occasion(1), "0.004", "y", "revenue")]
    names = {"x": "receivables", "y": "receivables", "revenue": "revenue"}
    found = list(rounded_transactions(lines, names, "rounding", Balances()))
    assert texts(found) == [(1, {"receivables": "0.01", "revenue": "-0.01"})]


def test_a_journal_that_does_not_balance_is_refused() -> None:
    lines = [Line(occasion(0), "deferred", D("1.000000000001")), Line(occasion(0), "revenue", D("-1"))]
    with pytest.raises(NotPublishedError, match=r"'usage' on 2026-10-01 \(usd.* = 0\.000000000001,"):
        round_off(lines)


# ---- what holds for every journal

ACCOUNTS = ("clearing", "deferred", "revenue", "receivable")
CURRENCIES = {"jpy": 0, "kwd": 3, "usd": 2}
UNIT = D("1e-12")


class Movement(NamedTuple):
    day: int
    currency: str
    journal: str
    days_back: int
    debit: str
    credit: str
    amount: Decimal


def amounts() -> st.SearchStrategy[Decimal]:
    """Halves of units, tiny and huge amounts."""
    halves = st.integers(1, 5000).map(lambda number: D(number).scaleb(-4) * 5)
    any_size = st.integers(1, 10**28 - 1).map(lambda number: D(number).scaleb(-12))
    return st.one_of(halves, st.integers(1, 10**14).map(lambda number: D(number).scaleb(-12)), any_size)


MOVEMENTS = st.lists(
    st.builds(
        Movement,
        st.integers(0, 4),
        st.sampled_from(sorted(CURRENCIES)),
        st.sampled_from(["receipts", "usage", "refunds"]),
        st.integers(0, 2),
        st.sampled_from(ACCOUNTS),
        st.sampled_from(ACCOUNTS),
        amounts(),
    ).filter(lambda one: one.debit != one.credit),
    max_size=25,
)


def lines_of(movements: Iterable[Movement]) -> list[Line]:
    lines = []
    for one in movements:
        when = FIRST + timedelta(days=one.day)
        about = Occasion(when, one.currency, one.journal, when - timedelta(days=one.days_back))
        lines += pair(about, str(one.amount), one.debit, one.credit)
    return sorted(lines, key=lambda line: (line.occasion, line.amount < 0, line.account))


def half_even(exact: Fraction, decimals: int) -> Fraction:
    """Python rounds fractions half-even, exactly."""
    return Fraction(round(exact * 10**decimals), 10**decimals)


@hypothesis_settings(max_examples=150, deadline=None)
@given(MOVEMENTS)
def test_balances_are_the_rounded_exact_ones_after_each_day_and_transactions_balance(
    movements: list[Movement],
) -> None:
    lines = lines_of(movements)
    transactions = round_off(lines)
    exact: dict[tuple[str, str], Fraction] = defaultdict(Fraction)
    booked: dict[tuple[str, str], Fraction] = defaultdict(Fraction)
    for day in range(5):
        today = FIRST + timedelta(days=day)
        for line in lines:
            if line.occasion.journal_date == today:
                exact[line.occasion.currency, line.account] += Fraction(line.amount)
        for one in transactions:
            if one.occasion.journal_date == today:
                assert sum(Fraction(amount) for _, amount in one.postings) == 0
                for account, amount in one.postings:
                    booked[one.occasion.currency, account] += Fraction(amount)
        for (currency, account), balance in exact.items():
            assert booked[currency, account] == half_even(balance, CURRENCIES[currency])
        for currency, decimals in CURRENCIES.items():
            assert abs(booked[currency, "rounding"]) <= Fraction(len(ACCOUNTS), 2 * 10**decimals)


@hypothesis_settings(max_examples=150, deadline=None)
@given(MOVEMENTS)
def test_no_posting_is_0_or_on_the_other_side(movements: list[Movement]) -> None:
    lines = lines_of(movements)
    debited = {(line.occasion, line.account) for line in lines if line.amount > 0}
    credited = {(line.occasion, line.account) for line in lines if line.amount < 0}
    for one in round_off(lines):
        decimals = CURRENCIES[one.occasion.currency]
        for account, amount in one.postings:
            assert amount.as_tuple().exponent == -decimals
            assert amount != 0
            if account != "rounding":
                assert (one.occasion, account) in (debited if amount > 0 else credited)


@hypothesis_settings(max_examples=100, deadline=None)
@given(MOVEMENTS, st.integers(0, 5))
def test_two_ranges_are_the_whole(movements: list[Movement], day: int) -> None:
    lines = lines_of(movements)
    cut = FIRST + timedelta(days=day)
    before = [line for line in lines if line.occasion.journal_date < cut]
    after = [line for line in lines if line.occasion.journal_date >= cut]
    opening = Balances()
    for line in before:
        opening.add(line.occasion.currency, line.account, line.amount)
    assert round_off(before) + round_off(after, opening) == round_off(lines)
