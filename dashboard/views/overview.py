"""The overview: health of the numbers, profit, trends, and the questions that every owner asks."""

from collections.abc import Mapping, Sequence
from decimal import Decimal, localcontext

import streamlit as st

from dashboard import controls, coverage, formats
from dashboard.chart_panel import chart_panel
from dashboard.context import Context, address, link_to, user_address
from dashboard.download_panel import download_panel
from dashboard.filters import Filters
from dashboard.health import health_line
from dashboard.measures import MEASURES, Measure
from dashboard.queries import costs as cost_queries, usage as usage_queries, users as users_queries
from dashboard.queries.costs import BilledDifference
from dashboard.queries.publication import About
from dashboard.snapshot import Question, Row
from dashboard.tables import (
    Column,
    average_column,
    count_column,
    day_column,
    folded_table,
    money_column,
    table,
    text_column,
)
from dashboard.trend import days_before, revenue_before, trend

TOP_SPENDERS = "Top spenders of the period"
# Profit as a sum, with the sign of each part.
BRIDGE = {
    "revenue": "Revenue",
    "provider_cost": "− Provider cost",
    "platform_fees": "− Fees",
    "profit": "= Profit",
}
# The parts of revenue that no payment stands behind, which have a tile where they are not 0.
NOT_PAID = ("revenue_promo", "revenue_unfunded")
BELOW = ("margin", "active_payers", "arpu", "deposits")
SETTLED_CHARGES: dict[str, str | list[str]] = {"type": ["charge"], "entry_status": ["settled"]}
# The page that has the rows behind a tile, and its parameters.
BEHIND: dict[str, tuple[str, dict[str, str | list[str]]]] = {
    "revenue": ("ledger", SETTLED_CHARGES),
    "provider_cost": ("models", {"number": "provider_cost"}),
    "platform_fees": ("ledger", SETTLED_CHARGES),
    "profit": ("models", {"number": "profit"}),
    "margin": ("models", {"number": "margin"}),
    "active_payers": ("users", {"view": TOP_SPENDERS}),
    "arpu": ("users", {"view": TOP_SPENDERS}),
    "deposits": ("ledger", {"type": ["deposit"], "entry_status": ["settled"]}),
    "revenue_promo": ("finance", {}),
    "revenue_unfunded": ("finance", {}),
}
# The measures of a tile that have a small chart.
TRENDS = ("revenue", "provider_cost", "platform_fees", "profit")
AFFECTED_BY_COVERAGE = ("provider_cost", "profit", "net_profit", "margin")
QUESTION_ROWS = 5
# The tile beside profit, where bills exist.
AT_BILL = "profit_at_bill"


def show(context: Context) -> None:
    """Draw the page."""
    for question in questions(context.filters, context.about):
        context.snapshot.ahead(question)
    health_line(context)
    now = usage_queries.kpis(context.snapshot, context.filters)
    if now is None:
        st.info(
            f"The ledger has no entry in {context.currency.upper()}. Only payments have this currency.",
            icon=":material/info:",
        )
        link_to("reconciliation", "Reconciliation")
    else:
        earlier = context.filters.period_before()
        before = usage_queries.kpis(context.snapshot, earlier) if earlier else None
        grain = controls.readable_grain(context.filters)
        _tiles(context, now, before, usage_queries.usage_over_time(context.snapshot, context.filters, grain))
        _questions(context, now, before)
        _over_time(context)
        _owed(context)
        _all_numbers(context, now, before)
    _all_currencies(context)


def questions(filters: Filters, about: About) -> list[Question]:
    """Return the queries of the page, the slowest first."""
    earlier, grain = filters.period_before(), controls.readable_grain(filters)
    asked: list[Question] = [
        lambda snapshot: usage_queries.top_spenders(snapshot, filters, QUESTION_ROWS),
        lambda snapshot: usage_queries.kpis(snapshot, filters),
    ]
    if earlier:
        asked.append(lambda snapshot: usage_queries.kpis(snapshot, earlier))
    asked += [
        lambda snapshot: usage_queries.model_totals(snapshot, filters, QUESTION_ROWS),
        lambda snapshot: usage_queries.usage_over_time(snapshot, filters, grain),
    ]
    if earlier:
        asked.append(lambda snapshot: revenue_before(snapshot, filters, earlier, grain))
    asked.append(lambda snapshot: cost_queries.billed_difference(snapshot, filters))
    asked.append(lambda snapshot: usage_queries.owed(snapshot, filters, about.today))
    if len(about.ledger_currencies) > 1:
        asked.append(lambda snapshot: users_queries.people(snapshot, filters))
    return asked


