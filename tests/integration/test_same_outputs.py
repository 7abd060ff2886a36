"""`same_outputs.py`, the floor of the benchmarks, has the rows of the pipeline's marts.

That it exports the datasets of the pipeline, in the same order, is checked by `test_benchmarks.py`.
"""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest

from benchmarks import ledgers
from benchmarks.contenders import HERE
from benchmarks.ledgers import Ledger
from benchmarks.same_outputs import BY_DAY, SNAPSHOTS
from paywall_warehouse.duckdb_connections import open_duckdb
from tests.support.builders import charge, deposit, ledger_file, refund
from tests.support.harness import publish_home

pytestmark = pytest.mark.soak

LEDGER = Ledger(2_000, days=40)
# Few, so that a wallet has many days.
USERS = 40
# Marts that the floor does not write although they have rows. Provider costs are a table only in a build with
# the models for bills, as tests have it.
LEFT_OUT = {
    "dim_dates",
    "dim_models",
    "dim_paywalls",
    "dim_users",
    "fct_provider_cost_days",
    "rpt_profit_at_bill",
    "rpt_reconciliation_sources",
    "rpt_reconciliation_summary",
}


def taking_wallets() -> list[dict[str, Any]]:
    """Wallets whose refunded deposits take paid credit, promo credit, and more than there is.

    A generated ledger has one such day in a thousand.
    """

    def day(number: int) -> str:
        return f"2026-09-{number:02d}T10:00:00Z"

    def paid(entry_id: str, number: int, amount: str, user: str) -> dict[str, Any]:
        return deposit(
            entry_id,
            day(number),
            amount,
            user=user,
            metadata={"payment_intent": f"pi_{entry_id}", "rail": "stripe"},
        )

    def used(entry_id: str, number: int, amount: str, user: str) -> dict[str, Any]:
        return charge(entry_id, day(number), amount, user=user, model="openai/gpt-4o", provider_cost="0.01")

    entries = [
        paid("of another", 1, "50", "giver"),
        used("used by another", 1, "1", "giver"),
        # 0.5 of promo credit, of which 0.2 are taken. 1 is used: 0.3 of promo credit, 0.7 of nothing.
        refund("x1", day(2), "0.5", "used by another", user="taker"),
        refund("x2", day(3), "0.2", "of another", user="taker"),
        used("x3", 4, "1", "taker"),
        # 5 settle 0.7. Of 10 that are taken 4.3 are paid and 5.7 are not there.
        paid("x4", 5, "5", "taker"),
        refund("x5", day(6), "10", "x4", user="taker"),
        # 8 given back: 5.7 of the overdraft, then of 0.7 that were used, then promo. Then all that is taken.
        refund("x6", day(7), "8", "used by another", user="taker"),
        refund("x7", day(8), "9", "of another", user="taker"),
        paid("x8", 9, "20", "taker"),
        used("x9", 9, "3", "taker"),
        refund("x10", day(10), "2", "used by another", user="taker"),
        # Everything at once, and a deposit that is taken back as a whole.
        paid("y1", 11, "4", "whole"),
        refund("y2", day(11), "4", "y1", user="whole"),
        used("y3", 11, "2", "whole"),
        refund("y4", day(12), "3", "used by another", user="whole"),
        refund("y5", day(12), "0.4", "of another", user="whole"),
    ]
    # The floor knows no defaults, because a generated ledger states everything.
    stated = {"status": "settled", "currency": "usd"}
    return [{**stated, "updated_at": one["timestamp"], **one} for one in entries]


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, duckdb.DuckDBPyConnection]]:
    """The folder of the floor, and its tables attached as `floor` beside those of the pipeline."""
    home, out = tmp_path_factory.mktemp("home"), tmp_path_factory.mktemp("floor")
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(ledgers, "DATA", tmp_path_factory.mktemp("data"))
        patched.setattr(ledgers, "USERS", USERS)
        LEDGER.link(home / "landing")
    more = ledger_file("takings.jsonl", taking_wallets())
    (home / "landing" / "ledger" / more.name).write_bytes(more.content)
    publish_home(home, as_of=LEDGER.as_of)
    script = [sys.executable, str(HERE / "same_outputs.py"), str(home / "landing" / "ledger"), str(out)]
    done = subprocess.run(script, capture_output=True, text=True, check=True)
    (out / "stages.json").write_text(done.stdout.strip().splitlines()[-1])
    with open_duckdb(home / "published" / "warehouse.duckdb", read_only=True) as connection:
        connection.execute(f"attach '{out / 'same_outputs.duckdb'}' as floor (read_only)")
        yield out, connection


