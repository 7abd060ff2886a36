"""Charts: marks show where a value lies, and tooltips its exact text.

The browser places marks by floats. That is the only use of a float for money, and no float is shown. Series
differ in colour, dash and shape, so that no reader has to distinguish colours.
"""

from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from typing import Any, Literal

import altair as alt
import pyarrow as pa

from dashboard import formats
from dashboard.snapshot import Row

# Okabe and Ito, "Color Universal Design" (2008), without yellow, which is hardly visible on white.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#7F7F7F")
DASHES = ([1, 0], [6, 3], [2, 2], [8, 3, 2, 3], [4, 4], [1, 3], [10, 2])
SHAPES = ("circle", "square", "triangle-up", "diamond", "cross", "triangle-down", "triangle-right")
HEIGHT = 320
LEGEND_COLUMNS = 4
# More points would touch each other.
MOST_POINTS = 62
# The text that fits into a cell of a heat map of a dozen months.
CELL_CHARACTERS = 10
# The share of the highest value from which white text is easier to read than black.
DARK_FROM = 0.45

Point = dict[str, Any]


def point(series: str, starts_on: date, amount: Decimal | float | int | None, text: str) -> Point:
    """Return a point of a series, with the exact text of its value."""
    # Midnight in the browser's own time zone, so that a day is shown as that day everywhere.
    return {
        "series": series,
        "at": f"{starts_on.isoformat()}T00:00:00",
        "day": starts_on.isoformat(),
        "value": None if amount is None else float(amount),
        "text": text,
    }


def money_points(rows: Sequence[Row], measures: dict[str, str], currency: str) -> list[Point]:
    """Return the points of `measures` (column: name of the series) in rows with `starts_on`."""
    return [
        point(series, row["starts_on"], row[column], formats.with_currency(row[column], currency))
        for column, series in measures.items()
        for row in rows
    ]


def lines(
    points: Sequence[Point], title: str, *, interpolate: Literal["linear", "step-after"] = "linear"
) -> alt.Chart:
    """Return a chart with one line for each series over time. `title` names the unit."""
    return _lines(
        points,
        alt.X("at:T", title=None, axis=alt.Axis(labelOverlap=True)),
        title,
        alt.Tooltip("day:N", title="From"),
        interpolate,
    )


def by_number(points: Sequence[Point], across: str, title: str) -> alt.Chart:
    """Return a chart with one line for each series over whole numbers. `across` and `title` name the axes."""
    number = alt.X("at:Q", title=across, axis=alt.Axis(tickMinStep=1, format="d"))
    return _lines(points, number, title, alt.Tooltip("at:Q", title=across), "linear")


def _chart(values: Sequence[Point]) -> alt.Chart:
    # As an Arrow table: Altair would validate every value of a list against its schema, which takes longer
    # than the query.
    return alt.Chart(pa.Table.from_pylist(list(values)))


def _lines(
    points: Sequence[Point],
    x: alt.X,
    title: str,
    position: alt.Tooltip,
    interpolate: Literal["linear", "step-after"],
) -> alt.Chart:
    series = list(dict.fromkeys(one["series"] for one in points))
    points_too = len({one["at"] for one in points}) <= MOST_POINTS
    # Points have no edge: dashed like the lines, it would look ragged.
    edge = 0 if points_too else alt.Undefined
    legend = (
        alt.Legend(
            orient="top", symbolLimit=0, labelLimit=300, columns=LEGEND_COLUMNS, symbolStrokeWidth=edge
        )
        if len(series) > 1
        else None
    )

    def encoded_by(kind: type[Any], kinds: Sequence[Any], legend: alt.Legend | None) -> Any:
        scale = alt.Scale(domain=series, range=[kinds[number % len(kinds)] for number in range(len(series))])
        return kind("series:N", title=None, sort=series, scale=scale, legend=legend)

    chart: alt.Chart = (
        _chart(points)
        .mark_line(point={"filled": True, "size": 36} if points_too else False, interpolate=interpolate)
        .encode(
            x=x,
            y=alt.Y("value:Q", title=title, scale=alt.Scale(zero=True)),
            color=encoded_by(alt.Color, COLOURS, legend),
            strokeDash=encoded_by(alt.StrokeDash, DASHES, None),
            **({"shape": encoded_by(alt.Shape, SHAPES, legend)} if points_too else {}),
            tooltip=[
                position,
                alt.Tooltip("series:N", title="Series"),
                alt.Tooltip("text:N", title="Value"),
            ],
        )
        .properties(height=HEIGHT)
    )
    return chart


def bars(rows: Sequence[tuple[str, Decimal | int, str]], title: str) -> alt.Chart:
    """Return a chart with one bar for each row (name, value, text), in the given order."""
    values = [{"name": name, "value": float(amount), "text": text} for name, amount, text in rows]
    chart: alt.Chart = (
        _chart(values)
        .mark_bar(color=COLOURS[0])
        .encode(
            x=alt.X("value:Q", title=title),
            y=alt.Y(
                "name:N",
                title=None,
                sort=[name for name, _, _ in rows],
                axis=alt.Axis(labelLimit=260, labelOverlap=False),
            ),
            tooltip=[alt.Tooltip("name:N", title="Name"), alt.Tooltip("text:N", title="Value")],
        )
        .properties(height=max(60, 26 * len(values)))
    )
    return chart


def heat_map(cells: Sequence[Row], title: str) -> alt.LayerChart | alt.FacetChart:
    """Return a heat map of cells with `row`, `column`, `value`, `text`, `short` and `note`."""
    values = [cell | {"value": None if cell["value"] is None else float(cell["value"])} for cell in cells]
    highest = max((cell["value"] for cell in values if cell["value"] is not None), default=0) or 1
    base = _chart(values).encode(
        x=alt.X("column:O", title="Months since the first payment", axis=alt.Axis(labelAngle=0)),
        y=alt.Y("row:O", title="First paid in", sort="ascending"),
        tooltip=[
            alt.Tooltip("row:N", title="First paid in"),
            alt.Tooltip("column:N", title="Months since"),
            alt.Tooltip("text:N", title=title),
            alt.Tooltip("note:N", title="Of"),
        ],
    )
    # One hue from pale to dark is readable with any colour vision and in either theme.
    rectangles = base.mark_rect(stroke="#888", strokeWidth=0.5).encode(
        color=alt.Color(
            "value:Q", title=title, scale=alt.Scale(range=["#e8f1fa", "#08306b"], domain=[0, highest])
        ),
    )
    labels = base.mark_text(fontSize=11).encode(
        text="short:N",
        color=alt.condition(
            alt.datum.value > highest * DARK_FROM, alt.value("#ffffff"), alt.value("#111111")
        ),
    )
    rows = len({cell["row"] for cell in cells})
    return alt.layer(rectangles, labels).properties(height=max(120, 30 * rows + 60))
