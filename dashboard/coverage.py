"""Cost, profit and margin as far as costs are known. Without a cost, profit is only an upper bound."""

from collections.abc import Sequence

import streamlit as st

from dashboard import formats
from dashboard.measures import MEASURES
from dashboard.snapshot import Row
from dashboard.tables import Column, share_column

AT_MOST = "≤ "
NOTE = (
    "Profit is too high where cost coverage is below 100 %: ≤ marks such a profit or margin. A dash means"
    " that no cost is known; such charges count with their whole revenue in the profit of all."
)


def is_unknown(row: Row) -> bool:
    """Return whether charges can have a cost, but none is known."""
    if "counted_charges" in row:
        return 0 < int(row["counted_charges"]) <= int(row["charges_without_cost"])
    if "cost_coverage" in row:
        return bool(row["cost_coverage"] == 0)
    # `rpt_users` has neither. There, the cost per charge is NULL if no cost is known.
    return bool(row["charges_without_cost"]) and row["cost_to_serve"] is None and not row["provider_cost"]


def is_incomplete(row: Row) -> bool:
    """Return whether some cost is unknown, so that profit and margin are too high."""
    if "charges_without_cost" in row:
        return bool(row["charges_without_cost"])
    return row["cost_coverage"] is not None and row["cost_coverage"] < 1


def cost(row: Row, currency: str) -> str:
    """Return the provider cost, a dash if it is unknown."""
    return formats.NOTHING if is_unknown(row) else formats.money(row["provider_cost"], currency)


def profit(row: Row, currency: str) -> str:
    """Return the profit, a dash if no cost is known, marked with ≤ if some cost is not."""
    return formats.NOTHING if is_unknown(row) else _marked(row, formats.money(row["profit"], currency))


def short_profit(row: Row, currency: str) -> str:
    """Return `profit`, rounded to what is read at a glance."""
    return formats.NOTHING if is_unknown(row) else _marked(row, formats.short_money(row["profit"], currency))


def margin(row: Row) -> str:
    """Return the margin, a dash if no cost is known, marked with ≤ if some cost is not."""
    return formats.NOTHING if is_unknown(row) else _marked(row, formats.share(row["margin"]))


def _marked(row: Row, text: str) -> str:
    if not is_incomplete(row) or text == formats.NOTHING or text.startswith("<"):
        return text
    # `formats.share` rounds neither to 0 nor to 100 per cent.
    return AT_MOST + ("100.0 %" if text.startswith(">") else text)


def cost_columns(currency: str) -> list[Column]:
    """Return the columns of provider cost, profit, margin and cost coverage."""
    code = currency.upper()
    return [
        Column("provider_cost", f"Provider cost ({code})", lambda row: cost(row, currency), right=True),
        Column("profit", f"Profit ({code})", lambda row: profit(row, currency), right=True),
        Column("margin", "Margin", margin, right=True),
        share_column("cost_coverage", "Cost coverage", help=MEASURES["cost_coverage"].meaning),
    ]


def note(rows: Sequence[Row]) -> None:
    """Draw the note below a table, if it has a profit that is too high."""
    if any(map(is_incomplete, rows)):
        st.caption(f":material/info: {NOTE}")