def _tiles(context: Context, now: Row, before: Row | None, steps: Sequence[Row]) -> None:
    billed = cost_queries.billed_difference(context.snapshot, context.filters)
    if _known(now, "profit") is None:
        billed = None
    names = (*BRIDGE, *([AT_BILL] if billed else []))
    below = (*(name for name in NOT_PAID if _known(now, name)), *BELOW)
    first, second = st.columns(len(names)), st.columns(len(below))
    for column, name in zip((*first, *second), (*names, *below), strict=True):
        with column:
            if name == AT_BILL and billed:
                _tile_at_bill(context, now, billed)
            else:
                _tile(context, MEASURES[name], now, before, steps)
    if coverage.is_incomplete(now):
        known = formats.share(now["cost_coverage"])
        st.caption(
            f":material/info: The provider cost of {known} of the charges is known. Charges without a known"
            " cost count with their whole revenue, so that profit and margin are too high."
        )
    if billed:
        st.caption(
            f":material/info: Bills are compared on {_days_compared(billed)} with costs (UTC), and for"
            f" {formats.share(billed.compared_share)} of the recorded cost. Elsewhere, profit at bill has the"
            " recorded cost."
        )


def _tile_at_bill(context: Context, now: Row, billed: BilledDifference) -> None:
    """Draw the profit with costs as billed, and how much it differs from the profit."""
    currency = context.currency
    at_bill, change = profit_at_bill(now["profit"], billed.difference)
    exact = formats.with_currency(at_bill, currency)
    # Streamlit derives the direction from the first character.
    sign = "" if not change else "-" if change < 0 else "+"
    st.metric(
        f"[Profit at bill]({address('costs')})",
        _mark(now, "profit") + formats.short_with_currency(at_bill, currency),
        sign + formats.short_with_currency(change.copy_abs(), currency),
        delta_color="normal" if change else "off",
        delta_arrow="auto" if change else "off",
        delta_description=f"{_days_compared(billed)} compared",
        border=True,
        help=formats.plain(
            "Profit minus what providers billed beyond the recorded costs, in the cases that are compared:"
            f" {formats.with_currency(billed.difference, currency)}. Exactly {exact}. Days of bills are UTC"
            " days."
        ),
    )


def profit_at_bill(profit: Decimal, difference: Decimal) -> tuple[Decimal, Decimal]:
    """Return the profit with costs as billed, and how much more it is than the profit, exactly.

    `difference` is what was billed beyond the recorded costs.
    """
    # Python's own context keeps 28 digits.
    with localcontext(prec=60):
        return profit - difference, -difference


def _days_compared(billed: BilledDifference) -> str:
    return f"{billed.days_compared} of {formats.counted(billed.days, 'day')}"


def _tile(context: Context, measure: Measure, now: Row, before: Row | None, steps: Sequence[Row]) -> None:
    name = measure.name
    value, previous = _known(now, name), before and _known(before, name)
    change = measure.change(value, previous) if before else None
    mark, mark_before = (_mark(row, name) if row else "" for row in (now, before))
    description = f"before: {mark_before}{measure.short_of(previous, context.currency)}" if before else None
    # Bounds of profit may move although profit does not.
    is_even = change is not None and (change.startswith("0.0 ") or bool(mark or mark_before))
    exact = f" Exactly {measure.text_of(value, context.currency)}." if measure.kind == "money" else ""
    page, parameters = BEHIND[name]
    st.metric(
        f"[{BRIDGE.get(name, measure.label)}]({address(page, **parameters)})",
        mark + measure.short_of(value, context.currency),
        # Without a delta, Streamlit shows no description.
        change or description,
        delta_color="off" if change is None or is_even else "inverse" if measure.is_cost else "normal",
        delta_arrow="off" if change is None or is_even else "auto",
        delta_description=description if change else None,
        border=True,
        help=formats.plain(f"{measure.meaning}{exact}"),
        # The step that is not over would look like a plunge.
        chart_data=[float(row[name]) for row in steps[:-1]] if name in TRENDS and len(steps) > 2 else None,
        chart_type="area" if name == "profit" else "line",
    )


