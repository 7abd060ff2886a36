"""A chart with its downloads: the exact values as CSV, and the picture as PNG. Neither needs the internet."""

import csv
import io
import re
from collections.abc import Mapping, Sequence
from datetime import date
from decimal import Decimal
from html import escape

import streamlit as st

from dashboard.charts import Bar, Chart, Point
from exports.encoding import FORMULA_START

Value = str | int | float | Decimal | date | None
FORMULA = re.compile(FORMULA_START)

# For the head of the page, once. Streamlit's own button for the picture is visible only under the pointer, so
# that ours presses it. The table beside it would show the floats that place the marks.
HEAD = """<style>
[data-testid="stElementToolbarButton"]:has(button[aria-label^="Show data"]) { display: none; }
#vg-tooltip-element { max-width: min(36rem, 94vw); }
#vg-tooltip-element h2 { overflow-wrap: anywhere; }
#vg-tooltip-element table tr td { overflow-wrap: anywhere; white-space: normal; vertical-align: top; }
#vg-tooltip-element table tr td.key { max-width: min(26rem, 55vw); }
#vg-tooltip-element table tr td.value {
  max-width: none; max-height: none; font-variant-numeric: tabular-nums;
}
@media (max-width: 640px) { #vg-tooltip-element { left: 4px !important; right: 4px; max-width: none; } }
.picture button {
  padding: 0; border: 0; color: inherit; background: transparent; font: inherit; font-size: .875rem;
  cursor: pointer;
}
.picture button:hover { text-decoration: underline; }
</style>
<script data-of="pictures">
window.pictures ||= document.addEventListener('click', (event) => {
  const button = event.target.closest('.picture button');
  if (!button) return;
  const label = `Download as PNG: ${button.dataset.chart}`;
  [...document.querySelectorAll('[data-testid=stElementToolbar] button')]
    .find((one) => one.getAttribute('aria-label') === label)?.click();
}) ?? true;
</script>"""


def chart_panel(chart: Chart, rows: Sequence[Point | Bar | Mapping[str, Value]], name: str, alt: str) -> None:
    """Draw a chart and its downloads.

    `rows` are the rows of the CSV. `name` names its file, and is unique on the page, as is `alt`, which
    describes the chart for screen readers.
    """
    if not rows:
        st.caption("No data in this period.")
        return
    st.vega_lite_chart(spec=chart.complete, alt=alt)
    exact = [_exact(row) for row in rows]
    with st.container(horizontal=True, vertical_alignment="center"):
        st.download_button(
            "CSV",
            lambda: csv_text(exact),
            f"{name}.csv",
            "text/csv",
            key=f"csv-{name}",
            help="The exact values of the chart.",
            on_click="ignore",
            type="tertiary",
            icon=":material/download:",
        )
        st.html(
            f'<span class="picture"><button type="button" data-chart="{escape(alt)}"'
            f' aria-label="Download the chart as PNG: {escape(alt)}">PNG</button></span>',
            width="content",
        )


def csv_text(rows: Sequence[Mapping[str, Value]]) -> str:
    """Return rows as CSV with exact values. Text that a spreadsheet would run gets a leading apostrophe."""
    file = io.StringIO()
    writer = csv.DictWriter(
        file, list(dict.fromkeys(name for row in rows for name in row)), lineterminator="\n"
    )
    writer.writeheader()
    writer.writerows({name: _cell(value) for name, value in row.items()} for row in rows)
    return file.getvalue()


def _cell(value: Value) -> str:
    match value:
        case None:
            return ""
        case str():
            return f"'{value}" if FORMULA.match(value) else value
        case Decimal():
            return f"{value:f}"
        case float():
            return repr(value)
        case date():
            return value.isoformat()
        case _:
            return str(value)


def _exact(row: Point | Bar | Mapping[str, Value]) -> Mapping[str, Value]:
    match row:
        case Point():
            return {
                "at": row.own_day or row.at,
                "series": row.series,
                "value": row.amount,
                "text": row.text,
            }
        case Bar():
            return {"name": row.name, "value": row.amount, "text": row.text}
        case _:
            return row
