"""Models: what each brings and costs, how well its cost is known, and the course of it."""

import streamlit as st

from dashboard import charts, controls, formats, queries
from dashboard.context import Context
from dashboard.measures import MEASURES
from dashboard.tables import average_column, count_column, day_column, money_column, share_column, table, text_column

SHOWN = 6
COURSE = ("revenue", "provider_cost", "profit", "margin", "total_tokens", "charges", "cost_coverage")


def show(context: Context) -> None:
    """The page."""
    currency = context.currency
    rows = queries.models(context.snapshot, context.filters)
    if not rows:
        st.info("No usage in this period. Widen it, or take a filter off in the sidebar.", icon=":material/filter_alt_off:")
        return
    st.subheader("By model", anchor=False)
    usage_columns = [
        money_column("revenue", f"Revenue ({currency.upper()})", currency),
        share_column("revenue_share", "Share"),
        money_column("provider_cost", f"Provider cost ({currency.upper()})", currency),
        money_column("profit", f"Profit ({currency.upper()})", currency),
        share_column("margin", "Margin"),
        share_column("cost_coverage", "Cost coverage", help=MEASURES["cost_coverage"].meaning),
        average_column("cost_to_serve", f"Cost per charge ({currency.upper()})", currency),
        count_column("charges", "Charges"),
        count_column("prompt_tokens", "Prompt tokens"),
        count_column("completion_tokens", "Completion tokens"),
        count_column("total_tokens", "Tokens"),
    ]
    table(
        rows,
        [text_column("model_id", "Model"), *usage_columns],
        alt="Usage by model",
        opens=lambda row: context.open("ledger", model=row["model_id"]),
    )
    st.caption("Tick a model at its left to see its ledger.")
    bars = [
        (row["model_id"], row["revenue"], formats.with_currency(row["revenue"], currency)) for row in rows[: 2 * SHOWN] if row["revenue"]
    ]
    if bars:
        st.altair_chart(charts.bars(bars, f"Revenue ({currency.upper()})"), alt="Revenue by model; the table above has the numbers")

    st.subheader("Over time", anchor=False)
    left, right = st.columns([2, 3])
    with left:
        measure = MEASURES[
            st.selectbox("Number", COURSE, format_func=lambda name: MEASURES[name].label, key="number", bind="query-params") or COURSE[0]
        ]
    with right:
        grain = controls.grain(context.filters)
    shown = [row["model_id"] for row in rows[:SHOWN]]
    course = queries.models_over_time(context.snapshot, context.filters, grain, shown)
    points = [
        charts.point(row["model_id"], row["starts_on"], row[measure.name], measure.words(row[measure.name], currency))
        for row in sorted(course, key=lambda row: shown.index(row["model_id"]))
    ]
    st.altair_chart(charts.lines(points, measure.label), alt=f"{measure.label} by model and {grain}; the table below has the numbers")
    if len(rows) > SHOWN:
        st.caption(f"The {SHOWN} models with the most revenue of {len(rows)}; choose others in the sidebar.")
    with st.expander("Numbers of the chart"):
        columns = [day_column("starts_on", f"{grain.capitalize()} from"), text_column("model_id", "Model")]
        table(course, [*columns, *(one for one in usage_columns if one.name != "revenue_share")], alt=f"Usage by model and {grain}")
