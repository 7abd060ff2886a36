"""Tables with text in every cell, sorted and paged on the server."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import streamlit as st

from dashboard import formats
from dashboard.queries.paging import PageRequest
from dashboard.snapshot import Row

ROWS = 50
SORT, DESCENDING, PAGE = "sort", "desc", "page"


@dataclass(frozen=True)
class Column:
    """A column of a table, and the text that it shows for a row."""

    name: str
    """The column of the query, which sorts the table."""
    label: str
    text_of: Callable[[Row], str]
    right: bool = False
    help: str | None = None


def text_column(name: str, label: str, **more: Any) -> Column:
    """Return a column of texts."""
    return Column(name, label, lambda row: formats.text(row[name]), **more)


def count_column(name: str, label: str, **more: Any) -> Column:
    """Return a column of counts."""
    return Column(name, label, lambda row: formats.whole(row[name]), right=True, **more)


def money_column(name: str, label: str, currency: str | Callable[[Row], str | None], **more: Any) -> Column:
    """Return a column of exact amounts, in one currency or in that of each row."""
    of = currency if callable(currency) else lambda row: currency
    return Column(name, label, lambda row: formats.money(row[name], of(row)), right=True, **more)


def share_column(name: str, label: str, **more: Any) -> Column:
    """Return a column of ratios in per cent."""
    return Column(name, label, lambda row: formats.share(row[name]), right=True, **more)


def average_column(name: str, label: str, currency: str, **more: Any) -> Column:
    """Return a column of averages of money, for example per user."""
    return Column(name, label, lambda row: formats.average(row[name], currency), right=True, **more)


def instant_column(name: str, label: str, timezone: str, **more: Any) -> Column:
    """Return a column of instants in reporting time. The header names the time zone."""
    return Column(name, f"{label} ({timezone})", lambda row: formats.instant(row[name], timezone), **more)


def day_column(name: str, label: str, **more: Any) -> Column:
    """Return a column of reporting days."""
    return Column(name, label, lambda row: formats.day(row[name]), **more)


def table(
    rows: Sequence[Row], columns: Sequence[Column], *, alt: str, opens: Callable[[Row], None] | None = None
) -> None:
    """Draw a table of `rows`. `opens` is called with a row that is ticked, before the script runs again."""
    if not rows:
        st.caption("None.")
        return
    key = f"table-{alt}"
    # Column selection is enabled because it disables the browser's own sorting, which compares amounts as
    # text.
    st.dataframe(
        _cells(rows, columns),
        column_config=_layout(columns),
        hide_index=True,
        on_select=lambda: _open(key, rows, opens),
        selection_mode=["single-row", "single-column"] if opens else ["single-column"],
        key=key,
        alt=alt,
        row_height=32,
        height=min(36 + 32 * len(rows), 640),
    )


def folded_table(label: str, rows: Sequence[Row], columns: Sequence[Column], *, key: str, alt: str) -> None:
    """Draw a table in an expander, only while it is open: it costs a browser more than the chart above."""
    with st.expander(label, key=key, on_change="rerun") as part:
        if part.open:
            table(rows, columns, alt=alt)


def paged_table(
    fetch: Callable[[PageRequest], Sequence[Row]],
    count: int,
    columns: Sequence[Column],
    *,
    alt: str,
    prefix: str = "",
    first: str,
    descending: bool = True,
    opens: Callable[[Row], None] | None = None,
) -> None:
    """Draw one page of a table of any size, sorted by a column that the user chooses.

    The address keeps order and page, in parameters with `prefix`.
    """
    if not count:
        st.info(
            "Nothing matches. Choose a longer period, or remove a filter in the sidebar.",
            icon=":material/filter_alt_off:",
        )
        return
    sort_key, descending_key, page_key = prefix + SORT, prefix + DESCENDING, prefix + PAGE
    labels = {column.name: column.label for column in columns}
    pages = -(-count // ROWS)
    left, middle, right, summary = st.columns([3, 2, 2, 3], vertical_alignment="bottom")
    sort = left.selectbox(
        "Sorted by",
        list(labels),
        index=list(labels).index(first),
        format_func=labels.__getitem__,
        key=sort_key,
        bind="query-params",
    )
    descending = middle.toggle("Largest first", descending, key=descending_key, bind="query-params")
    if st.session_state.get(page_key, 1) > pages:
        st.session_state[page_key] = pages
    page = int(right.number_input(f"Page of {pages:,}", 1, pages, 1, key=page_key, bind="query-params"))
    offset = (page - 1) * ROWS
    rows = fetch(PageRequest(sort or first, descending, offset, ROWS))
    summary.markdown(f"{offset + 1:,} to {offset + len(rows):,} of **{count:,}**")
    grid_key = f"{prefix}grid-{sort}-{descending}-{page}"

    def on_select() -> None:
        """Sort by a clicked header, reverse the order if it is clicked again, or open a ticked row."""
        _open(grid_key, rows, opens)
        chosen = st.session_state[grid_key]["selection"]["columns"]
        name = next((name for name, label in labels.items() if chosen and label == chosen[0]), None)
        if name is not None:
            st.session_state[descending_key] = not descending if name == sort else True
            st.session_state[sort_key] = name
            st.session_state[page_key] = 1

    st.dataframe(
        _cells(rows, columns),
        column_config=_layout(columns),
        hide_index=True,
        on_select=on_select,
        selection_mode=["single-row", "single-column"] if opens else ["single-column"],
        key=grid_key,
        alt=alt,
        row_height=32,
        height=min(36 + 32 * len(rows), 640),
    )
    st.caption(
        "Click a header to sort by it." + (" Tick the box at the left of a row to open it." if opens else "")
    )


def fields(pairs: Sequence[tuple[str, str]], *, alt: str) -> None:
    """Draw the fields of one record, one below the other."""
    table(
        [{"field": name, "value": value} for name, value in pairs],
        [text_column("field", "Field"), text_column("value", "Value")],
        alt=alt,
    )


def _cells(rows: Sequence[Row], columns: Sequence[Column]) -> dict[str, list[str]]:
    return {column.label: [column.text_of(row) for row in rows] for column in columns}


def _layout(columns: Sequence[Column]) -> dict[str, Any]:
    return {
        column.label: st.column_config.TextColumn(
            column.label, alignment="right" if column.right else "left", help=column.help
        )
        for column in columns
    }


def _open(key: str, rows: Sequence[Row], opens: Callable[[Row], None] | None) -> None:
    chosen = st.session_state[key]["selection"]["rows"]
    if opens and chosen:
        opens(rows[chosen[0]])
