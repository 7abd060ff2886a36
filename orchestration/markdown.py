"""Numbers for people, as Markdown and as aligned text: KPIs, open breaks, rejected records, the plot."""

import base64
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from decimal import ROUND_HALF_UP, Context, Decimal
from typing import Any

from orchestration.plot import publication_svg
from paywall_warehouse.quoting import printable
from warehouse.cost_summary import CostReconciliation
from warehouse.published_summary import DailyUsage, RejectReason
from warehouse.reconciliation_summary import Break, Reconciliation

# Months without bills: one line each.
GAPS_SHOWN = 5
PLOTTED_DAYS = 90
SIGNIFICANT_DIGITS = 4
# The columns of Dagster's page are narrow: an amount would be torn from its unit.
NO_BREAK = "\N{NO-BREAK SPACE}"
# Characters that Markdown interprets, also within a word.
MARKUP = re.compile(r"([\\`*_{}\[\]()#|~!&:@])")
# The default context keeps 28 digits. An amount may have 38.
WIDE = Context(prec=60)
KPIS = {
    "revenue": "Revenue",
    "provider_cost": "Provider cost",
    "profit": "Profit",
    "active_payers": "Active payers",
    "arpu": "ARPU",
}


def money(value: Any) -> str:
    """Return an amount with two decimals, or below 1 with four significant digits.

    Only these texts are rounded; the tables keep every digit.
    """
    if value is None:
        return "–"
    amount = Decimal(value)
    places = 2 if abs(amount) >= 1 or not amount else SIGNIFICANT_DIGITS - 1 - amount.adjusted()
    return f"{amount.quantize(Decimal(1).scaleb(-places), ROUND_HALF_UP, WIDE):,}"


def kpi_value(name: str, value: Any) -> str:
    """Return a KPI as text: counts in full, amounts rounded by `money`."""
    if value is None:
        return "–"
    return f"{value:,}" if name == "active_payers" else money(value)


def change(now: Any, before: Any) -> str:
    """Return the change in per cent, or an empty text if there is no earlier value or it is zero."""
    if now is None or not before:
        return ""
    return f"{(Decimal(now) - Decimal(before)) / abs(Decimal(before)) * 100:+.1f} %"


def kpi_lines(kpis: Iterable[Mapping[str, Any]]) -> list[tuple[str, str, str, str, str]]:
    """Return one line per currency and KPI: currency, name, value, previous value, change."""
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
    """Return the KPIs as a Markdown table."""
    header = "| currency | last 30 days | now | 30 days before | change |\n|---|---|---:|---:|---:|\n"
    rows = "\n".join(f"| {' | '.join(line)} |".replace(" %", f"{NO_BREAK}%") for line in kpi_lines(kpis))
    return "\n\n".join([header + rows, *cost_gaps(kpis)])


def cost_gaps(kpis: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return a sentence for each currency in which some provider costs are unknown.

    Unknown costs are in no sum, so cost looks too small and profit too large.
    """
    return [
        f"{row['currency']}: the provider cost of {row['cost_coverage']:.1%} of the charges is known; cost"
        " and profit leave the rest out."
        for row in kpis
        if row["cost_coverage"] is not None and row["cost_coverage"] < 1
    ]


def reconciliation_lines(state: Reconciliation) -> list[str]:
    """Return the headline, the gaps in the data, and the open breaks by type.

    Returns no lines if there is nothing to reconcile.
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


def cost_lines(state: CostReconciliation) -> list[str]:
    """Return the headline, the months without bills, and the open cost breaks by type.

    Returns no lines if no bill has landed.
    """
    if not state.is_needed:
        return []
    gaps = [f"  ! {gap.describe()}" for gap in state.gaps[:GAPS_SHOWN]]
    if len(state.gaps) > GAPS_SHOWN:
        gaps.append(f"  ! and {len(state.gaps) - GAPS_SHOWN} more: marts.rpt_cost_reconciliation_months")
    rows = [
        (
            f"  {group.cases:,} ×",
            group.break_type,
            f"priority {group.priority}",
            group.provider,
            money(group.amount),
            group.currency,
            f"oldest {group.oldest_day}",
        )
        for group in state.breaks
    ]
    if state.not_compared:
        gaps.append(f"  {state.not_compared}")
    return [state.headline, *gaps, *(columns(rows, right=(0, 4)) if rows else [])]


def cost_breaks_by_type(state: CostReconciliation) -> str:
    """Return the open cost breaks by type as a Markdown table."""
    header = "| priority | break | provider | cases | difference | oldest |\n|---:|---|---|---:|---:|---|\n"
    return header + "\n".join(
        f"| {group.priority} | {group.break_type} | {escaped(group.provider)} | {group.cases:,} |"
        f" {money(group.amount)}{NO_BREAK}{group.currency} | {group.oldest_day} |"
        for group in state.breaks
    )


def age(group: Any) -> str:
    """Return the age of the oldest break of a group."""
    return f"oldest {group.oldest_days} day{'' if group.oldest_days == 1 else 's'}"


def breaks_by_type(state: Reconciliation) -> str:
    """Return the open breaks by type as a Markdown table."""
    header = "| priority | break | cases | amount | oldest |\n|---:|---|---:|---:|---:|\n"
    return header + "\n".join(
        f"| {group.priority} | {group.break_type} | {group.cases:,} |"
        f" {money(group.amount)}{NO_BREAK}{group.currency} | {group.oldest_days}{NO_BREAK}d |"
        for group in state.breaks
    )


def break_table(breaks: Sequence[Break]) -> str:
    """Return open breaks as a Markdown table, one per line.

    The table does not name users: Dagster keeps it for months, and `erase` cannot change it.
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


def escaped(text: str) -> str:
    """Return a text from outside as one line of Markdown in which nothing is interpreted."""
    return MARKUP.sub(r"\\\1", printable(text)).replace("<", "&lt;")


def count(number: int, noun: str) -> str:
    """Return a number with its noun, such as `1 row` or `2,000 rows`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def columns(rows: Sequence[Sequence[str]], *, right: Iterable[int] = ()) -> list[str]:
    """Return rows of text as aligned lines. `right` lists the columns that are aligned to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    aligned = set(right)
    lines = []
    for row in rows:
        cells = [
            cell.rjust(width) if number in aligned else cell.ljust(width)
            for number, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(cells).rstrip())
    return lines


def days(dates: Sequence[date]) -> str:
    """Return a single day as it is, and several days as their number with the first and the last day."""
    if len(dates) == 1:
        return f"{dates[0]}"
    return f"{len(dates):,} days ({min(dates)} to {max(dates)})" if dates else "no days"


def place_of(reason: RejectReason) -> str:
    """Return `path:line` of the first record rejected for a reason, which editors and terminals can open."""
    return reason.first_path if reason.first_line is None else f"{reason.first_path}:{reason.first_line}"


def plots(usage: DailyUsage, state: Reconciliation) -> str:
    """Return the plots of a publication as a Markdown image that needs no other file."""
    image = base64.b64encode(publication_svg(usage, state).encode()).decode()
    return f"![Revenue and cost coverage by day, money at risk](data:image/svg+xml;base64,{image})"
