"""Texts, decimals and instants survive CSV and Parquet, whatever they are, and no spreadsheet runs them."""

import gzip
import json
import os
from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from decimal import Context, Decimal
from functools import reduce
from itertools import groupby
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import duckdb
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, example, given, settings, strategies as st

from exports.datasets import DATASETS
from exports.destination import LocalFolder
from exports.export import export_dataset
from tests.support.export_homes import (
    Rows,
    change,
    copied,
    csv_cells,
    csv_records,
    export,
    like_c1,
    slices,
)
from warehouse.published import Published

WIDE = Context(prec=100)
# `make soak` tries 100.
EXAMPLES = int(os.environ.get("VALUE_EXAMPLES", "20"))


@pytest.fixture
def home(published: Path, tmp_path: Path) -> Path:
    """A copy of the published home, to be changed."""
    return copied(published, tmp_path / "home")


# ---- CSV


def lines_of(home: Path, day: str = "2026-10-01") -> list[dict[str, str]]:
    """The ledger's CSV of a day, parsed by Python."""
    export(home, ["ledger"])
    (file,) = slices(home / "exports", "ledger", "csv", day)
    return csv_records(file)


def test_csv_has_a_header_exact_decimals_and_instants_in_utc(published: Path) -> None:
    (file,) = slices(published / "exports", "ledger", "csv", "2026-10-04")
    columns = pq.read_schema(slices(published / "exports", "ledger", "parquet")[0]).names
    assert gzip.decompress(file.read_bytes()).decode().splitlines()[0] == ",".join(columns)
    a1, r1 = csv_records(file)
    assert (a1["entry_id"], a1["amount"], a1["balance_effect"], a1["revenue"]) == (
        "a1",
        "-1.000000000000",
        "-1.000000000000",
        "0.000000000000",
    )
    assert (r1["occurred_at"], r1["entry_date"], r1["versions"]) == (
        "2026-10-04T09:00:00.123456Z",
        "2026-10-04",
        "1",
    )
    (smallest,) = csv_cells(slices(published / "exports", "ledger", "csv", "2026-10-03"))
    assert "0.000000000001" in smallest
    assert "-0.000000000001" in smallest, "a negative number is no formula"


def test_csv_distinguishes_unknown_from_empty(home: Path) -> None:
    change(
        home, like_c1(entry_id="'empty'", request_id="''"), like_c1(entry_id="'unknown'", request_id="null")
    )
    export(home, ["ledger"])
    (file,) = slices(home / "exports", "ledger", "csv", "2026-10-01")
    lines = {line.split(",")[0]: line for line in gzip.decompress(file.read_bytes()).decode().splitlines()}
    assert lines["empty"].startswith('empty,alice,pw,"",,')
    assert lines["unknown"].startswith("unknown,alice,pw,,,")


@pytest.mark.parametrize(
    "text",
    [
        'say "hi"',
        "a,b",
        "line\nfeed",
        "carriage\rreturn",
        "both\r\n",
        " spaces ",
        "é😀\u2028",
        "'",
        "a=1",
        "\\",
        "NULL",
    ],
)
def test_csv_keeps_texts_unchanged(home: Path, text: str) -> None:
    change(
        home,
        f"update marts.fct_ledger_entries set request_id = '{text.replace(chr(39), chr(39) * 2)}' where"
        " entry_id = 'd1'",
    )
    assert [line["request_id"] for line in lines_of(home)] == ["", text, ""]


@pytest.mark.parametrize("first", ["=", "+", "-", "@", "\t", "\r"])
def test_no_spreadsheet_runs_a_text_as_a_formula(home: Path, first: str) -> None:
    change(
        home,
        f"update marts.fct_ledger_entries set user_id = '{first}1+1', payment_id = '{first}' where entry_id ="
        " 'c1'",
    )
    c1 = lines_of(home)[0]
    assert (c1["user_id"], c1["payment_id"]) == (f"'{first}1+1", f"'{first}")
    assert c1["balance_effect"] == "-1.250000000000", "a negative number is no formula"
    assert (
        pq.ParquetFile(slices(home / "exports", "ledger", "parquet")[0]).read()["user_id"][0].as_py()
        == f"{first}1+1"
    )


def test_lists_are_json_in_csv(home: Path) -> None:
    change(
        home,
        """update marts.fct_reconciliation set deposit_entry_ids = ['a,b', '=1', 'say "hi"']
        where rail = 'stripe'""",
    )
    export(home, ["reconciliation"])
    (file,) = slices(home / "exports", "reconciliation", "csv")
    cells = [row["deposit_entry_ids"] for row in csv_records(file)]
    assert cells == ['["d2"]', '["a,b","=1","say \\"hi\\""]']


def test_compressed_files_hold_neither_a_name_nor_a_time(published: Path) -> None:
    # RFC 1952: magic, deflate, no flags (so no name), mtime 0.
    heads = {
        file.read_bytes()[:8] for name in DATASETS for file in slices(published / "exports", name, "csv")
    }
    assert heads == {bytes.fromhex("1f8b080000000000")}


# ---- whatever the values are

