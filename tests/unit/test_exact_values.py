"""Texts become exact values or a reason why not; Python's `decimal` is the independent reference."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal

import duckdb
import pytest
from hypothesis import given, strategies as st

from ingestion.validation.macros import define_macros
from paywall_warehouse.duckdb_connections import open_duckdb


@pytest.fixture(scope="module")
def sql() -> Iterator[duckdb.DuckDBPyConnection]:
    with open_duckdb() as connection:
        define_macros(connection)
        yield connection


def ask(sql: duckdb.DuckDBPyConnection, expression: str, *values: object) -> object:
    return sql.execute(f"select {expression}", list(values)).fetchall()[0][0]


def exact(text: str) -> Decimal | None:
    """The value that DECIMAL(38,12) holds exactly, by Python's own parser; None where there is none."""
    if not re.fullmatch(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", text, re.ASCII):
        return None
    _, digits, exponent = Decimal(text).as_tuple()
    number = "".join(map(str, digits)).rstrip("0")
    places = int(exponent) + len(digits) - len(number)
    if not number:
        return Decimal(0)
    if -places > 12 or len(number.lstrip("0")) + places > 18:
        return None
    return Decimal(text)


DIGITS = st.text("0123456789", max_size=30)
EXPONENTS = st.one_of(
    st.just(""),
    st.builds("{}{}{}".format, st.sampled_from("eE"), st.sampled_from(["", "+", "-"]), st.integers(0, 40)),
)
NUMBERS = st.builds(
    "{}{}{}{}{}".format,
    st.sampled_from(["", "-", "+"]),
    DIGITS,
    st.sampled_from(["", "."]),
    DIGITS,
    EXPONENTS,
)


@given(st.one_of(NUMBERS, st.text("0123456789.eE+-_ ,xNa", max_size=12)))
def test_money_is_exact_or_refused(sql: duckdb.DuckDBPyConnection, text: str) -> None:
    found, problem = sql.execute(
        "select cast(exact_money($1) as varchar), money_problem($1)", [text]
    ).fetchall()[0]
    assert (None if found is None else Decimal(found)) == exact(text)
    assert (problem is None) == (exact(text) is not None)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("1,00", "bad_amount"),
        ("1_000", "bad_amount"),
        (" 1", "bad_amount"),
        ("NaN", "bad_amount"),
        ("Infinity", "bad_amount"),
        ("0x10", "bad_amount"),
        ("", "bad_amount"),
        ("0.0000000000001", "too_many_decimals"),
        ("1e-13", "too_many_decimals"),
        ("1000000000000000000", "amount_too_large"),
        ("1e400", "amount_too_large"),
        ("1e99999999999", "amount_too_large"),
    ],
)
def test_what_is_no_exact_amount_has_a_reason(sql: duckdb.DuckDBPyConnection, text: str, reason: str) -> None:
    assert ask(sql, "money_problem($1)", text) == reason


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("2026-03-29T02:30:00+02:00", datetime(2026, 3, 29, 0, 30, tzinfo=UTC)),
        ("2026-03-29t00:30:00.5z", datetime(2026, 3, 29, 0, 30, 0, 500_000, tzinfo=UTC)),
        ("2026-03-28 19:30:00.123456789-05:00", datetime(2026, 3, 29, 0, 30, 0, 123_456, tzinfo=UTC)),
        ("2026-11-10 00:15:10+00", datetime(2026, 11, 10, 0, 15, 10, tzinfo=UTC)),
        ("2026-11-10 00:15:10.123456+00", datetime(2026, 11, 10, 0, 15, 10, 123_456, tzinfo=UTC)),
        ("2026-11-10 00:15:10.9999999 +0000", datetime(2026, 11, 10, 0, 15, 10, 999_999, tzinfo=UTC)),
        ("2026-11-10 00:15:10+0530", datetime(2026, 11, 9, 18, 45, 10, tzinfo=UTC)),
        ("2026-11-10 00:15:10 +05:30", datetime(2026, 11, 9, 18, 45, 10, tzinfo=UTC)),
        ("2026-11-10t00:15:10-03", datetime(2026, 11, 10, 3, 15, 10, tzinfo=UTC)),
        ("2026-11-10 00:15:10 -0330", datetime(2026, 11, 10, 3, 45, 10, tzinfo=UTC)),
        ("2026-11-10 00:15:10.5 UTC", datetime(2026, 11, 10, 0, 15, 10, 500_000, tzinfo=UTC)),
        ("2026-11-10 00:15:10utc", datetime(2026, 11, 10, 0, 15, 10, tzinfo=UTC)),
        ("2026-11-10T00:15:10 z", datetime(2026, 11, 10, 0, 15, 10, tzinfo=UTC)),
    ],
)
def test_a_time_with_offset_is_an_instant(
    sql: duckdb.DuckDBPyConnection, text: str, instant: datetime
) -> None:
    assert ask(sql, "exact_time($1)", text) == instant


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("2026-03-29T02:30:00", "time_without_offset"),
        ("2026-03-29", "time_without_offset"),
        ("2026-02-30T00:00:00Z", "bad_time"),
        ("2026-03-29T24:00:00Z", "bad_time"),
        ("2026-03-29 24:00:00+00", "bad_time"),
        ("2026-03-29 00:00:00  +00", "bad_time"),
        ("2026-03-29 00:00:00+0", "bad_time"),
        ("2026-03-29 00:00:00+24", "bad_time"),
        ("2026-03-29 00:00:00+00:60", "bad_time"),
        ("2026-03-29 00:00:00 CET", "bad_time"),
        ("2026-02-30 00:00:00+00", "bad_time"),
        ("0206-03-29 00:00:00+00", "time_out_of_range"),
        ("2026-03-29T00:00:00+25:00", "bad_time"),
        ("1774746000", "bad_time"),
        ("0206-03-29T00:00:00Z", "time_out_of_range"),
    ],
)
def test_what_is_no_instant_has_a_reason(sql: duckdb.DuckDBPyConnection, text: str, reason: str) -> None:
    assert ask(sql, "time_problem($1)", text) == reason


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('{"a": 1}', None),
        ('{"a": "x,}", "b": ": NaN"}', None),
        ('{"a": 1,}', "invalid_json"),
        ('{"a": [1, ]}', "invalid_json"),
        ('{"a": NaN}', "invalid_json"),
        ('{"a": -Infinity}', "invalid_json"),
        ('{"a": 1} {"b": 2}', "invalid_json"),
        ("[1, 2]", "not_an_object"),
        ("7", "not_an_object"),
    ],
)
def test_json_is_validated_by_rfc_8259(
    sql: duckdb.DuckDBPyConnection, text: str, problem: str | None
) -> None:
    assert ask(sql, "json_problem($1)", text) == problem


