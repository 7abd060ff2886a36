"""What a run says to people: KPI tables, the plot, rejected records."""

import base64
import io
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from decimal import ROUND_HALF_UP, Context, Decimal
from typing import Any

from warehouse.published_summary import DayTotals, RejectReason
from warehouse.reconciliation_summary import Break, Reconciliation

PLOTTED_DAYS = 90
SIGNIFICANT_DIGITS = 4
# Python's own context keeps 28 digits; an amount may have 38.
WIDE = Context(prec=60)
KPIS = {
    "revenue": "Revenue",
    "provider_cost": "Provider cost",
    "profit": "Profit",
    "active_payers": "Active payers",
    "arpu": "ARPU",
}


def money(value: Any) -> str:
    """An amount for people: two decimals, or as many as four significant digits need. The tables keep every
    digit.
    """
    if value is None:
        return "–"
    amount = Decimal(value)
    places = 2 if abs(amount) >= 1 or not amount else SIGNIFICANT_DIGITS - 1 - amount.adjusted()
    return f"{amount.quantize(Decimal(1).scaleb(-places), ROUND_HALF_UP, WIDE):,}"


def kpi_value(name: str, value: Any) -> str:
    """A KPI for people: counts as they are, amounts shortened."""
    if value is None:
        return "–"
    return f"{value:,}" if name == "active_payers" else money(value)


def change(now: Any, before: Any) -> str:
    """Now against before in per cent, where there was something before."""
    if now is None or not before:
        return ""
    return f"{(Decimal(now) - Decimal(before)) / abs(Decimal(before)) * 100:+.1f} %"


def kpi_lines(kpis: Iterable[Mapping[str, Any]]) -> list[tuple[str, str, str, str, str]]:
    """One line a currency and KPI: currency, name, now, the period before, change."""
    return [
        (
            row["currency"],
            label,
            kpi_value(name, row[name]),
            kpi_value(name, row[f"previous_{name}"]),
            change(row[name], row[f"previous_{name}"]),
        )
        for row in kpis
        for name, label in KPIS.items()
    ]


def kpi_table(kpis: Sequence[Mapping[str, Any]]) -> str:
    """The KPIs as a Markdown table."""
    header = "| currency | last 30 days | now | 30 days before | change |\n|---|---|---:|---:|---:|\n"
    rows = "\n".join(f"| {' | '.join(line)} |" for line in kpi_lines(kpis))
    return "\n\n".join([header + rows, *cost_gaps(kpis)])


def cost_gaps(kpis: Iterable[Mapping[str, Any]]) -> list[str]:
    """Where provider costs are not known: they are in no sum, which makes cost look small and profit
    large.
    """
    return [
        f"{row['currency']}: the provider cost of {row['cost_coverage']:.1%} of the charges is known; cost"
        " and profit leave the rest out."
        for row in kpis
        if row["cost_coverage"] is not None and row["cost_coverage"] < 1
    ]


def reconciliation_lines(state: Reconciliation) -> list[str]:
    """The verdict, what makes it incomplete, and the open breaks by type; nothing where there is nothing to
    reconcile.
    """
    if not state.is_needed:
        return []
    lines = [state.headline, *(f"  ! {gap.describe()}" for gap in state.gaps)]
    rows = [
        (
            f"  {group.cases:,} ×",
            group.break_type,
            f"priority {group.priority}",
            group.rail,
            money(group.amount),
            group.currency,
            age(group),
        )
        for group in state.breaks
    ]
    return [*lines, *(columns(rows, right=(0, 4)) if rows else [])]


def age(group: Any) -> str:
    """The age of the oldest of some breaks."""
    return f"oldest {group.oldest_days} day{'' if group.oldest_days == 1 else 's'}"


def breaks_by_type(state: Reconciliation) -> str:
    """The open breaks by type as a Markdown table."""
    header = "| priority | break | cases | amount | oldest |\n|---:|---|---:|---:|---:|\n"
    return header + "\n".join(
        f"| {group.priority} | {group.break_type} | {group.cases:,} | {money(group.amount)} {group.currency}"
        f" | {group.oldest_days} d |"
        for group in state.breaks
    )


def break_table(breaks: Sequence[Break]) -> str:
    """Open breaks as a Markdown table, one a line. Whose they are is not said: Dagster keeps it for months,
    and `erase` cannot reach it.
    """
    header = (
        "| priority | break | case | credited | paid | currency | age |\n|---:|---|---|---:|---:|---|---:|\n"
    )
    rows = [
        (
            *(one.priority, one.break_type, one.case_id),
            *(money(one.ledger_amount), money(one.paid_amount), one.currency, f"{one.age_days} d"),
        )
        for one in breaks
    ]
    return header + "\n".join(f"| {' | '.join(map(str, row))} |" for row in rows)


def columns(rows: Sequence[Sequence[str]], *, right: Iterable[int] = ()) -> list[str]:
    """Rows of text as aligned lines; the columns named in `right` are aligned there."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    aligned = set(right)
    lines = []
    for row in rows:
        cells = [
            cell.rjust(width) if place in aligned else cell.ljust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(cells).rstrip())
    return lines


def days(dates: Sequence[date]) -> str:
    """Some days: the day itself where it is one, their number and the first and last of them where they are
    more.
    """
    if len(dates) == 1:
        return f"{dates[0]}"
    return f"{len(dates):,} days ({min(dates)} to {max(dates)})" if dates else "no days"


def place_of(reason: RejectReason) -> str:
    """Where a rejected record stands, as editors and terminals open it."""
    return reason.first_path if reason.first_line is None else f"{reason.first_path}:{reason.first_line}"


def revenue_plot(days: Sequence[DayTotals], currency: str) -> str:
    """Revenue, cost and profit by day in one currency, as a Markdown image that needs no other file."""
    from matplotlib.figure import Figure  # noqa: PLC0415  half a second, for this function alone

    own = [day for day in days if day.currency == currency]
    figure = Figure(figsize=(7.2, 2.6), dpi=90, layout="constrained")
    axes = figure.subplots()
    dates = [day.date_day for day in own]
    for name, color in (("revenue", "#2563eb"), ("provider_cost", "#dc2626"), ("profit", "#059669")):
        amounts = [float(getattr(day, name)) for day in own]
        axes.plot(dates, amounts, label=name.replace("_", " "), color=color, linewidth=1.4)  # type: ignore[arg-type]
    axes.set_title(f"Revenue, provider cost and profit by day, {currency}", fontsize=9, loc="left")
    axes.tick_params(labelsize=8)
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(fontsize=8, frameon=False, ncols=3, loc="upper left")
    image = io.BytesIO()
    figure.savefig(image, format="png")
    return (
        "![Revenue, provider cost and profit by"
        f" day](data:image/png;base64,{base64.b64encode(image.getvalue()).decode()})"
    )