LARGEST = 10**38 - 1
MONEY = st.one_of(
    st.sampled_from([LARGEST, -LARGEST, 6 * 10**37, 1, -1, 0]), st.integers(-LARGEST, LARGEST)
).map(lambda units: Decimal(units).scaleb(-12, WIDE))
TEXTS = st.one_of(
    st.text(st.characters(codec="utf-8"), max_size=6), st.text("=+-@\t\r\n\"',;\\ \0a", max_size=6)
)
# From the year 1 to 9999.
INSTANTS = st.integers(0, 315_537_897_599_999_999).map(
    lambda passed: datetime(1, 1, 1, tzinfo=UTC) + timedelta(microseconds=passed)
)
ENTRIES = st.tuples(
    TEXTS,
    st.none() | TEXTS,
    st.sampled_from(["usd", "eur"]),
    MONEY,
    st.none() | MONEY,
    st.none() | st.integers(-(2**63), 2**63 - 1),
    INSTANTS,
    st.sampled_from([date(2026, 10, 1), date(2026, 10, 2)]),
    st.none() | st.lists(TEXTS, max_size=2),
)
KINDS = {
    "entry_id": "VARCHAR",
    "note": "VARCHAR",
    "currency": "VARCHAR",
    "amount": "DECIMAL(38,12)",
    "fee": "DECIMAL(38,12)",
    "tokens": "BIGINT",
    "occurred_at": "TIMESTAMP WITH TIME ZONE",
    "entry_date": "DATE",
    "keys": "VARCHAR[]",
}
NOON = datetime(2026, 10, 5, 12, tzinfo=UTC)
TWO_OF_26_DIGITS: Rows = [
    (
        entry,
        None,
        "usd",
        Decimal("99999999999999999999999999.999999999999"),
        None,
        None,
        NOON,
        date(2026, 10, 1),
        None,
    )
    for entry in "ab"
]


def written_as(value: Any) -> str:
    """A value as CSV has it, in a few lines of Python."""
    if isinstance(value, str):
        return "'" + value if value[:1] in tuple("=+-@\t\r") else value
    if isinstance(value, datetime):
        return value.isoformat(timespec="microseconds").replace("+00:00", "Z")
    return "" if value is None else format(value, "f") if isinstance(value, Decimal) else str(value)


def summed(amounts: Iterable[Decimal | None]) -> Decimal:
    return reduce(WIDE.add, (amount for amount in amounts if amount is not None), Decimal(0))


@settings(max_examples=EXAMPLES, suppress_health_check=[HealthCheck.too_slow])
@example(TWO_OF_26_DIGITS)
@given(st.lists(ENTRIES, max_size=6, unique_by=lambda entry: entry[0]))
def test_whatever_is_written_is_read_and_summed_to_the_last_digit(entries: Rows) -> None:
    with (
        TemporaryDirectory() as folder,
        duckdb.connect(config={"preserve_insertion_order": "true"}) as connection,
    ):
        connection.execute("set TimeZone = 'UTC'")
        connection.execute("create schema marts")
        connection.execute(
            "create table marts.fct_ledger_entries"
            f" ({', '.join(f'{name} {kind}' for name, kind in KINDS.items())})"
        )
        values = ", ".join(f"?::{kind}" for kind in KINDS.values())
        for entry in entries:
            connection.execute(
                f"insert into marts.fct_ledger_entries values ({values})",
                [*entry[:3], *map(as_text, entry[3:5]), *entry[5:]],
            )
        run = Published("run-1", NOON, NOON, "UTC")
        exported = export_dataset(
            connection, run, DATASETS["ledger"], LocalFolder(Path(folder)), ("parquet", "csv")
        )
        assert all(check.passed for check in exported.checks)
        expected = sorted(entries, key=lambda entry: (entry[7], entry[0].encode()))
        parquet, text = (slices(Path(folder), "ledger", encoding) for encoding in ("parquet", "csv"))
        tables = [pq.ParquetFile(file).read() for file in parquet]
        assert [tuple(row.values()) for table in tables for row in table.to_pylist()] == expected
        cells = csv_cells(text)
        assert [row[:-1] for row in cells] == [
            [written_as(value) for value in entry[:-1]] for entry in expected
        ]
        assert [json.loads(row[-1]) if row[-1] else None for row in cells] == [
            entry[-1] for entry in expected
        ]
        stated = {one.date: one.totals for one in exported.manifest.partitions}
    for day, own in groupby(expected, key=lambda entry: entry[7]):
        rows = list(own)
        totals = {
            currency: [entry for entry in rows if entry[2] == currency]
            for currency in sorted({entry[2] for entry in rows})
        }
        assert {
            currency: {name: Decimal(sum_) for name, sum_ in sums.items()}
            for currency, sums in stated[day].items()
        } == {
            currency: {
                name: summed(entry[place] for entry in some)
                for name, place in (("amount", 3), ("fee", 4))
                if any(entry[place] is not None for entry in some)
            }
            for currency, some in totals.items()
            if any(entry[3] is not None or entry[4] is not None for entry in some)
        }


def as_text(amount: Decimal | None) -> str | None:
    return None if amount is None else format(amount, "f")
