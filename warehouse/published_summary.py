"""A summary of a published warehouse: the KPIs of a period, revenue by day, and reject reasons."""

from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb

from paywall_warehouse.duckdb_connections import open_duckdb


@dataclass(frozen=True)
class DayTotals:
    """Revenue, provider cost and profit of one reporting day in one currency."""

    date_day: date
    currency: str
    revenue: Decimal
    provider_cost: Decimal
    profit: Decimal


def period_kpis(path: Path, period: str = "last_30_days") -> list[dict[str, Any]]:
    """Return the rows of `fct_period_kpis` for one period, the currency with the most revenue first."""
    with open_duckdb(path, read_only=True) as connection:
        result = connection.execute(
            "select * from marts.fct_period_kpis where period = ? order by revenue desc, currency", [period]
        )
        names = [column[0] for column in result.description or []]
        return [dict(zip(names, row, strict=True)) for row in result.fetchall()]


def daily_totals(path: Path, days: int) -> list[DayTotals]:
    """Return the totals of the reporting days with usage among the last `days`, oldest first."""
    with open_duckdb(path, read_only=True) as connection:
        rows = connection.execute(
            """select date_day, currency, sum(revenue), sum(provider_cost), sum(profit)
            from marts.fct_daily_revenue
            where date_day > (select max(date_day) from marts.fct_daily_revenue) - cast(? as integer)
            group by date_day, currency
            order by date_day, currency""",
            [days],
        ).fetchall()
    return [DayTotals(*row) for row in rows]


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
