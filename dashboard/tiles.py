"""Rows of tiles: numbers in frames."""

from collections.abc import Sequence
from typing import NamedTuple

import streamlit as st


class Tile(NamedTuple):
    """A number with its label and its definition, and how it changed."""

    label: str
    value: str
    help: str
    change: str | None = None
    """The change since the period before, with its sign. A hyphen means less."""
    before: str | None = None
    """The value of the period before; None for no comparison."""
    is_cost: bool = False
    """Whether a higher value is worse."""


def tiles(row: Sequence[Tile]) -> None:
    """Draw a row of tiles."""
    for column, tile in zip(st.columns(len(row)), row, strict=True):
        before = None if tile.before is None else f"before: {tile.before}"
        is_even = tile.change is None or tile.change.startswith("0.0 ")
        column.metric(
            tile.label,
            tile.value,
            # Without a delta, Streamlit shows no description.
            tile.change or before,
            delta_color="off" if is_even else "inverse" if tile.is_cost else "normal",
            delta_arrow="off" if is_even else "auto",
            delta_description=before if tile.change else None,
            border=True,
            help=tile.help,
        )
