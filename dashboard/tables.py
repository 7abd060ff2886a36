"""Tables of HTML with text in every cell, sorted and paged on the server.

A cell shows the whole text: it wraps, or the table scrolls. Streamlit's own grid is drawn on a canvas, which
cuts long amounts without a mark, cannot contain links, and is as wide on a phone as on a desk. An HTML table
can also be copied and read aloud, and on a narrow screen each row becomes a card.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import streamlit as st

from dashboard import formats
from dashboard.context import same_page
from dashboard.queries.paging import PageRequest
from dashboard.snapshot import Row

ROWS = 50
# A folded cell shows as many characters.
FOLDED_FROM = 80
SORT, DESCENDING, PAGE = "sort", "desc", "page"
# For the head of the page, once. Lines and shades are made from the colour of the text, so that they fit a
# light and a dark theme.
STYLE = """<style>
.table { overflow: auto; max-height: 42rem; border-radius: .5rem;
  border: 1px solid color-mix(in srgb, currentColor 20%, transparent); }
.table table { border-collapse: collapse; width: 100%; margin: 0; font-size: .875rem;
  font-variant-numeric: tabular-nums; }
.table :is(th, td) { padding: .3rem .6rem; text-align: left; vertical-align: top; border: 0;
  border-bottom: 1px solid color-mix(in srgb, currentColor 12%, transparent); }
.table tr:last-child td { border-bottom: 0; }
.table th { position: sticky; top: 0; font-weight: 600; vertical-align: bottom; backdrop-filter: blur(1rem);
  background: color-mix(in srgb, currentColor 6%, transparent); }
.table td { overflow-wrap: break-word; min-width: 6rem; max-width: 26rem; }
.table .number { text-align: right; }
.table td.number { white-space: nowrap; min-width: 0; max-width: none; }
.table .unbroken { white-space: nowrap; }
.table a { color: inherit; }
.table th a { text-decoration: none; }
.table th a:is(:hover, :focus) { text-decoration: underline; }
.table [title] { text-decoration: underline dotted; text-underline-offset: .2em; cursor: help; }
.table details code { white-space: pre-wrap; overflow-wrap: anywhere; color: inherit; background: none; }
@media (max-width: 640px) {
  .table { max-height: none; }
  .table thead { position: absolute; clip-path: inset(50%); height: 1px; overflow: hidden; }
  .table :is(table, tbody, tr, td) { display: block; }
  .table tr { padding: .4rem 0; border-bottom: 2px solid color-mix(in srgb, currentColor 20%, transparent); }
  .table td, .table td.number { display: flex; justify-content: space-between; gap: 1rem; max-width: none;
    border: 0; padding: .15rem .6rem; text-align: right; white-space: normal; overflow-wrap: anywhere; }
  .table td::before { content: attr(data-label); flex: none; max-width: 45%; text-align: left; opacity: .7; }
}
</style>"""


@dataclass(frozen=True)
class Column:
    """A column of a table, and the text that it shows for a row."""

    name: str
    """The column of the query, which sorts the table."""
    label: str
    text_of: Callable[[Row], str]
    right: bool = False
    """Whether the texts are numbers: aligned at the right, and never broken into two lines."""
    unbroken: bool = False
    """Whether the texts are short, such as times, and never broken into two lines."""
    help: str | None = None
    link: Callable[[Row], str | None] | None = None
    """The address that a cell leads to."""
    folded: bool = False
    """Whether a long text is folded, so that it has to be opened."""


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
    return Column(
        name,
        f"{label} ({timezone})",
        lambda row: formats.instant(row[name], timezone),
        unbroken=True,
        **more,
    )


def day_column(name: str, label: str, **more: Any) -> Column:
    """Return a column of reporting days."""
    return Column(name, label, lambda row: formats.day(row[name]), unbroken=True, **more)


def table(rows: Sequence[Row], columns: Sequence[Column], *, alt: str) -> None:
    """Draw a table of `rows`. `alt` is its name for screen readers."""
    if not rows:
        st.caption("None.")
        return
    st.html(table_html(rows, columns, alt))


def table_html(
    rows: Sequence[Row], columns: Sequence[Column], alt: str, headers: Mapping[str, str] | None = None
) -> str:
    """Return a table as HTML. `headers` has the HTML of headers that are more than a label, by column."""
    head = "".join(
        f'<th scope="col"{_class(column)}>{(headers or {}).get(column.name, _label(column))}</th>'
        for column in columns
    )
    body = "".join(f"<tr>{''.join(_cell(row, column) for column in columns)}</tr>" for row in rows)
    # The frame scrolls, so that the keyboard must be able to reach it.
    name = escape(alt)
    return (
        f'<div class="table" tabindex="0" role="region" aria-label="{name}"><table aria-label="{name}">'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _class(column: Column) -> str:
    return ' class="number"' if column.right else ' class="unbroken"' if column.unbroken else ""


def _label(column: Column) -> str:
    help_text = f' title="{escape(column.help)}"' if column.help else ""
    return f"<span{help_text}>{escape(column.label)}</span>"


def _cell(row: Row, column: Column) -> str:
    # On one line, because Streamlit removes the indentation of others.
    text = escape(column.text_of(row)).replace("\n", "&#10;")
    if column.folded and len(text) > FOLDED_FROM:
        start = escape(column.text_of(row)[:FOLDED_FROM])
        text = f"<details><summary>{start}…</summary><code>{text}</code></details>"
    elif column.link and (address := column.link(row)) is not None:
        text = f'<a href="{escape(address)}" target="_self">{text}</a>'
    return f'<td{_class(column)} data-label="{escape(column.label)}">{text}</td>'


def folded_table(label: str, rows: Sequence[Row], columns: Sequence[Column], *, key: str, alt: str) -> None:
    """Draw a table in an expander, only while it is open."""
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
    remedy: str = "Choose a longer period, or remove a filter in the sidebar.",
) -> None:
    """Draw one page of a table of any size, sorted by a column that the user chooses.

    The address keeps order and page, in parameters with `prefix`. `remedy` says what helps if no row matches.
    """
    if not count:
        st.info(f"Nothing matches. {remedy}", icon=":material/filter_alt_off:")
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
    is_descending = middle.toggle("Largest first", descending, key=descending_key, bind="query-params")
    if st.session_state.get(page_key, 1) > pages:
        st.session_state[page_key] = pages
    page = int(right.number_input(f"Page of {pages:,}", 1, pages, 1, key=page_key, bind="query-params"))
    offset = (page - 1) * ROWS
    rows = fetch(PageRequest(sort or first, is_descending, offset, ROWS))
    summary.markdown(f"{offset + 1:,} to {offset + len(rows):,} of **{count:,}**")

    def header(column: Column) -> str:
        """Return a link that sorts by the column, and reverses the order of the sorted one."""
        is_sorted = column.name == sort
        order = not is_descending if is_sorted else True
        # Defaults are left out, as the widgets leave them out.
        changes = {
            sort_key: None if column.name == first else column.label,
            descending_key: None if order == descending else str(order).lower(),
            page_key: None,
        }
        arrow = (" ↓" if is_descending else " ↑") if is_sorted else ""
        return f'<a href="{escape(same_page(**changes))}" target="_self">{_label(column)}{arrow}</a>'

    st.html(table_html(rows, columns, alt, {column.name: header(column) for column in columns}))


def fields(pairs: Sequence[tuple[str, str]], *, alt: str) -> None:
    """Draw the fields of one record, one below the other."""
    table(
        [{"field": name, "value": value} for name, value in pairs],
        [text_column("field", "Field"), text_column("value", "Value")],
        alt=alt,
    )
