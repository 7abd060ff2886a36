"""The colours, dashes, shapes and sizes of charts."""

from collections.abc import Sequence
from typing import Any

import altair as alt
import pyarrow as pa

from dashboard.snapshot import Row

# Okabe and Ito, "Color Universal Design" (2008), without yellow, which is hardly visible on white, and
# without grey, which is for the period before.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00")
GREY = "#8C8C8C"
DASHES = ([1, 0], [6, 3], [10, 2], [8, 3, 2, 3], [4, 4], [12, 3, 3, 3])
# Of a step that is not over yet.
DOTTED = [1, 4]
SHAPES = ("circle", "square", "triangle-up", "diamond", "cross", "triangle-down")
HEIGHT = 320
# More points would touch each other.
MOST_POINTS = 62
BAR, BAR_STEP, BELOW_BARS = 18, 26, 58
NOT_OVER = "not over yet"
# The tooltip draws a field of one of these names as a heading or a picture.
SPECIAL_FIELDS = ("title", "image")
# A tooltip has a line for each series.
LONGEST_TITLE, START, END = 60, 36, 20
# The characters that end or change a text in an expression of Vega, beside the quotation mark.
ESCAPES = str.maketrans({"\\": r"\\", "\n": r"\n", "\r": r"\r", "\u2028": r"\u2028", "\u2029": r"\u2029"})


def field_title(name: str) -> str:
    """Return the title of a field of a tooltip, for any text. Vega-Lite escapes only quotation marks."""
    return f"{name} (series)" if name in SPECIAL_FIELDS else name.translate(ESCAPES)


def field_titles(names: Sequence[str]) -> list[str]:
    """Return the titles of the fields of one tooltip. Each is short, and differs from the others.

    Long names keep their start and end, because names of models often differ at the end.
    """
    titles: list[str] = []
    for name in names:
        cut = name if len(name) <= LONGEST_TITLE else f"{name[:START]}…{name[-END:]}"
        titles.append(f"{cut} ({len(titles) + 1})" if cut in titles else cut)
    return [field_title(title) for title in titles]


class Layers(alt.LayerChart):  # type: ignore[misc]
    """Charts on top of each other, without a comparison with Vega-Lite's schema, which takes as long as all
    the rest. A test compares them.
    """

    def to_dict(self, validate: bool = False, **options: Any) -> dict[str, Any]:
        """See Altair. Streamlit does not say whether to validate."""
        chart: dict[str, Any] = super().to_dict(validate=validate, **options)
        return chart


def arrow(values: Sequence[Row]) -> alt.Chart:
    """Return a chart without marks of rows.

    They are an Arrow table: Altair would validate every value of a list against its schema, which takes
    longer than the query.
    """
    return alt.Chart(pa.Table.from_pylist(list(values)))
