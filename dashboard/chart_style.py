"""What all charts share: how they are written, and their colours, dashes, shapes and sizes."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from dashboard.snapshot import Row

Spec = dict[str, Any]
"""A part of a chart, as Vega-Lite specifies it.

Altair would write the same, in ten times the time: it copies every part and compares it with Vega-Lite's
schema. Tests do the latter.
"""

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


@dataclass(frozen=True)
class Dataset:
    """The rows of a chart, as Arrow. A list in the specification would be larger, and slower to write."""

    rows: bytes

    @classmethod
    def of(cls, values: Sequence[Row]) -> "Dataset":
        """Return the dataset of some rows, which all have the same fields."""
        table, sink = pa.Table.from_pylist(list(values)), pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table)
        return cls(sink.getvalue().to_pybytes())

    @property
    def name(self) -> str:
        """The name in the specification. Other rows have another name, so that the browser draws them."""
        return hashlib.sha256(self.rows).hexdigest()[:32]


@dataclass(frozen=True)
class Chart:
    """A chart, and the rows to which it refers by name."""

    spec: Spec
    datasets: tuple[Dataset, ...]

    @property
    def complete(self) -> Spec:
        """The specification with the rows, as Streamlit takes it."""
        return self.spec | {"datasets": {dataset.name: dataset.rows for dataset in self.datasets}}


def nominal(field: str, **more: Any) -> Spec:
    """Return a channel that shows a text."""
    return {"field": field, "type": "nominal", **more}


def quantitative(field: str, **more: Any) -> Spec:
    """Return a channel that shows a number."""
    return {"field": field, "type": "quantitative", **more}
