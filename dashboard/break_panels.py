"""What the pages of payments and of costs share about open breaks: the verdict, tiles, help, history."""

from collections.abc import Callable, Iterable, Sequence
from html import escape
from typing import Protocol

import streamlit as st

from dashboard import formats
from dashboard.snapshot import Row
from dashboard.tables import Column, instant_column, table, text_column

# More would not fit side by side. The table below has them all.
TILES = 4


class BreakGroup(Protocol):
    """Open breaks of one kind."""

    @property
    def priority(self) -> int:
        """The priority, 1 is the highest."""

    @property
    def cases(self) -> int:
        """The number of cases."""


class Help(Protocol):
    """What a break means, and what a person does about it."""

    @property
    def meaning(self) -> str:
        """What has happened."""

    @property
    def remedy(self) -> str:
        """What to do."""


def count_breaks(breaks: Iterable[BreakGroup]) -> int:
    """Return the number of open breaks."""
    return sum(group.cases for group in breaks)


def verdict(breaks: Sequence[BreakGroup], *, incomplete: str | None, complete: str) -> None:
    """Draw how many breaks are open. Without any, draw what is `incomplete`, or that all is `complete`."""
    broken = count_breaks(breaks)
    urgent = count_breaks(group for group in breaks if group.priority == 1)
    if broken:
        of_priority_1 = f"**{urgent:,} of priority 1**" if urgent else "none of priority 1"
        st.warning(
            f"**{formats.counted(broken, 'open break')}**, {of_priority_1}.", icon=":material/warning:"
        )
    elif incomplete:
        st.warning(incomplete, icon=":material/warning:")
    else:
        st.success(complete, icon=":material/check_circle:")


def tiles(currencies: Sequence[Row], metric: Callable[[Row], object]) -> None:
    """Draw a tile for each of the first currencies; `metric` draws the amount of a row."""
    for column, row in zip(st.columns(TILES), currencies, strict=False):
        with column:
            metric(row)
            st.caption(f"{formats.counted(row['cases'], 'break')}, {row['urgent_cases']:,} of priority 1")
    if len(currencies) > TILES:
        more = formats.counted(len(currencies) - TILES, "more currency", "more currencies")
        st.caption(f"{more} in the table.")


def help_panel(
    rows: Sequence[Row], words_for: Callable[[str], str], help_for: Callable[[str], Help], key: str
) -> None:
    """Draw what the types of breaks in `rows` mean, and what to do about each."""
    with st.expander("What the breaks mean, and what to do", key=key):
        for code in dict.fromkeys(row["break_type"] for row in rows):
            known = help_for(code)
            st.html(
                f"<p><strong>{escape(words_for(code))}</strong> <small>{escape(code)}</small><br>"
                f"{escape(known.meaning)} {escape(known.remedy)}</p>"
            )


def history_table(rows: Sequence[Row], words_for: Callable[[str], str], timezone: str) -> None:
    """Draw when the breaks of a case opened and closed."""
    st.markdown("**History of breaks**")
    table(
        rows,
        [
            Column("break_type", "Break", lambda row: words_for(row["break_type"])),
            instant_column("opened_at", "Opened", timezone),
            instant_column("closed_at", "Closed", timezone),
            text_column("break_type", "Code"),
        ],
        alt="History of the case",
    )
