"""How the dashboard shows amounts, shares and instants, and how addresses keep the filters."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest

from dashboard import formats
from dashboard.filters import Filters, filters_of
from dashboard.views.user import filled
from paywall_warehouse.ages import ago

OCTOBER = Filters(date(2026, 10, 1), date(2026, 10, 6), "usd", (date(2026, 9, 26), date(2026, 10, 1)))


@pytest.mark.parametrize(
    ("amount", "currency", "words"),
    [
        ("1234.5", "usd", "1,234.50"),
        ("0.000000000001", "usd", "0.000000000001"),
        ("-5", "jpy", "−5"),
        ("5.25", "jpy", "5.25"),
        ("1.5", "kwd", "1.500"),
        ("0E-12", "usd", "0.00"),
        ("12345678901234567890123456.123456789012", "eur", "12,345,678,901,234,567,890,123,456.123456789012"),
        ("1.10", "coins", "1.10"),
    ],
)
def test_money_is_shown_to_its_last_digit(amount: str, currency: str, words: str) -> None:
    assert formats.money(Decimal(amount), currency) == words


@pytest.mark.parametrize(
    ("amount", "currency", "words"),
    [
        ("35.461234567891", "usd", "35.46"),
        ("1234.565", "usd", "1,234.56"),  # half to even
        ("0.045123", "usd", "0.0451"),
        ("0.000000000001", "usd", "0.000000000001"),
        ("-0.0001234", "usd", "−0.000123"),
        ("0", "usd", "0.00"),
        ("-5", "jpy", "−5"),
        ("0.4", "jpy", "0.400"),
        ("9999999.99", "usd", "9,999,999.99"),
        ("12345678.9", "usd", "12.3 M"),
        ("-123456789012345", "usd", "−123.5 tn"),
        ("12345678901234567890123456.123456789012", "eur", "12,345,678,901,234.6 tn"),
    ],
)
def test_amounts_on_tiles_are_read_at_a_glance(amount: str, currency: str, words: str) -> None:
    assert formats.short_money(Decimal(amount), currency) == words


def test_a_loss_that_rounds_to_nothing_has_no_sign() -> None:
    assert formats.short_money(Decimal("-0.0000000000001"), "usd") == "0.000000000000"
    assert [formats.signed(number, "points") for number in (-0.04, 0.04, -0.06, 12.25)] == [
        "0.0 points",
        "0.0 points",
        "-0.1 points",
        "+12.2 points",
    ]


def test_one_thing_is_singular() -> None:
    assert [formats.counted(number, "check") for number in (0, 1, 1200)] == [
        "0 checks",
        "1 check",
        "1,200 checks",
    ]
    assert formats.counted(2, "more currency", "more currencies") == "2 more currencies"


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0, "just now"), (60, "1 minute ago"), (7199, "1 hour ago"), (172800, "2 days ago")],
)
def test_ages_are_in_their_largest_unit(seconds: int, words: str) -> None:
    assert ago(timedelta(seconds=seconds)) == words


def test_what_is_unknown_is_not_zero() -> None:
    assert (
        formats.money(None, "usd"),
        formats.whole(None),
        formats.share(None),
        formats.average(None, "usd"),
        formats.quotient(None),
    ) == ("–",) * 5


@pytest.mark.parametrize(("ratio", "words"), [(0.0, "0.00"), (1.826, "1.83"), (1234.5, "1,234.50")])
def test_quotients_have_two_decimals(ratio: float, words: str) -> None:
    assert formats.quotient(ratio) == words


@pytest.mark.parametrize(
    ("ratio", "words"),
    [(0.0, "0.0 %"), (0.0004, "< 0.1 %"), (0.9996, "> 99.9 %"), (1.0, "100.0 %"), (-0.125, "−12.5 %")],
)
def test_shares_that_are_not_all_or_nothing_do_not_look_so(ratio: float, words: str) -> None:
    assert formats.share(ratio) == words


def test_changes_against_nothing_are_not_shown() -> None:
    assert [
        formats.change(*pair)
        for pair in ((Decimal(3), Decimal(4)), (1, 0), (None, 1), (0.2, 0.1), (Decimal(1), Decimal(-2)))
    ] == [
        "-25.0 %",
        None,
        None,
        "+100.0 %",
        "+150.0 %",
    ]


def test_instants_are_shown_in_reporting_time() -> None:
    assert (
        formats.instant(datetime(2026, 10, 1, 22, 30, tzinfo=UTC), "Europe/Berlin") == "2026-10-02 00:30:00"
    )


def test_metadata_keep_the_digits_of_their_numbers() -> None:
    assert (
        formats.indented_json('{"a": 1.10, "b": [1234567890123456789012345.1]}')
        == '{\n  "a": 1.10,\n  "b": [\n    1234567890123456789012345.1\n  ]\n}'
    )
    assert formats.indented_json("no json") == "no json"


# ---- addresses


def test_filters_survive_their_address() -> None:
    filters = replace(
        OCTOBER, before=None, models=("a/b", "x&y"), paywalls=("p",), balance_bands=("low", "zero")
    )
    address: dict[str, list[str]] = {}
    for name, value in filters.address():
        address.setdefault(name, []).append(value)
    assert filters_of(address) == filters


def test_an_address_without_days_or_currency_is_refused() -> None:
    with pytest.raises(ValueError, match="from, to and currency"):
        filters_of({"from": ["2026-10-01"], "to": ["2026-10-02"]})


def test_an_id_cannot_change_where_a_link_leads() -> None:
    assert (
        filled("https://pay.example/{paywall_id}/top-up?user={user_id}", "a&b=c/../{paywall_id}#?", "p w")
        == "https://pay.example/p%20w/top-up?user=a%26b%3Dc%2F..%2F%7Bpaywall_id%7D%23%3F"
    )


def test_an_instant_in_markdown_looks_the_same_and_names_no_emoji() -> None:
    at = datetime(2026, 10, 1, 22, 30, tzinfo=UTC)
    assert formats.marked_instant(at, "Europe/Berlin") == r"2026-10-02 00\:30\:00"
    assert formats.marked_instant(None, "Europe/Berlin") == formats.NOTHING
