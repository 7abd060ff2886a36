"""The page of models: their revenue, cost and cost coverage, in total and over time."""

from collections.abc import Mapping, Sequence
from datetime import date
from decimal import Decimal

import streamlit as st

from dashboard import charts, controls, coverage, formats
from dashboard.chart_links import ledger_links
from dashboard.chart_panel import chart_panel
from dashboard.context import Context, address
from dashboard.download_panel import download_panel
from dashboard.measures import MEASURES, Measure
from dashboard.queries import usage as usage_queries
from dashboard.queries.usage import Grain
from dashboard.snapshot import Row
from dashboard.steps import steps_of
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
SHARE = (
    "Of the revenue of all models with the other filters of this page: the model filter changes the rows, not"
    " their shares."
)
NO_USAGE: Row = dict.fromkeys(("revenue", "provider_cost", "profit"), Decimal(0)) | {
    "total_tokens": 0,
    "charges": 0,
    "counted_charges": 0,
    "charges_without_cost": 0,
    "margin": None,
    "cost_coverage": None,
}


def show(context: Context) -> None:
    """Draw the page."""
    if (before := context.filters.period_before()) is not None:
        context.snapshot.ahead(lambda snapshot: usage_queries.revenue_by_model(snapshot, before))
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
    whole, *usage = usage_queries.models(context.snapshot, context.filters, grain)
    totals = [row for row in usage if row["starts_on"] is None]
    with by_model:
        _by_model(context, whole, totals)
    with over_time:
        _over_time(
            context,
            MEASURES[number or MEASURES_OVER_TIME[0]],
            grain,
            usage,
            [row["model_id"] for row in totals],
        )


def _by_model(context: Context, whole: Row, totals: Sequence[Row]) -> None:
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
        share_column("revenue_share", "Share of revenue", help=SHARE),
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
    revenue = formats.with_currency(whole["revenue"], currency)
    cost, profit = coverage.cost(whole, currency), coverage.profit(whole, currency)
    st.markdown(
        f"**All {formats.counted(len(totals), 'model')}:** revenue {revenue}, provider cost {cost}, profit"
        f" {profit}."
    )
    coverage.note(totals)
    bars = [
        charts.Bar(
            row["model_id"],
            row["revenue"],
            formats.with_currency(row["revenue"], currency),
            address("ledger", model=row["model_id"]),
        )
        for row in totals[: 2 * MODELS_SHOWN]
    ]
    chart_panel(
        charts.bars(bars, f"Revenue ({currency.upper()})"),
        bars,
        f"revenue-by-model-{currency}",
        "Revenue by model; the table above has the numbers",
    )
    if len(totals) > len(bars):
        st.caption(f"The {len(bars)} models with the most revenue, out of {len(totals)}.")


def _over_time(
    context: Context, measure: Measure, grain: Grain, usage: Sequence[Row], models: Sequence[str]
) -> None:
    shown = models[:MODELS_SHOWN]
    steps = steps_of(context.filters, context.about, grain)
    rows = [row for row in usage if row["starts_on"] is not None and row["model_id"] in shown]
    points = [
        point
        for model in shown
        for point in model_points(
            measure,
            model,
            {row["starts_on"]: row for row in rows if row["model_id"] == model},
            ledger_links(steps, model=model),
            context.currency,
        )
    ]
    chart_panel(
        charts.lines(
            points,
            f"{measure.label} ({context.currency.upper()})" if measure.kind == "money" else measure.label,
            grain=grain,
            unit="share" if measure.kind == "share" else "number",
            partial={step.starts_on for step in steps if not step.is_over},
            links=ledger_links(steps),
        ),
        points,
        f"{measure.name}-by-model-and-{grain}-{context.currency}",
        f"{measure.label} by model and {grain}; the table below has the numbers",
    )
    if len(models) > MODELS_SHOWN:
        st.caption(
            f"The {MODELS_SHOWN} models with the most revenue, out of {len(models)}. Choose others in the"
            " sidebar."
        )
    if measure.name in ("provider_cost", "profit", "margin"):
        coverage.note(rows)
    columns = [
        day_column("starts_on", f"{grain.capitalize()} from"),
        text_column("model_id", "Model"),
        *_usage_columns(context.currency),
    ]
    folded_table("Numbers of the chart", rows, columns, key="numbers", alt=f"Usage by model and {grain}")
    download_panel(context, "daily_revenue")


def model_points(
    measure: Measure, model: str, rows: Mapping[date, Row], links: Mapping[date, str], currency: str
) -> list[charts.Point]:
    """Return a point for each step in `links`. Without usage a sum is 0, and a ratio is undefined."""
    points = []
    for starts_on, link in links.items():
        row = rows.get(starts_on, NO_USAGE)
        text = _text(measure, row, currency)
        amount = None if text == formats.NOTHING else row[measure.name]
        points.append(charts.point(model, starts_on, amount, text, link=link))
    return points


def _text(measure: Measure, row: Row, currency: str) -> str:
    known = {
        "provider_cost": lambda: coverage.cost(row, currency),
        "profit": lambda: coverage.profit(row, currency),
        "margin": lambda: coverage.margin(row),
    }
    if measure.name not in known:
        return measure.text_of(row[measure.name], currency)
    text = known[measure.name]()
    return f"{text} {currency.upper()}" if measure.kind == "money" and text != formats.NOTHING else text


def _usage_columns(currency: str) -> list[Column]:
    code = currency.upper()
    return [
        money_column("revenue", f"Revenue ({code})", currency),
        *coverage.cost_columns(currency),
        average_column("cost_to_serve", f"Cost per charge ({code})", currency),
        count_column("charges", "Charges"),
        count_column("prompt_tokens", "Prompt tokens"),
        count_column("completion_tokens", "Completion tokens"),
        count_column("total_tokens", "Tokens"),
    ]
