"""Rows of tiles: numbers in frames."""

from collections.abc import Sequence
from typing import NamedTuple

import streamlit as st


class Tile(NamedTuple):
    """A number with its label and its definition."""

    label: str
    value: str
    help: str


def tiles(row: Sequence[Tile]) -> None:
    """Draw a row of tiles."""
    for column, tile in zip(st.columns(len(row)), row, strict=True):
        column.metric(tile.label, tile.value, border=True, help=tile.help)
