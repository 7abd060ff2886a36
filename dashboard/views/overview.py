"""The overview: revenue, cost, balances owed to users, and the freshness and soundness of the numbers."""

from datetime import UTC, datetime, timedelta

import streamlit as st

from dashboard import controls, formats
from dashboard.chart_panel import chart_panel
from dashboard.context import Context, link_to
from dashboard.measures import MEASURES, Measure
from dashboard.queries import (
    reconciliation as reconciliation_queries,
    runs as runs_queries,
    usage as usage_queries,
)
from dashboard.snapshot import Row
from dashboard.tables import (
    Column,
    count_column,
    day_column,
    folded_table,
    instant_column,
    money_column,
    table,
    text_column,
)
from dashboard.trend import trend

TILES = ("revenue", "provider_cost", "profit", "margin", "active_payers", "new_payers", "arpu", "deposits")
TILES_IN_A_ROW = 4
# A nightly run is missing.
OUTDATED_AFTER = timedelta(hours=36)


def show(context: Context) -> None:
    """Draw the page."""
    now = usage_queries.kpis(context.snapshot, context.filters)
    earlier = context.filters.period_before()
    before = usage_queries.kpis(context.snapshot, earlier) if earlier else None
    _tiles(context, now, before)
    _over_time(context)
    left, right = st.columns(2)
    with left:
        _owed(context)
    with right:
        _health(context)
    _all_numbers(context, now, before)


def _tiles(context: Context, now: Row, before: Row | None) -> None:
    for start in range(0, len(TILES), TILES_IN_A_ROW):
        for column, name in zip(
            st.columns(TILES_IN_A_ROW), TILES[start : start + TILES_IN_A_ROW], strict=False
        ):
            with column:
                _tile(
                    MEASURES[name],
                    now[name],
                    before and before[name],
                    context.currency,
                    is_compared=before is not None,
                )


def _tile(measure: Measure, now: object, before: object, currency: str, *, is_compared: bool) -> None:
    change = measure.change(now, before) if is_compared else None
    previous = f"before: {measure.text_of(before, currency)}" if is_compared else None
    st.metric(
        measure.label,
        measure.text_of(now, currency),
        # Without a delta, Streamlit shows no description.
        change or previous,
        delta_color="off" if change is None else "inverse" if measure.is_cost else "normal",
        delta_arrow="off" if change is None else "auto",
        delta_description=previous if change else None,
        border=True,
        help=measure.meaning,
    )


def _all_numbers(context: Context, now: Row, before: Row | None) -> None:
    rows = [
        {
            "measure": measure.label,
            "now": measure.text_of(now[name], context.currency),
            "before": measure.text_of(before[name], context.currency) if before else formats.NOTHING,
            "change": (measure.change(now[name], before[name]) if before else None) or formats.NOTHING,
            "meaning": measure.meaning,
        }
        for name, measure in MEASURES.items()
    ]
    columns = [
        text_column("measure", "Measure"),
        text_column("now", "Period", right=True),
        text_column("before", "Before", right=True),
        text_column("change", "Change", right=True),
        text_column("meaning", "Definition"),
    ]
    folded_table(
        "All numbers of the period", rows, columns, key="all_numbers", alt="All numbers of the period"
    )


def _over_time(context: Context) -> None:
    st.subheader("Revenue, provider cost and profit", anchor=False)
    grain = controls.grain(context.filters)
    rows = usage_queries.usage_over_time(context.snapshot, context.filters, grain)
    measures = {"revenue": "Revenue", "provider_cost": "Provider cost", "profit": "Profit"}
    chart, points = trend(context, rows, measures, grain)
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


def _measure_column(context: Context, name: str) -> Column:
    return money_column(name, f"{MEASURES[name].label} ({context.currency.upper()})", context.currency)


def _owed(context: Context) -> None:
    st.subheader("Owed to users", anchor=False)
    owed = usage_queries.owed(context.snapshot, context.filters, context.about.today)
    left, right = st.columns(2)
    left.metric(
        f"On {formats.day(min(context.filters.last_day, context.about.today))}",
        formats.with_currency(owed["closing_balance"], context.currency),
        border=True,
        help=(
            "The sum of all wallets at the end of the day. It is credit that users have not used yet: a"
            " liability."
        ),
    )
    right.metric(
        "Overdrawn part",
        formats.with_currency(owed["negative_balance"], context.currency),
        border=True,
        help="The sum of the wallets whose balance is below 0. It is included in the total.",
    )
    st.caption(f"{formats.whole(owed['users_with_credit'])} users have credit.")
    controls.not_applied(context.filters, "models", "entry_types")


def _health(context: Context) -> None:
    st.subheader("Freshness and soundness", anchor=False)
    about, zone = context.about, context.timezone
    age = datetime.now(UTC) - about.published_at
    publication = (
        f"Published {formats.instant(about.published_at, zone)}, as of {formats.instant(about.as_of, zone)}"
        f" ({formats.plain(zone)})"
    )
    if age > OUTDATED_AFTER:
        st.warning(
            f"{publication}. That was {age.days} {'day' if age.days == 1 else 'days'} ago. Check the runs in"
            " Dagster, or start `paywall-warehouse run`.",
            icon=":material/schedule:",
        )
    else:
        st.success(publication, icon=":material/check_circle:")
    counts = reconciliation_queries.case_counts(context.snapshot, context.filters)
    breaks, pending = counts.get("break", 0), counts.get("pending", 0)
    incomplete = [
        row for row in reconciliation_queries.sources(context.snapshot) if row["verdict"] != "complete"
    ]
    if incomplete:
        listed = ", ".join(
            f"{formats.plain(row['source'])} is {formats.plain(row['verdict'])}" for row in incomplete
        )
        st.warning(f"Reconciliation is incomplete: {listed}.", icon=":material/warning:")
    if breaks:
        st.warning(
            f"{formats.whole(breaks)} open breaks between ledger and payments, {formats.whole(pending)}"
            " pending.",
            icon=":material/rule:",
        )
    else:
        st.success(
            f"No open breaks between ledger and payments, {formats.whole(pending)} pending.",
            icon=":material/rule:",
        )
    link_to("reconciliation", "Reconciliation")
    failed = [row for row in runs_queries.invariants(context.snapshot) if not row["passed"]]
    if failed:
        st.warning(
            f"{len(failed)} {'check gives a warning' if len(failed) == 1 else 'checks give warnings'}:"
            f" {', '.join(sorted({formats.plain(row['name']) for row in failed}))}.",
            icon=":material/report:",
        )
    last = runs_queries.last_entry_at(context.snapshot)
    st.caption(f"The latest ledger entry is from {formats.instant(last, zone)}.")
    columns = [
        text_column("source", "Source"),
        count_column("files", "Files"),
        count_column("records", "Records"),
        instant_column("last_loaded_at", "Last loaded", zone),
    ]
    table(runs_queries.freshness(context.snapshot), columns, alt="Freshness of the sources")