def columns(connection: duckdb.DuckDBPyConnection, table: str) -> dict[str, str]:
    """The columns of a table with their types. A database's name comes with the schema."""
    rows = connection.execute(f"describe {table}").fetchall()
    return {name: kind for name, kind, *_ in rows}


def different(connection: duckdb.DuckDBPyConnection, one: str, other: str, names: list[str]) -> list[Any]:
    """The first rows that only one of two relations has."""
    listed = ", ".join(f'"{name}"' for name in names)
    return [
        row
        for left, right in ((one, other), (other, one))
        for row in connection.execute(
            f"select {listed} from {left} except all select {listed} from {right} limit 3"
        ).fetchall()
    ]


def test_every_table_has_the_rows_of_the_mart_of_its_name(
    both: tuple[Path, duckdb.DuckDBPyConnection],
) -> None:
    _, connection = both
    tables = {
        name
        for (name,) in connection.execute(
            "select table_name from duckdb_tables() where database_name = 'floor'"
        ).fetchall()
    }
    marts = {
        name
        for (name,) in connection.execute(
            "select table_name from duckdb_tables() where schema_name = 'marts'"
        ).fetchall()
        if connection.execute(f"select 1 from marts.{name} limit 1").fetchall()
    }
    assert tables == marts - LEFT_OUT
    for table in sorted(tables):
        own, theirs = columns(connection, f"floor.{table}"), columns(connection, f"marts.{table}")
        assert own.keys() <= theirs.keys(), table
        assert {name for name in own if own[name] != theirs[name]} <= {"metadata"}, table
        assert different(connection, f"floor.{table}", f"marts.{table}", list(own)) == [], table


def test_the_ledger_has_days_of_every_kind_of_credit(
    both: tuple[Path, duckdb.DuckDBPyConnection],
) -> None:
    """Otherwise the expressions for them would be compared on zeros."""
    _, connection = both
    names = (
        "promo_returned",
        "paid_returned",
        "unfunded_returned",
        "overdraft_settled_paid",
        "revenue_promo",
        "revenue_unfunded",
        "refunds_paid",
        "refunds_promo",
        "refunds_unfunded",
    )
    counted = ", ".join(f"count(*) filter (where {name} > 0)" for name in names)
    (days,) = connection.execute(f"select {counted} from marts.fct_credit_days").fetchall()
    assert [name for name, found in zip(names, days, strict=True) if not found] == []
    # Worked out above: 0.2 of promo credit on the 3rd, 5.7 beyond all credit on the 6th.
    taken = connection.execute(
        "select promo_returned, unfunded_returned from floor.fct_credit_days where user_id = 'taker' and"
        " date_day in ('2026-09-03', '2026-09-06') order by date_day"
    ).fetchall()
    assert [tuple(map(float, row)) for row in taken] == [(0.2, 0), (0, 5.7)]


def test_every_export_has_the_rows_of_its_table(
    both: tuple[Path, duckdb.DuckDBPyConnection],
) -> None:
    out, connection = both
    by_day = {name: table for name, table, *_ in BY_DAY}
    for name, table in {**by_day, **{name: table for name, table, _ in SNAPSHOTS}}.items():
        files = out / name / "*" / "*.parquet" if name in by_day else out / f"{name}.parquet"
        names = list(columns(connection, f"floor.{table}"))
        relation = f"read_parquet('{files}', hive_partitioning = {name in by_day})"
        assert different(connection, relation, f"floor.{table}", names) == [], name


def test_seconds_are_stated_by_stage(both: tuple[Path, duckdb.DuckDBPyConnection]) -> None:
    out, _ = both
    assert list(json.loads((out / "stages.json").read_text())) == ["ingest", "tables", "exports"]