@pytest.mark.parametrize(
    ("text", "zone", "instant"),
    [
        ("2026-07-01 12:00:00", "Europe/Berlin", datetime(2026, 7, 1, 10, tzinfo=UTC)),
        ("2026-12-01T12:00:00.123456", "Europe/Berlin", datetime(2026, 12, 1, 11, 0, 0, 123_456, tzinfo=UTC)),
        ("2026-12-01 12:00:00.1234567", "UTC", datetime(2026, 12, 1, 12, 0, 0, 123_456, tzinfo=UTC)),
        ("2026-12-01", "America/New_York", datetime(2026, 12, 1, 5, tzinfo=UTC)),
        ("2026-12-01 12:00:00+02", "America/New_York", datetime(2026, 12, 1, 10, tzinfo=UTC)),
        ("2026-12-01T12:00:00Z", "America/New_York", datetime(2026, 12, 1, 12, tzinfo=UTC)),
        ("2026-12-01T12:00:00Z", None, datetime(2026, 12, 1, 12, tzinfo=UTC)),
        ("2026-12-01 12:00:00", None, None),
        ("2026-02-30", "UTC", None),
        ("2026-12-01 24:00:00", "UTC", None),
        ("1774746000", "UTC", None),
        ("", "UTC", None),
    ],
)
def test_a_local_time_is_an_instant_in_its_zone(
    sql: duckdb.DuckDBPyConnection, text: str, zone: str | None, instant: datetime | None
) -> None:
    assert ask(sql, "zoned_time($1, $2)", text, zone) == instant


@pytest.mark.parametrize(
    ("text", "unit", "instant"),
    [
        ("1774746000", "s", datetime(2026, 3, 29, 1, tzinfo=UTC)),
        ("1774746000.1", "s", datetime(2026, 3, 29, 1, 0, 0, 100_000, tzinfo=UTC)),
        ("1774746000.9999999", "s", datetime(2026, 3, 29, 1, 0, 0, 999_999, tzinfo=UTC)),
        ("1774746000123", "ms", datetime(2026, 3, 29, 1, 0, 0, 123_000, tzinfo=UTC)),
        ("1774746000123.45678", "ms", datetime(2026, 3, 29, 1, 0, 0, 123_456, tzinfo=UTC)),
        ("0", "s", datetime(1970, 1, 1, tzinfo=UTC)),
        ("-1", "s", None),
        ("1e9", "s", None),
        ("1774746000123", "s", None),
        ("9999999999999999", "ms", None),
        ("2026-03-29", "s", None),
        ("1774746000", "h", None),
    ],
)
def test_seconds_and_milliseconds_are_exact(
    sql: duckdb.DuckDBPyConnection, text: str, unit: str, instant: datetime | None
) -> None:
    assert ask(sql, "epoch_time($1, $2)", text, unit) == instant
