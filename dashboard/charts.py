"""Charts: marks show where a value lies, and tooltips its exact text.

The browser places marks by floats. That is the only use of a float for money, and no float is shown. Series
differ in colour, dash and shape, so that no reader has to distinguish colours. A click on a mark opens what
lies behind it.
"""

from collections.abc import Sequence

from dashboard.chart_axes import amount_axis
from dashboard.chart_points import Bar, Point, day_label, money_points, moved, point
from dashboard.chart_style import (
    BAR,
    BAR_STEP,
    BELOW_BARS,
    COLOURS,
    HEIGHT,
    NOT_OVER,
    Chart,
    Dataset,
    field_title,
    field_titles,
    nominal,
    quantitative,
)
from dashboard.line_chart import by_number, lines
from dashboard.snapshot import Row
from dashboard.stacked_bars import Stack, stacked_bars

__all__ = [
    "NOT_OVER",
    "Bar",
    "Chart",
    "Point",
    "Stack",
    "bars",
    "by_number",
    "day_label",
    "grouped_bars",
    "heat_map",
    "lines",
    "money_points",
    "moved",
    "point",
    "stacked_bars",
]

# The share of the highest value from which white text is easier to read than black.
DARK_FROM = 0.45
# The labels below bars that fit on a telephone.
TICKS = 6

# The bars of fewer steps would be as wide as tiles.
FEW_STEPS = 5
# The text of a cell is shown only where it fits.
FITS = "bandwidth('x') < 38 ? 0 : 1"


def bars(bars: Sequence[Bar], title: str) -> Chart:
    """Return a chart with one bar for each row, in order. Long names are cut, except in tooltips."""
    rows = Dataset.of(
        [{"name": one.name, "value": float(one.amount), "text": one.text, "link": one.link} for one in bars]
    )
    spec = {
        "data": {"name": rows.name},
        "mark": {"type": "bar", "color": COLOURS[0], "size": BAR},
        "encoding": {
            "x": quantitative("value", axis=amount_axis(title, most=TICKS)),
            "y": nominal(
                "name",
                title=None,
                sort=[one.name for one in bars],
                axis={"labelLimit": 180, "labelOverlap": False},
            ),
            "tooltip": [nominal("name", title="title"), nominal("text", title=field_title(title))],
            "href": nominal("link"),
        },
        # The height includes the axis.
        "height": BAR_STEP * max(1, len(bars)) + BELOW_BARS,
    }
    return Chart(spec, (rows,))


def grouped_bars(steps: Sequence[Row], series: Sequence[str], title: str) -> Chart:
    """Return a chart with one bar for each series side by side, for each step in order.

    A step has a `name`, a `said` and a `link`, the amounts and the texts of the series in `amounts` and
    `texts`, further lines of the tooltip in `notes` (by title), and `is_whole`: otherwise its bars are pale.
    """
    notes = list(steps[0]["notes"]) if steps else []
    titles = field_titles([*series, *notes])
    rows = Dataset.of(
        [
            {
                "step": step["name"],
                "series": name,
                "value": float(amount),
                "said": step["said"],
                "link": step["link"],
                "is_whole": step["is_whole"],
                **{
                    f"s{number}": text
                    for number, text in enumerate([*step["texts"], *step["notes"].values()])
                },
            }
            for step in steps
            for name, amount in zip(series, step["amounts"], strict=True)
        ]
    )
    looks = list(COLOURS[: len(series)])
    spec = {
        "data": {"name": rows.name},
        "mark": {"type": "bar", "cornerRadiusEnd": 2},
        "encoding": {
            "x": nominal(
                "step",
                title=None,
                sort=[step["name"] for step in steps],
                axis={"labelAngle": 0, "labelOverlap": "greedy", "labelSeparation": 6},
                scale={"padding": 0.3 if len(steps) >= FEW_STEPS else 0.6},
            ),
            "xOffset": nominal("series", sort=list(series)),
            "y": quantitative("value", axis=amount_axis(title)),
            "color": nominal(
                "series",
                title=None,
                sort=list(series),
                scale={"domain": list(series), "range": looks},
                legend={"orient": "top", "symbolType": "square"},
            ),
            "opacity": {"condition": {"test": "datum.is_whole", "value": 1}, "value": 0.45},
            "tooltip": [
                nominal("said", title="title"),
                *(nominal(f"s{number}", title=one) for number, one in enumerate(titles)),
            ],
            "href": nominal("link"),
        },
        "height": HEIGHT,
    }
    return Chart(spec, (rows,))


def heat_map(cells: Sequence[Row], title: str) -> Chart:
    """Return a heat map of cells.

    Each has a `row`, `column`, `value` and `link`, and the texts `text`, `short`, `said`, `note` and `opens`.
    """
    values = [cell | {"value": None if cell["value"] is None else float(cell["value"])} for cell in cells]
    highest = max((cell["value"] for cell in values if cell["value"] is not None), default=0)
    lowest = min((cell["value"] for cell in values if cell["value"] is not None), default=0)
    highest = max(highest, lowest + 1e-12) if highest <= 0 else highest
    shared = {
        "x": {
            "field": "column",
            "type": "ordinal",
            "title": "Months since the first payment",
            "axis": {"labelAngle": 0},
        },
        "y": {"field": "row", "type": "ordinal", "title": "First paid in", "sort": "ascending"},
        "tooltip": [
            nominal("said", title="title"),
            nominal("text", title=field_title(title)),
            nominal("note", title="Of"),
            nominal("opens", title="A click opens"),
        ],
        "href": nominal("link"),
    }
    # One hue from pale to dark is readable with any colour vision and in either theme.
    scale = {"range": ["#e8f1fa", "#08306b"], "domain": [min(0, lowest), highest]}
    rectangles = {
        "mark": {"type": "rect", "stroke": "#888", "strokeWidth": 0.5},
        "encoding": {**shared, "color": quantitative("value", legend=None, scale=scale)},
    }
    is_dark = f"datum.value > {highest * DARK_FROM!r}"
    labels = {
        "mark": {"type": "text", "fontSize": 11, "opacity": {"expr": FITS}},
        "encoding": {
            **shared,
            "text": nominal("short"),
            "color": {"condition": {"test": is_dark, "value": "#ffffff"}, "value": "#111111"},
        },
    }
    rows = Dataset.of(values)
    spec = {
        "data": {"name": rows.name},
        "layer": [rectangles, labels],
        "height": max(120, 30 * len({cell["row"] for cell in cells}) + 60),
    }
    return Chart(spec, (rows,))
