"""Charts: marks show where a value lies, and tooltips its exact text.

The browser places marks by floats. That is the only use of a float for money, and no float is shown. Series
differ in colour, dash and shape, so that no reader has to distinguish colours. A click on a mark opens what
lies behind it.
"""

from collections.abc import Sequence

import altair as alt

from dashboard.chart_axes import amount_axis
from dashboard.chart_points import Bar, Point, day_label, money_points, moved, point
from dashboard.chart_style import BAR, BAR_STEP, BELOW_BARS, COLOURS, NOT_OVER, Layers, arrow, field_title
from dashboard.line_chart import by_number, lines
from dashboard.snapshot import Row

__all__ = [
    "NOT_OVER",
    "Bar",
    "Point",
    "bars",
    "by_number",
    "day_label",
    "heat_map",
    "lines",
    "money_points",
    "moved",
    "point",
]

# The share of the highest value from which white text is easier to read than black.
DARK_FROM = 0.45
# The labels below bars that fit on a telephone.
TICKS = 6

# The text of a cell is shown only where it fits.
FITS = "bandwidth('x') < 38 ? 0 : 1"


def bars(bars: Sequence[Bar], title: str) -> alt.Chart:
    """Return a chart with one bar for each row, in order. Long names are cut, except in tooltips."""
    values = [
        {"name": one.name, "value": float(one.amount), "text": one.text, "link": one.link} for one in bars
    ]
    chart: alt.Chart = (
        arrow(values)
        .mark_bar(color=COLOURS[0], size=BAR)
        .encode(
            x=alt.X("value:Q", axis=amount_axis(title, most=TICKS)),
            y=alt.Y(
                "name:N",
                title=None,
                sort=[one.name for one in bars],
                axis=alt.Axis(labelLimit=180, labelOverlap=False),
            ),
            tooltip=[alt.Tooltip("name:N", title="title"), alt.Tooltip("text:N", title=field_title(title))],
            href="link:N",
        )
        # The height includes the axis.
        .properties(height=BAR_STEP * max(1, len(values)) + BELOW_BARS)
    )
    return chart


def heat_map(cells: Sequence[Row], title: str) -> alt.LayerChart:
    """Return a heat map of cells.

    Each has a `row`, `column`, `value` and `link`, and the texts `text`, `short`, `said`, `note` and `opens`.
    """
    values = [cell | {"value": None if cell["value"] is None else float(cell["value"])} for cell in cells]
    highest = max((cell["value"] for cell in values if cell["value"] is not None), default=0)
    lowest = min((cell["value"] for cell in values if cell["value"] is not None), default=0)
    highest = max(highest, lowest + 1e-12) if highest <= 0 else highest
    base = arrow(values).encode(
        x=alt.X("column:O", title="Months since the first payment", axis=alt.Axis(labelAngle=0)),
        y=alt.Y("row:O", title="First paid in", sort="ascending"),
        tooltip=[
            alt.Tooltip("said:N", title="title"),
            alt.Tooltip("text:N", title=field_title(title)),
            alt.Tooltip("note:N", title="Of"),
            alt.Tooltip("opens:N", title="A click opens"),
        ],
        href="link:N",
    )
    # One hue from pale to dark is readable with any colour vision and in either theme.
    rectangles = base.mark_rect(stroke="#888", strokeWidth=0.5).encode(
        color=alt.Color(
            "value:Q",
            legend=None,
            scale=alt.Scale(range=["#e8f1fa", "#08306b"], domain=[min(0, lowest), highest]),
        ),
    )
    labels = base.mark_text(fontSize=11, opacity=alt.ExprRef(FITS)).encode(
        text="short:N",
        color=alt.condition(
            alt.datum.value > highest * DARK_FROM, alt.value("#ffffff"), alt.value("#111111")
        ),
    )
    rows = len({cell["row"] for cell in cells})
    return Layers(layer=[rectangles, labels]).properties(height=max(120, 30 * rows + 60))