def _mark(row: Row, name: str) -> str:
    """Return the mark of a profit or margin that is too high."""
    is_bound = coverage.is_incomplete(row) and _known(row, name) is not None
    return coverage.AT_MOST if is_bound and name in AFFECTED_BY_COVERAGE[1:] else ""


def _known(row: Row, name: str) -> object:
    """Return a number of a period, None if it depends on costs of which none is known."""
    # Files of earlier versions lack what usage was paid from.
    return None if name in AFFECTED_BY_COVERAGE and coverage.is_unknown(row) else row.get(name)


def _questions(context: Context, now: Row, before: Row | None) -> None:
    currency, code = context.currency, context.currency.upper()
    models, spenders, payers = st.columns([4, 4, 3])
    with models:
        st.markdown(f"#### Which models earn? ({code})")
        totals = usage_queries.model_totals(context.snapshot, context.filters, QUESTION_ROWS)
        columns = [
            text_column("model_id", "Model", link=lambda row: address("ledger", model=row["model_id"])),
            _short_column("revenue", "Revenue", currency),
            Column("profit", "Profit", lambda row: coverage.short_profit(row, currency), right=True),
            Column("margin", "Margin", coverage.margin, right=True),
        ]
        table(totals, columns, alt="Models with the most revenue")
        link_to("models", "All models")
    with spenders:
        st.markdown(f"#### Who spends most, and at what cost? ({code})")
        top = usage_queries.top_spenders(context.snapshot, context.filters, QUESTION_ROWS)
        columns = [
            text_column("user_id", "User", link=user_address),
            _short_column("revenue", "Revenue", currency),
            Column("profit", "Profit", lambda row: coverage.short_profit(row, currency), right=True),
            average_column("cost_to_serve", "Cost per charge", currency),
        ]
        table(top, columns, alt="Users with the most revenue")
        link_to("users", "All top spenders", view=TOP_SPENDERS)
    with payers:
        st.markdown("#### Who pays?")
        names = ("active_users", "active_payers", "new_payers", "returning_payers", "arpu")
        rows = [
            {
                "measure": MEASURES[name].label,
                "now": MEASURES[name].short_of(now[name], currency),
                "change": (MEASURES[name].change(now[name], before[name]) if before else None)
                or formats.NOTHING,
            }
            for name in names
        ]
        columns = [
            text_column("measure", f"In {code}"),
            text_column("now", "Period", right=True),
            text_column("change", "Change", right=True),
        ]
        table(rows, columns, alt="Payers")
        st.caption("A payer has a settled charge above 0, also one that promo credit paid for.")
        link_to("cohorts", "Cohorts")


def _short_column(name: str, label: str, currency: str) -> Column:
    """Return a column of amounts that are read at a glance. The page that it leads to has the exact ones."""
    return Column(name, label, lambda row: formats.short_money(row[name], currency), right=True)


def _over_time(context: Context) -> None:
    st.subheader("Revenue, provider cost and profit", anchor=False)
    grain = controls.grain(context.filters)
    rows = usage_queries.usage_over_time(context.snapshot, context.filters, grain)
    measures = {"revenue": "Revenue", "provider_cost": "Provider cost", "profit": "Profit"}
    chart, points = trend(context, rows, measures, grain)
    if (days := days_before(context.filters, grain)) is not None:
        st.caption(f"The grey line is the revenue {formats.counted(days, 'day')} before.")
    chart_panel(
        chart,
        points,
        f"revenue-by-{grain}-{context.currency}",
        f"Revenue, provider cost and profit by {grain}; the table below has the numbers",
    )
    columns = [
        day_column("starts_on", f"{grain.capitalize()} from"),
        *(
            _measure_column(context, name)
            for name in ("revenue", "refunds", "provider_cost", "platform_fees", "profit")
        ),
        *(count_column(name, MEASURES[name].label) for name in ("charges", "total_tokens")),
    ]
    folded_table("Numbers of the chart", rows, columns, key="numbers", alt=f"Numbers by {grain}")
    download_panel(
        context, "daily_revenue", "Revenue, cost and profit by day, paywall and model, in the chosen period."
    )


