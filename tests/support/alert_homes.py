"""Hand-made homes and tables for alerts: what a publication has, without a run."""

import calendar
import random
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path

import duckdb

from paywall_warehouse.duckdb_connections import open_duckdb
from paywall_warehouse.settings import Settings, load_settings

TABLES = """
create schema marts;
create schema ops;
create table marts.fct_daily_revenue (
    date_day date, paywall_id varchar, model_id varchar, currency varchar, charges bigint,
    revenue decimal(38, 12), provider_cost decimal(38, 12), profit decimal(38, 12)
);
create table marts.fct_period_kpis (
    period varchar, currency varchar, period_start date, period_end date, active_payers bigint, arpu double
);
create table marts.fct_reconciliation (
    case_id varchar, rail varchar, break_type varchar, priority integer, status varchar,
    ledger_amount decimal(38, 12), paid_amount decimal(38, 12), ledger_currency varchar,
    paid_currency varchar, age_days integer, broken_since timestamptz
);
create table marts.rpt_reconciliation_sources (
    rail varchar, source varchar, account_id varchar, data_until timestamptz, missing_currencies varchar[],
    verdict varchar
);
create table marts.fct_cost_reconciliation (
    case_id varchar, provider varchar, usage_date date, currency varchar, break_type varchar,
    priority integer, status varchar, difference decimal(38, 12), ledger_cost decimal(38, 12),
    billed_cost decimal(38, 12), broken_since timestamptz
);
create table marts.rpt_cost_reconciliation_months (
    provider varchar, month_start date, days_compared integer, verdict varchar
);
create table marts.fct_bill_lines (provider varchar);
create table marts.rpt_users (user_id varchar, currency varchar, balance decimal(38, 12));
create table marts.fct_wallet_days (user_id varchar, currency varchar, date_day date);
create table marts.fct_ledger_entries (source varchar, occurred_at timestamptz);
create table ops.settings (today date, as_of timestamptz, cost_grace_days integer);
create table ops.invariants (
    name varchar, scope varchar, expected decimal(38, 12), actual decimal(38, 12), passed boolean,
    run_id varchar, severity varchar
);
create table ops.failed_pulls (source varchar, reason varchar);
"""


def at(day: date, hour: int = 2) -> datetime:
    """The instant of a run on a day."""
    return datetime.combine(day, time(hour), UTC)


def rhythm(first: date, days: int, seed: int, *, noise: float = 0.08) -> dict[date, tuple[Decimal, Decimal]]:
    """Revenue and provider cost by day: weekends at 40 %, month ends at 190 %, growth, and noise."""
    chance = random.Random(seed)
    found = {}
    for number in range(days):
        day = first + timedelta(days=number)
        level = 1000 * 1.04 ** (number / 30)
        level *= (1.0, 1.05, 1.1, 1.05, 0.95, 0.4, 0.45)[day.weekday()]
        last = calendar.monthrange(day.year, day.month)[1]
        level *= {last: 1.9, last - 1: 1.4, 1: 1.5}.get(day.day, 1.0)
        revenue = level * chance.lognormvariate(0, noise)
        cost = revenue * 0.55 * chance.lognormvariate(0, noise / 4)
        found[day] = (Decimal(f"{revenue:.6f}"), Decimal(f"{cost:.6f}"))
    return found


@contextmanager
def publication(today: date) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection to empty tables of a publication as of a day."""
    with open_duckdb() as connection:
        connection.execute(TABLES)
        set_today(connection, today)
        yield connection


def set_today(connection: duckdb.DuckDBPyConnection, today: date) -> None:
    """Make another day the reporting day of the publication."""
    connection.execute("delete from ops.settings")
    connection.execute("insert into ops.settings values (?, ?, 2)", [today, at(today)])


def add_days(
    connection: duckdb.DuckDBPyConnection,
    days: Mapping[date, tuple[Decimal, Decimal]],
    currency: str = "usd",
    *,
    model: str = "openai/gpt-4.1",
) -> None:
    """Add revenue and provider cost by day, of 100 charges each."""
    rows = [
        [day, "pw", model, currency, 100, str(revenue), str(cost), str(revenue - cost)]
        for day, (revenue, cost) in days.items()
    ]
    connection.executemany("insert into marts.fct_daily_revenue values (?, ?, ?, ?, ?, ?, ?, ?)", rows)


def restate(
    connection: duckdb.DuckDBPyConnection,
    day: date,
    change: Callable[[Decimal, Decimal], tuple[Decimal, Decimal]],
) -> None:
    """Change revenue and provider cost of a day."""
    revenue, cost = connection.execute(
        "select revenue, provider_cost from marts.fct_daily_revenue where date_day = ?", [day]
    ).fetchall()[0]
    revenue, cost = change(revenue, cost)
    connection.execute(
        "update marts.fct_daily_revenue set revenue = ?, provider_cost = ?, profit = ? where date_day = ?",
        [str(revenue), str(cost), str(revenue - cost), day],
    )


def alert_home(root: Path, text: str) -> Settings:
    """A home with an `alerts.yml`."""
    settings = load_settings(_env_file=None, warehouse_home=root / "home")
    settings.home.make()
    settings.home.alerts_file.write_text(text, encoding="utf-8")
    return settings
