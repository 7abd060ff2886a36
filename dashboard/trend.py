"""The chart of revenue, cost and profit over time, compared with the period before."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from dashboard import charts
from dashboard.chart_links import ledger_links
from dashboard.context import Context
from dashboard.filters import Filters
from dashboard.queries import usage as usage_queries
from dashboard.queries.usage import Grain
from dashboard.snapshot import Row, Snapshot
from dashboard.steps import day_offset, drawn_at, steps_of

BEFORE = "previous period"


def compared(filters: Filters, before: Filters, grain: Grain) -> Filters:
    """Return the period before as the chart compares it.

    It has whole days: only tiles compare the same hours, and a day that lacks some would look like a fall.
    Where weekdays are compared, it is moved by some days, so that every day has its counterpart.
    """
    if grain != "day":
        return replace(before, cut=None)
    offset = day_offset((filters.since, filters.until), (before.since, before.until))
    return replace(before, since=filters.since - offset, until=filters.until - offset, cut=None)


def revenue_before(snapshot: Snapshot, filters: Filters, before: Filters, grain: Grain) -> list[Row]:
    """Return the revenue by step of the period before, as the chart compares it."""
    return usage_queries.usage_over_time(snapshot, compared(filters, before, grain), grain, ("revenue",))


def days_before(filters: Filters, grain: Grain) -> int | None:
    """Return how many days before a day its counterpart is; None if steps are compared one by one."""
    if filters.before is None or grain != "day":
        return None
    return day_offset((filters.since, filters.until), filters.before).days


def trend(
    context: Context, rows: Sequence[Row], measures: Mapping[str, str], grain: Grain
) -> tuple[charts.Chart, list[charts.Point]]:
    """Return the chart of `measures` (column: name of the series) and its points.

    `rows` are those of `usage_over_time`. Revenue is compared with the period before, if one is chosen.
    Profit is an area.
    """
    filters = context.filters
    points = charts.money_points(rows, dict(measures), context.currency)
    grey: list[str] = []
    if (before := filters.period_before()) is not None:
        grey = [f"{measures['revenue']}, {BEFORE}"]
        earlier = revenue_before(context.snapshot, filters, before, grain)
        shown = {row["starts_on"] for row in rows}
        drawn = {
            row["starts_on"]: drawn_at(
                row["starts_on"], grain, (filters.since, filters.until), (before.since, before.until)
            )
            for row in earlier
        }
        points += charts.moved(
            charts.money_points(earlier, {"revenue": grey[0]}, context.currency),
            {own: at for own, at in drawn.items() if at in shown},
        )
    steps = steps_of(filters, context.about, grain)
    chart = charts.lines(
        points,
        context.currency.upper(),
        grain=grain,
        area=measures.get("profit"),
        grey=grey,
        partial={step.starts_on for step in steps if not step.is_over},
        links=ledger_links(steps),
    )
    return chart, points
