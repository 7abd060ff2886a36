"""The page of cohorts: users by the month of their first payment, their retention and their revenue."""

from collections.abc import Sequence

import streamlit as st

from dashboard import charts, formats
from dashboard.context import Context
from dashboard.queries import usage as usage_queries
from dashboard.snapshot import Row
from dashboard.tables import (
    average_column,
    count_column,
    folded_table,
    money_column,
    share_column,
    text_column,
)


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
        "The share of the cohort that paid in the month. An asterisk marks a month that is not over yet."
    )
    st.altair_chart(
        charts.heat_map(
            [_cell(row, row["retention_rate"], formats.share(row["retention_rate"])) for row in rows],
            "Retention",
        ),
        alt="Retention by cohort and months since; the table below has the numbers",
    )
    st.subheader("Revenue", anchor=False)
    st.altair_chart(
        charts.heat_map(
            [_cell(row, row["revenue"], formats.money(row["revenue"], currency)) for row in rows],
            f"Revenue ({currency.upper()})",
        ),
        alt="Revenue by cohort and months since; the table below has the numbers",
    )
    st.subheader("Cumulative revenue per user", anchor=False)
    st.altair_chart(
        charts.by_number(_cumulative(rows, currency), "Months since the first payment", currency.upper()),
        alt="Cumulative revenue per user of each cohort; the table below has the numbers",
    )
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


def _month(row: Row) -> str:
    return f"{row['cohort_month']:%Y-%m}"


def _cell(row: Row, value: object, text: str) -> Row:
    short = text if len(text) <= charts.CELL_CHARACTERS else f"{text[: charts.CELL_CHARACTERS - 1]}…"
    return {
        "row": _month(row),
        "column": row["months_since"],
        "value": value,
        "text": text + ("" if row["is_complete"] else ", month not over yet"),
        "short": short + ("" if row["is_complete"] else " *"),
        "note": f"{formats.whole(row['active_payers'])} of {formats.whole(row['cohort_size'])} users",
    }


def _cumulative(rows: Sequence[Row], currency: str) -> list[charts.Point]:
    return [
        {
            "series": _month(row),
            "at": row["months_since"],
            "value": row["cumulative_per_user"],
            "text": f"{formats.average(row['cumulative_per_user'], currency)} {currency.upper()}",
        }
        for row in rows
    ]
