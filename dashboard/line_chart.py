"""Line charts with a crosshair: hovering anywhere shows the texts of all series at that step.

Bands across the chart, one for each step, catch the pointer. They lie above the lines. Points lie above the
bands, so that a click on a point opens more precisely what lies behind it.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import date, timedelta
from itertools import groupby, pairwise
from typing import Any, Literal

from dashboard import formats
from dashboard.chart_axes import Unit, amount_axis, milliseconds, time_axis
from dashboard.chart_points import Point, day_label
from dashboard.chart_style import (
    COLOURS,
    DASHES,
    DOTTED,
    GREY,
    HEIGHT,
    MOST_POINTS,
    NOT_OVER,
    SHAPES,
    Chart,
    Dataset,
    Spec,
    field_titles,
    nominal,
    quantitative,
)
from dashboard.queries.growth import PeriodKind
from dashboard.queries.usage import Grain
from dashboard.snapshot import Row

Interpolation = Literal["linear", "step-after"]

# As many as fit, at most four.
COLUMNS = "clamp(floor(width / 210), 1, 4)"
HOVER: Spec = {
    "name": "hover",
    "select": {"type": "point", "on": "pointerover", "clear": "pointerout", "fields": ["step"]},
}


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def lines(
    points: Sequence[Point],
    title: str,
    *,
    interpolate: Interpolation = "linear",
    grain: Grain | PeriodKind = "day",
    unit: Unit = "number",
    area: str | None = None,
    grey: Collection[str] = (),
    partial: Collection[date] = (),
    links: Mapping[date, str] | None = None,
) -> Chart:
    """Return a chart with one line for each series over time. `title` names the unit.

    `area` names a series that is filled, `grey` those of the period before. Steps in `partial` are not over
    yet: they are dotted and hollow. A click on a step opens its address in `links`.
    """
    days = sorted({one.at for one in points if isinstance(one.at, date)})
    axis = time_axis(_every_day(days) if grain == "day" else days, grain)
    x = {"field": "at", "type": "temporal", "axis": axis, "scale": {"type": "utc", "nice": False}}
    labels = {
        day: _capital(day_label(day, grain)) + (f", {NOT_OVER}" if day in partial else "") for day in days
    }
    places = {day: float(milliseconds(day)) for day in days}
    # Balances hold until they change. Other values belong to their step, on both sides of its mark.
    steps = _steps(labels, places, links or {}, holds=interpolate == "step-after")
    return _lines(points, steps, x, amount_axis(title, unit), interpolate, area, grey, partial)


def by_number(points: Sequence[Point], across: str, title: str) -> Chart:
    """Return a chart with one line for each series over whole numbers. `across` and `title` name the axes."""
    numbers = sorted({one.at for one in points if isinstance(one.at, int)})
    x = quantitative(
        "at",
        axis={"title": across, "tickMinStep": 1, "format": "d", "grid": False},
        scale={"nice": False},
    )
    labels = {number: f"{across}: {number}" for number in numbers}
    steps = _steps(labels, {number: float(number) for number in numbers}, {}, holds=False)
    return _lines(points, steps, x, amount_axis(title), "linear", None, (), ())


def _every_day(days: Sequence[date]) -> list[date]:
    return (
        [days[0] + timedelta(days=number) for number in range((days[-1] - days[0]).days + 1)] if days else []
    )


def _steps(
    labels: Mapping[Any, str], places: Mapping[Any, float], links: Mapping[Any, str], *, holds: bool
) -> list[Row]:
    """Return the steps with the band in which the pointer finds them."""
    at = list(places.values())
    distances = [after - before for before, after in pairwise(at)]
    usual = min(distances, default=float(86_400_000) if not at or at[0] > 1000 else 1.0)
    # A band reaches halfway to the next one, or up to it.
    part = 1.0 if holds else 0.5
    after = [*(part * distance for distance in distances), part * usual]
    before = [(1 - part) * usual, *((1 - part) * distance for distance in distances)]
    return [
        {
            "key": key,
            "step": float(number),
            "at": places[key],
            "from": places[key] - before[number],
            "to": places[key] + after[number],
            "said": labels[key],
            "link": links.get(key),
        }
        for number, key in enumerate(places)
    ]


def _lines(
    points: Sequence[Point],
    steps: Sequence[Row],
    x: Spec,
    axis: Spec,
    interpolate: Interpolation,
    area: str | None,
    grey: Collection[str],
    partial: Collection[date],
) -> Chart:
    series = list(dict.fromkeys(one.series for one in points))
    texts = _texts(points, series, [step["key"] for step in steps], holds=interpolate == "step-after")
    bands = [
        {name: value for name, value in step.items() if name != "key"} | texts[step["key"]] for step in steps
    ]
    values = _marks(points, {step["key"]: step for step in steps}, texts, partial)
    with_points = len(steps) <= MOST_POINTS

    coloured = _coloured(series, grey, with_points=with_points)
    found: Spec = {
        "tooltip": [
            nominal("said", title="title"),
            *(nominal(f"s{number}", title=title) for number, title in enumerate(field_titles(series))),
        ]
    }
    if any(row["link"] for row in (*bands, *values)):
        found["href"] = nominal("link")
    marks, ruled = Dataset.of(values), Dataset.of(bands)
    base = {"x": x, "y": quantitative("value", axis=axis, scale={"zero": True}), **coloured}
    line = {"type": "line", "interpolate": interpolate}
    layers: list[Spec] = []
    if area in series:
        filled = {"x": x, "y": quantitative("value", axis=axis, stack=None), "color": coloured["color"]}
        mark = {"type": "area", "opacity": 0.25, "interpolate": interpolate, "line": False}
        layers.append(_layer(marks, mark, filled, {"field": "series", "equal": area}))
    shown = {"condition": {"param": HOVER["name"], "empty": False, "value": 1}, "value": 0}
    layers += [
        _layer(ruled, {"type": "rule", "strokeDash": [4, 4], "color": GREY}, {"x": x, "opacity": shown}),
        _layer(marks, line, base, "!datum.partial"),
    ]
    # A layer without rows would have no extent.
    if any(row["tail"] for row in values):
        layers.append(_layer(marks, line, base | {"strokeDash": {"value": DOTTED}}, "datum.tail"))
    band = {"x": {"field": "from", "type": x["type"]}, "x2": {"field": "to"}, **found}
    layers.append(_layer(ruled, {"type": "rect", "opacity": 0}, band) | {"params": [HOVER]})
    dots = base | found | {"strokeDash": {"value": [1, 0]}}
    if with_points:
        dots["shape"] = _shapes(series)
    dot = {"type": "point", "opacity": 1}
    if any(row["dot"] and not row["partial"] for row in values):
        whole = dot | {"filled": True, "size": 36}
        layers.append(_layer(marks, whole, dots, "datum.dot && !datum.partial"))
    if any(row["dot"] and row["partial"] for row in values):
        hollow = dot | {"filled": False, "size": 48, "strokeWidth": 1.5}
        layers.append(_layer(marks, hollow, dots, "datum.dot && datum.partial"))
    return Chart({"layer": layers, "height": HEIGHT}, (marks, ruled))


def _layer(rows: Dataset, mark: Spec, encoding: Spec, condition: str | Spec | None = None) -> Spec:
    """Return a layer of the rows that meet a condition."""
    transform = {} if condition is None else {"transform": [{"filter": condition}]}
    return {"data": {"name": rows.name}, "mark": mark, "encoding": encoding, **transform}


def _texts(
    points: Sequence[Point], series: Sequence[str], keys: Sequence[date | int], *, holds: bool
) -> dict[date | int, dict[str, str]]:
    """Return the texts of all series at each step, by the name of the field."""
    known = {(one.at, one.series): one.label for one in points}
    texts: dict[date | int, dict[str, str]] = {}
    before = dict.fromkeys(series, formats.NOTHING)
    for key in keys:
        now = {name: known.get((key, name), before[name] if holds else formats.NOTHING) for name in series}
        texts[key] = {f"s{number}": now[name] for number, name in enumerate(series)}
        before = now
    return texts


def _marks(
    points: Sequence[Point],
    steps: Mapping[Any, Row],
    texts: Mapping[date | int, dict[str, str]],
    partial: Collection[date],
) -> list[Row]:
    """Return the rows of the lines and points.

    `tail` marks the dotted end of a line, `dot` a value with a point. A value between two gaps has one even
    in a long chart, because a line needs two values.
    """
    rows: list[Row] = []
    for _, group in groupby(sorted(points, key=lambda one: one.series), key=lambda one: one.series):
        line = sorted(group, key=lambda one: steps[one.at]["step"])
        undefined = [one.amount is None for one in line]
        for number, one in enumerate(line):
            around = undefined[max(0, number - 1) : number] + undefined[number + 1 : number + 2]
            # The steps of the period before are over.
            is_partial = one.own_day is None and one.at in partial
            next_is_partial = (
                one.own_day is None and number + 1 < len(line) and line[number + 1].at in partial
            )
            rows.append(
                {
                    "step": steps[one.at]["step"],
                    "at": steps[one.at]["at"],
                    "series": one.series,
                    "value": None if one.amount is None else float(one.amount),
                    "partial": is_partial,
                    "tail": is_partial or next_is_partial,
                    "dot": not undefined[number] and (len(steps) <= MOST_POINTS or all(around)),
                    "said": steps[one.at]["said"],
                    "link": one.link or steps[one.at]["link"],
                    **texts[one.at],
                }
            )
    order = {name: number for number, name in enumerate(dict.fromkeys(one.series for one in points))}
    return sorted(rows, key=lambda row: order[row["series"]])


def _coloured(series: Sequence[str], grey: Collection[str], *, with_points: bool) -> Spec:
    """Return the encodings of the series by colour and dash."""
    bright = [name for name in series if name not in grey]
    colours = [GREY if name in grey else COLOURS[bright.index(name) % len(COLOURS)] for name in series]
    dashes = [DASHES[0] if name in grey else DASHES[bright.index(name) % len(DASHES)] for name in series]
    return {
        "color": _by_series(series, colours, with_points=with_points),
        "strokeDash": _by_series(series, dashes, with_points=with_points),
    }


def _shapes(series: Sequence[str]) -> Spec:
    shapes = [SHAPES[number % len(SHAPES)] for number in range(len(series))]
    return _by_series(series, shapes, with_points=True)


def _by_series(series: Sequence[str], looks: Sequence[Any], *, with_points: bool) -> Spec:
    return nominal(
        "series",
        title=None,
        sort=list(series),
        scale={"domain": list(series), "range": list(looks)},
        legend=_legend(with_points=with_points) if len(series) > 1 else None,
    )


def _legend(*, with_points: bool) -> Spec:
    # Points have no edge: dashed like the lines, it would look ragged.
    symbol: Spec = (
        {"symbolStrokeWidth": 0} if with_points else {"symbolType": "stroke", "symbolStrokeWidth": 2}
    )
    return {
        "orient": "top",
        "symbolLimit": 0,
        "labelLimit": 180,
        "columns": {"expr": COLUMNS},
        "symbolOpacity": 1,
        **symbol,
    }
