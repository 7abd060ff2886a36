"""The page of cohorts: users by the month of their first payment, their retention and their revenue."""

from collections.abc import Sequence
from datetime import date, timedelta

import streamlit as st

from dashboard import charts, formats
from dashboard.chart_links import ledger_of
from dashboard.chart_panel import chart_panel
from dashboard.context import Context
from dashboard.download_panel import download_panel
from dashboard.queries import usage as usage_queries
from dashboard.snapshot import Row
from dashboard.steps import months_after, next_start
from dashboard.tables import (
    average_column,
    count_column,
    folded_table,
    money_column,
    share_column,
    text_column,
)

ACROSS = "Months since the first payment"
# More lines cannot be distinguished, and their texts do not fit beside the pointer.
COHORTS_SHOWN = 12


def show(context: Context) -> None:
    """Draw the page."""
    currency = context.currency
    everything = usage_queries.cohorts(context.snapshot, context.filters)
    only_period = st.toggle(
        "Only cohorts that began in the period",
        False,
        key="in_period",
        bind="query-params",
        help="Otherwise all cohorts are shown. Either way, the months of a cohort run until today.",
    )
    since = context.filters.since.replace(day=1)
    rows = [
        row for row in everything if not only_period or since <= row["cohort_month"] < context.filters.until
    ]
    if not rows:
        st.info(
            "No user made a first payment here. Show all cohorts, or remove a filter.",
            icon=":material/filter_alt_off:",
        )
        return
    st.subheader("Retention", anchor=False)
    st.caption(
        "The share of the cohort that paid in the month. An asterisk marks a month that is not over yet. A"
        " click on a cell opens the ledger's charges of that month, of all users: the ledger has no filter by"
        " cohort."
    )
    retention = [
        _cell(
            context,
            row,
            row["retention_rate"],
            formats.share(row["retention_rate"]),
            formats.share(row["retention_rate"]),
        )
        for row in rows
    ]
    chart_panel(
        charts.heat_map(retention, "Retention"),
        [_exact(row, "retention_rate") for row in rows],
        f"retention-{currency}",
        "Retention by cohort and months since; the table below has the numbers",
    )
    st.subheader("Revenue", anchor=False)
    revenue = [
        _cell(
            context,
            row,
            row["revenue"],
            formats.with_currency(row["revenue"], currency),
            formats.short_money(row["revenue"], currency),
        )
        for row in rows
    ]
    chart_panel(
        charts.heat_map(revenue, f"Revenue ({currency.upper()})"),
        [_exact(row, "revenue") for row in rows],
        f"cohort-revenue-{currency}",
        "Revenue by cohort and months since; the table below has the numbers",
    )
    st.subheader("Cumulative revenue per user", anchor=False)
    cohorts = sorted({row["cohort_month"] for row in rows})
    latest = [row for row in rows if row["cohort_month"] in cohorts[-COHORTS_SHOWN:]]
    cumulative = _cumulative(latest, currency)
    chart_panel(
        charts.by_number(cumulative, ACROSS, currency.upper()),
        cumulative,
        f"cumulative-revenue-per-user-{currency}",
        "Cumulative revenue per user of each cohort; the table below has the numbers",
    )
    if len(cohorts) > COHORTS_SHOWN:
        st.caption(f"The latest {COHORTS_SHOWN} cohorts, out of {len(cohorts)}. The table has all.")
    columns = [
        text_column("cohort", "First paid in"),
        count_column("months_since", "Months since"),
        count_column("cohort_size", "Users"),
        count_column("active_payers", "Active payers"),
        share_column("retention_rate", "Retention"),
        money_column("revenue", f"Revenue ({currency.upper()})", currency),
        average_column("revenue_per_user", f"Revenue per user ({currency.upper()})", currency),
        money_column("cumulative_revenue", f"Cumulative revenue ({currency.upper()})", currency),
        money_column("cumulative_profit", f"Cumulative profit ({currency.upper()})", currency),
        text_column("complete", "Month is over"),
    ]
    shown = [
        row | {"cohort": _month(row), "complete": "yes" if row["is_complete"] else "not yet"} for row in rows
    ]
    folded_table("Numbers", shown, columns, key="numbers", alt="Cohorts")
    download_panel(context, "cohorts")


def _month(row: Row) -> str:
    return f"{row['cohort_month']:%Y-%m}"


def _cell(context: Context, row: Row, value: object, text: str, brief: str) -> Row:
    month = months_after(row["cohort_month"], row["months_since"])
    return {
        "row": _month(row),
        "column": row["months_since"],
        "value": value,
        "text": text,
        "short": brief + ("" if row["is_complete"] else " *"),
        "said": f"Cohort {_month(row)} in {charts.day_label(month, 'month')}"
        + ("" if row["is_complete"] else f", {charts.NOT_OVER}"),
        "note": f"{formats.whole(row['active_payers'])} of {formats.whole(row['cohort_size'])} users",
        "opens": f"the charges of {charts.day_label(month, 'month')}, of all users",
        "link": _ledger_of_month(context, month),
    }


def _ledger_of_month(context: Context, month: date) -> str:
    """Return the ledger of the days of a month that can be chosen."""
    last = max(context.about.last_day, context.about.today)
    since = min(max(month, context.about.first_day), last)
    until = min(next_start(month, "month"), last + timedelta(days=1))
    return ledger_of(since, max(until, since + timedelta(days=1)), type="charge")


def _exact(row: Row, column: str) -> Row:
    return {
        "first_paid_in": _month(row),
        "months_since": row["months_since"],
        column: row[column],
        "active_payers": row["active_payers"],
        "users": row["cohort_size"],
        "month_is_over": "yes" if row["is_complete"] else "not yet",
    }


def _cumulative(rows: Sequence[Row], currency: str) -> list[charts.Point]:
    return [
        charts.Point(
            _month(row),
            row["months_since"],
            row["cumulative_per_user"],
            f"{formats.average(row['cumulative_per_user'], currency)} {currency.upper()}"
            + ("" if row["is_complete"] else f", {charts.NOT_OVER}"),
        )
        for row in rows
    ]
