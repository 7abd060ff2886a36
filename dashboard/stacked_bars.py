"""A chart of stacked bars: the amounts of a step above the axis, and those that take away below it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal

from dashboard.chart_axes import amount_axis
from dashboard.chart_style import (
    COLOURS,
    HEIGHT,
    Chart,
    Dataset,
    field_titles,
    nominal,
    quantitative,
)

# The bars of fewer steps would be as wide as tiles.
FEW_STEPS = 5
# As many as fit.
LEGEND_COLUMNS = {"expr": "clamp(floor(width / 110), 2, 6)"}


@dataclass(frozen=True)
class Stack:
    """The stacked amounts of one step."""

    name: str
    """The label below the bar, which no other step has."""
    heading: str
    """The heading of the tooltip."""
    amounts: Mapping[str, Decimal]
    """By series. Amounts below 0 are drawn below the axis."""
    texts: Mapping[str, str]
    """The lines of the tooltip by title. All steps have the same titles."""
    links: Mapping[str, str] = field(default_factory=dict)
    """The addresses that a click on a part opens, by series."""
    is_over: bool = True
    """Whether the step is over. Otherwise its bar is pale."""


def stacked_bars(stacks: Sequence[Stack], title: str, colours: Sequence[str] = COLOURS) -> Chart:
    """Return a chart with one bar for each step, in order. `title` names the unit.

    `colours` are those of the series, in their order.
    """
    series = list(stacks[0].amounts) if stacks else []
    titles = list(stacks[0].texts) if stacks else []
    rows = Dataset.of(
        [
            {
                "step": stack.name,
                "series": name,
                "rank": rank,
                "value": float(amount),
                "said": stack.heading,
                "link": stack.links.get(name),
                "is_over": stack.is_over,
                **{f"s{number}": stack.texts[one] for number, one in enumerate(titles)},
            }
            for stack in stacks
            for rank, (name, amount) in enumerate(stack.amounts.items())
        ]
    )
    return Chart(
        {
            "data": {"name": rows.name},
            "mark": {"type": "bar"},
            "encoding": {
                "x": nominal(
                    "step",
                    title=None,
                    sort=[stack.name for stack in stacks],
                    axis={"labelAngle": 0, "labelOverlap": "greedy", "labelSeparation": 6},
                    scale={"padding": 0.2 if len(stacks) >= FEW_STEPS else 0.6},
                ),
                "y": quantitative("value", axis=amount_axis(title), stack="zero"),
                "order": {"field": "rank", "type": "quantitative"},
                "color": nominal(
                    "series",
                    title=None,
                    sort=series,
                    scale={"domain": series, "range": list(colours[: len(series)])},
                    legend={"orient": "top", "symbolType": "square", "columns": LEGEND_COLUMNS},
                ),
                "opacity": {"condition": {"test": "datum.is_over", "value": 1}, "value": 0.45},
                "tooltip": [
                    nominal("said", title="title"),
                    *(nominal(f"s{number}", title=one) for number, one in enumerate(field_titles(titles))),
                ],
                "href": nominal("link"),
            },
            "height": HEIGHT,
        },
        (rows,),
    )