def _measure_column(context: Context, name: str) -> Column:
    return money_column(name, f"{MEASURES[name].label} ({context.currency.upper()})", context.currency)


def _owed(context: Context) -> None:
    st.subheader("Owed to users", anchor=False)
    owed = usage_queries.owed(context.snapshot, context.filters, context.about.today)
    on = formats.day(min(context.filters.last_day, context.about.today))
    tiles = (
        (
            f"On {on}",
            "closing_balance",
            "The sum of all wallets at the end of the day. It is credit that users have not used yet: a"
            " liability.",
        ),
        (
            "Overdrawn part",
            "negative_balance",
            "The sum of the wallets whose balance is below 0. It is included in the total.",
        ),
    )
    columns = st.columns(4)
    for column, (label, name, meaning) in zip(columns, tiles, strict=False):
        exact = formats.with_currency(owed[name], context.currency)
        column.metric(
            label,
            formats.short_with_currency(owed[name], context.currency),
            border=True,
            help=formats.plain(f"{meaning} Exactly {exact}."),
        )
    columns[2].metric("Users with credit", formats.whole(owed["users_with_credit"]), border=True)
    controls.not_applied(context.filters, "models", "entry_types")


def _all_numbers(context: Context, now: Row, before: Row | None) -> None:
    rows = [_number(measure, now, before, context.currency) for measure in MEASURES.values()]
    columns = [
        text_column("measure", "Measure"),
        text_column("now", "Period", right=True),
        text_column("before", "Before", right=True),
        text_column("change", "Change", right=True),
        text_column("meaning", "Definition"),
    ]
    folded_table(
        "All numbers of the period, exactly",
        rows,
        columns,
        key="all_numbers",
        alt="All numbers of the period",
    )


def _number(measure: Measure, now: Row, before: Mapping[str, object] | None, currency: str) -> Row:
    value, previous = _known(now, measure.name), before and _known(dict(before), measure.name)
    return {
        "measure": measure.label,
        "now": measure.text_of(value, currency),
        "before": measure.text_of(previous, currency) if before else formats.NOTHING,
        "change": (measure.change(value, previous) if before else None) or formats.NOTHING,
        "meaning": measure.meaning,
    }


def _all_currencies(context: Context) -> None:
    rows = usage_queries.kpis_by_currency(context.snapshot, context.filters)
    if len(rows) < 2:
        return
    st.subheader("All currencies", anchor=False)
    people = users_queries.people(context.snapshot, context.filters)
    payers, new = formats.counted(people["active_payers"], "payer"), formats.whole(people["new_payers"])
    st.markdown(
        f"**{payers}** in the period, in any currency, of {formats.counted(people['users'], 'user')};"
        f" {new} of them new. Money in different currencies is never added together."
    )
    columns = [
        Column(
            "currency",
            "Currency",
            lambda row: row["currency"].upper(),
            link=lambda row: address("", currency=row["currency"].upper()),
        ),
        *(_of_row(name) for name in ("revenue", "provider_cost", "profit")),
        Column("margin", "Margin", coverage.margin, right=True),
        *(count_column(name, MEASURES[name].label) for name in ("active_payers", "new_payers", "charges")),
        Column("arpu", "ARPU", lambda row: formats.average(row["arpu"], row["currency"]), right=True),
        _of_row("deposits"),
    ]
    table([row for row in rows if _has_anything(row)], columns, alt="All currencies")


def _of_row(name: str) -> Column:
    """Return a column of amounts, each in the currency of its row."""
    texts = {"provider_cost": coverage.cost, "profit": coverage.profit}

    def text_of(row: Row) -> str:
        known = texts.get(name)
        return known(row, row["currency"]) if known else formats.money(row[name], row["currency"])

    return Column(name, MEASURES[name].label, text_of, right=True)


def _has_anything(row: Row) -> bool:
    return bool(row["charges"] or row["revenue"] or row["refunds"] or row["deposits"] or row["provider_cost"])
