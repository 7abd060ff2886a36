"""The dashboard on a million entries: the same walk, where no page can load all of what it shows."""

import os
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest

from benchmarks.ledgers import Ledger
from tests.support.browser import Screen, published_alone, serving
from tests.support.command import command
from tests.support.dashboard_words import Sql, average, column, count, money, share, step

pytestmark = [pytest.mark.soak, pytest.mark.timeout(1800)]

ENTRIES = 1_000_000


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What has been published of a million entries; MILLION_HOME names a home that has."""
    folder = tmp_path_factory.mktemp("million")
    home = Path(os.environ.get("MILLION_HOME", folder / "home"))
    if "MILLION_HOME" not in os.environ:
        ledger = Ledger(ENTRIES)
        ledger.link(home / "landing")
        done = command(home, "run", timeout=1800, AS_OF=ledger.as_of.isoformat())
        assert done.returncode == 0, done.stderr
    return published_alone(home, folder / "shown")


@pytest.fixture(scope="module")
def sql(home: Path) -> Iterator[Sql]:
    with duckdb.connect(str(home / "published" / "warehouse.duckdb"), read_only=True) as connection:
        connection.execute("set TimeZone = 'UTC'")
        yield lambda query, *values: connection.execute(query, values).fetchall()


@pytest.fixture(scope="module")
def address(home: Path) -> Iterator[str]:
    with serving(home) as base:
        yield base


def test_the_overview_and_its_filters(screen: Screen, sql: Sql) -> None:
    screen.open()
    for period, label in {"last_30_days": "", "last_90_days": "Last 90 days", "all_time": "All time"}.items():
        if label:
            screen.choose("Period", label)
        [(revenue, cost, margin, payers, arpu)] = sql(
            "select revenue, provider_cost, margin, active_payers, arpu from marts.fct_period_kpis"
            " where period = ? and currency = 'usd'",
            period,
        )
        tiles = screen.tiles()
        assert [
            tiles[name].value for name in ("Revenue", "Provider cost", "Margin", "Active payers", "ARPU")
        ] == [
            f"{money(revenue)} USD",
            f"{money(cost)} USD",
            share(margin),
            count(payers),
            f"{average(arpu)} USD",
        ]
    screen.expand("More filters")
    [(model,), *_] = sql(
        "select model_id from marts.rpt_models where period = 'all_time' and currency = 'usd' order by"
        " revenue desc"
    )
    screen.choose("Model", model)
    screen.choose("Balance", "low")
    [(revenue, payers)] = sql(
        """select sum(revenue), count(distinct user_id) filter (where revenue > 0)
            from marts.fct_ledger_entries
        where currency = 'usd' and model_id = ? and user_id in (
            select user_id from marts.rpt_users where currency = 'usd' and balance_band = 'low')""",
        model,
    )
    tiles = screen.tiles()
    assert (tiles["Revenue"].value, tiles["Active payers"].value) == (f"{money(revenue)} USD", count(payers))


def test_models(screen: Screen, sql: Sql) -> None:
    screen.open("models?period=All+time")
    assert [
        (row["Model"], row["Revenue (USD)"], row["Tokens"]) for row in screen.table("Usage by model")
    ] == [
        (model, money(revenue), count(tokens))
        for model, revenue, tokens in sql(
            """select model_id, revenue, total_tokens from marts.rpt_models
                where period = 'all_time' and currency = 'usd'
            order by revenue desc, model_id"""
        )
    ]


def test_users_are_sorted_over_all_of_them(screen: Screen, sql: Sql) -> None:
    def users(order: str, offset: int) -> list[tuple[Any, ...]]:
        query = "select user_id, balance from marts.rpt_users where currency = 'usd'"
        return [
            (user, money(balance))
            for user, balance in sql(f"{query} order by {order} nulls last, user_id limit 50 offset {offset}")
        ]

    def shown() -> list[tuple[str, str]]:
        return [(row["User"], row["Balance (USD)"]) for row in screen.table("Users")]

    screen.open("users?page=500")
    assert shown() == users("total_spend desc", 499 * 50)
    screen.sort_by("Users", "Balance (USD)")
    assert shown() == users("balance desc", 0)
    screen.change(lambda: step(screen))
    assert shown() == users("balance desc", 50)
    screen.open_row("Users", 3)
    assert screen.codes[0] == users("balance desc", 50)[3][0]


def test_the_ledgers_last_page_is_the_rest(screen: Screen, sql: Sql) -> None:
    [(entries,)] = sql("select count(*) from marts.fct_ledger_entries where currency = 'usd'")
    last = -(-entries // 50)
    screen.open(f"ledger?period=All+time&sort=Amount&page={last}")
    expected = sql(f"""select entry_id, amount from marts.fct_ledger_entries where currency = 'usd'
        order by amount desc, entry_id limit 50 offset {(last - 1) * 50}""")
    shown = [(row["Entry"], row["Amount"]) for row in screen.table("Ledger entries")]
    assert shown == [(entry, money(amount)) for entry, amount in expected]
    screen.open_row("Ledger entries")
    assert screen.codes[0] == expected[0][0]
    screen.back()
    assert f"page={last}" in screen.address


def test_cohorts_and_what_is_owed(screen: Screen, sql: Sql) -> None:
    screen.open("cohorts")
    screen.expand("Numbers")
    assert column(screen.table("Cohorts"), "Active payers") == [
        count(payers)
        for (payers,) in sql(
            "select active_payers from marts.fct_cohorts where currency = 'usd' order by cohort_month,"
            " months_since"
        )
    ]
    screen.open("reconciliation?period=All+time&by=month")
    rows = screen.table("Balance roll-forward")
    assert column(rows, "Opening")[1:] == column(rows, "= Closing")[:-1]
    [(owed,)] = sql("select sum(balance_effect) from marts.fct_ledger_entries where currency = 'usd'")
    assert (rows[-1]["= Closing"], Decimal(0) < owed) == (money(owed), True)
