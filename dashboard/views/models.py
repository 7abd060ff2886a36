"""The page of models: their revenue, cost and cost coverage, in total and over time."""

from collections.abc import Sequence
from decimal import Decimal

import streamlit as st

from dashboard import charts, controls, formats
from dashboard.context import Context, address
from dashboard.measures import MEASURES, Measure
from dashboard.queries import usage as usage_queries
from dashboard.queries.usage import Grain
from dashboard.snapshot import Row
from dashboard.tables import (
    Column,
    average_column,
    count_column,
    day_column,
    folded_table,
    money_column,
    share_column,
    table,
    text_column,
)

MODELS_SHOWN = 6
MEASURES_OVER_TIME = (
    "revenue",
    "provider_cost",
    "profit",
    "margin",
    "total_tokens",
    "charges",
    "cost_coverage",
)


def show(context: Context) -> None:
    """Draw the page."""
    by_model, over_time = st.container(), st.container()
    with over_time:
        st.subheader("Over time", anchor=False)
        left, right = st.columns([2, 3])
        with left:
            number = st.selectbox(
                "Measure",
                MEASURES_OVER_TIME,
                format_func=lambda name: MEASURES[name].label,
                key="number",
                bind="query-params",
            )
        with right:
            grain = controls.grain(context.filters)
    usage = usage_queries.models(context.snapshot, context.filters, grain)
    totals = [row for row in usage if row["starts_on"] is None]
    with by_model:
        _by_model(context, totals)
    with over_time:
        _over_time(
            context,
            MEASURES[number or MEASURES_OVER_TIME[0]],
            grain,
            usage,
            [row["model_id"] for row in totals],
        )


def _by_model(context: Context, totals: Sequence[Row]) -> None:
    st.subheader("By model", anchor=False)
    if not totals:
        st.info(
            "No usage in this period. Choose a longer period, or remove a filter in the sidebar.",
            icon=":material/filter_alt_off:",
        )
        return
    currency = context.currency
    columns = [
        text_column("model_id", "Model", link=lambda row: address("ledger", model=row["model_id"])),
        share_column("revenue_share", "Share of revenue"),
        *_usage_columns(currency),
    ]
    if (before := context.filters.period_before()) is not None:
        earlier = usage_queries.revenue_by_model(context.snapshot, before)
        totals = [row | {"before": earlier.get(row["model_id"], Decimal(0))} for row in totals]
        columns[3:3] = [
            money_column("before", f"Revenue before ({currency.upper()})", currency),
            Column(
                "change",
                "Change",
                lambda row: formats.change(row["revenue"], row["before"]) or formats.NOTHING,
                right=True,
            ),
        ]
    table(totals, columns, alt="Usage by model")
    st.caption("Tick the box at the left of a model to see its ledger entries.")
    bars = [
        (row["model_id"], row["revenue"], formats.with_currency(row["revenue"], currency))
        for row in totals[: 2 * MODELS_SHOWN]
    ]
    st.altair_chart(
        charts.bars(bars, f"Revenue ({currency.upper()})"),
        alt="Revenue by model; the table above has the numbers",
    )


def _over_time(
    context: Context, measure: Measure, grain: Grain, usage: Sequence[Row], models: Sequence[str]
) -> None:
    shown = models[:MODELS_SHOWN]
    steps = [row for row in usage if row["starts_on"] is not None and row["model_id"] in shown]
    points = [
        charts.point(
            row["model_id"],
            row["starts_on"],
            row[measure.name],
            measure.text_of(row[measure.name], context.currency),
        )
        for row in sorted(steps, key=lambda row: shown.index(row["model_id"]))
    ]
    st.altair_chart(
        charts.lines(points, measure.label),
        alt=f"{measure.label} by model and {grain}; the table below has the numbers",
    )
    if len(models) > MODELS_SHOWN:
        st.caption(
            f"The {MODELS_SHOWN} models with the most revenue, out of {len(models)}. Choose others in the"
            " sidebar."
        )
    columns = [
        day_column("starts_on", f"{grain.capitalize()} from"),
        text_column("model_id", "Model"),
        *_usage_columns(context.currency),
    ]
    folded_table("Numbers of the chart", steps, columns, key="numbers", alt=f"Usage by model and {grain}")


def _usage_columns(currency: str) -> list[Column]:
    code = currency.upper()
    return [
        money_column("revenue", f"Revenue ({code})", currency),
        money_column("provider_cost", f"Provider cost ({code})", currency),
        money_column("profit", f"Profit ({code})", currency),
        share_column("margin", "Margin"),
        share_column("cost_coverage", "Cost coverage", help=MEASURES["cost_coverage"].meaning),
        average_column("cost_to_serve", f"Cost per charge ({code})", currency),
        count_column("charges", "Charges"),
        count_column("prompt_tokens", "Prompt tokens"),
        count_column("completion_tokens", "Completion tokens"),
        count_column("total_tokens", "Tokens"),
    ]
