"""A summary of a published warehouse: the KPIs of a period, revenue by day, and reject reasons."""

from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb

from paywall_warehouse.duckdb_connections import open_duckdb


@dataclass(frozen=True)
class DayTotals:
    """Revenue and cost coverage of one reporting day in one currency."""

    date_day: date
    currency: str
    revenue: Decimal
    cost_coverage: float | None
    """The share of the charges whose provider cost is known. None without charges."""


@dataclass(frozen=True)
class DailyUsage:
    """The days with usage within a range of reporting days that ends with the current one."""

    first_day: date
    today: date
    days: list[DayTotals]

    @property
    def currencies(self) -> list[str]:
        """The currencies with usage, the one with the most revenue first."""
        revenue: dict[str, Decimal] = {}
        for day in self.days:
            revenue[day.currency] = revenue.get(day.currency, Decimal(0)) + day.revenue
        return sorted(revenue, key=lambda currency: (-revenue[currency], currency))

    def of(self, currency: str) -> list[DayTotals]:
        """Return the days of one currency, oldest first."""
        return [day for day in self.days if day.currency == currency]


def period_kpis(path: Path, period: str = "last_30_days") -> list[dict[str, Any]]:
    """Return the rows of `fct_period_kpis` for one period, the currency with the most revenue first."""
    with open_duckdb(path, read_only=True) as connection:
        result = connection.execute(
            "select * from marts.fct_period_kpis where period = ? order by revenue desc, currency", [period]
        )
        names = [column[0] for column in result.description or []]
        return [dict(zip(names, row, strict=True)) for row in result.fetchall()]


def daily_usage(path: Path, days: int) -> DailyUsage | None:
    """Return the usage of the last `days` reporting days, or of all days of a younger ledger.

    Returns None for a ledger without entries.
    """
    with open_duckdb(path, read_only=True) as connection:
        today = connection.execute(
            "select min(period_start) from marts.fct_period_kpis where period = 'today'"
        ).fetchall()[0][0]
        if today is None:
            return None
        ((first_ever,),) = connection.execute("select min(date_day) from marts.fct_daily_revenue").fetchall()
        rows = connection.execute(
            """select
                date_day,
                currency,
                sum(revenue),
                marts.ratio(sum(counted_charges) - sum(charges_without_cost), sum(counted_charges))
            from marts.fct_daily_revenue
            where date_day > cast(? as date) - cast(? as integer) and date_day <= ?
            group by date_day, currency
            order by date_day, currency""",
            [today, days, today],
        ).fetchall()
    first_day = today - timedelta(days - 1)
    if first_ever is not None and first_day < first_ever <= today:
        first_day = first_ever
    return DailyUsage(first_day, today, [DayTotals(*row) for row in rows])


@dataclass(frozen=True)
class RejectReason:
    """The number of records that were rejected for one reason, with the first of them."""

    reason_code: str
    records: int
    first_path: str
    first_line: int | None
    first_reason: str


def reject_reasons(
    connection: duckdb.DuckDBPyConnection, rejects: str, parameters: dict[str, Any] | None = None
) -> list[RejectReason]:
    """Return why records were rejected, the most frequent reason first.

    `rejects` is SQL: a relation of rejected records.
    """
    rows = connection.execute(
        f"""select
            reason_code,
            count(*),
            first(path order by path, line),
            first(line order by path, line),
            first(reason order by path, line)
        from {rejects}
        group by reason_code
        order by count(*) desc, reason_code""",
        parameters,
    ).fetchall()
    return [RejectReason(*row) for row in rows]


def published_reject_reasons(path: Path) -> list[RejectReason]:
    """Return the `reject_reasons` of all rejected records of a published warehouse."""
    with open_duckdb(path, read_only=True) as connection:
        return reject_reasons(connection, "ops.rejected_records")
