"""Axes of charts: short numbers, and months that a reader recognises."""

from collections.abc import Sequence
from datetime import date
from typing import Literal

from dashboard.chart_style import Spec
from dashboard.queries.growth import PeriodKind
from dashboard.queries.usage import Grain

Unit = Literal["number", "share"]
# The number of labels that fit below a chart.
MOST_LABELS = 14
# More days than these have a label at the start and in the middle of each month, then at its start.
MOST_DAYS_BY_WEEK, MOST_DAYS_BY_HALF_MONTH = 62, 200
# Labels of days that are closer to the first of a month would touch its label.
DAYS_TO_MONTH = 3

# Up to four digits, such as 0.0012, 12.5, 1.2k, 3.4M and 5B; beyond trillions, 1e+15. d3's own prefixes name
# 0.0012 `1.2m` and 5 billion `5G`.
SHORT_NUMBER = (
    "datum.value == 0 ? '0' : abs(datum.value) >= 1e15 ? format(datum.value, '.2~e')"
    " : abs(datum.value) >= 1000 ? replace(format(datum.value, '.4~s'), 'G', 'B')"
    " : format(datum.value, '.4~r')"
)
SHORT_SHARE = "format(datum.value * 100, '.4~r') + ' %'"


def amount_axis(title: str, unit: Unit = "number", most: int | None = None) -> Spec:
    """Return an axis with short numbers, or with shares in per cent, and about `most` of them."""
    count = {} if most is None else {"tickCount": most}
    return {"title": title, "labelExpr": axis_text(unit), "labelFlush": False, **count}


def axis_text(unit: Unit) -> str:
    """Return the Vega expression of a label."""
    return SHORT_SHARE if unit == "share" else SHORT_NUMBER


def time_axis(days: Sequence[date], grain: Grain | PeriodKind) -> Spec:
    """Return an axis of time with labels such as `1 Oct`, `5 Jan 2026` or `Oct 2026`, never a time of day."""
    expression = (
        "utcFormat(datum.value, '%b %Y')"
        if grain == "month"
        else "utcFormat(datum.value, utcmonth(datum.value) == 0 && utcdate(datum.value) < 8"
        " ? '%-d %b %Y' : '%-d %b')"
    )
    return {
        "title": None,
        "values": [
            {"year": day.year, "month": day.month, "date": day.day, "utc": True}
            for day in labelled_days(days, grain)
        ],
        "labelExpr": expression,
        "labelOverlap": "greedy",
        "labelSeparation": 6,
        "labelFlush": False,
        "grid": False,
    }


def labelled_days(days: Sequence[date], grain: Grain | PeriodKind) -> list[date]:
    """Return the steps that have a label: all if they are few, else weeks, halves or starts of months."""
    if len(days) <= MOST_LABELS:
        return list(days)
    if grain != "day":
        return _every(days, {"week": 4, "month": 3, "days_28": 2}[grain])
    span = (days[-1] - days[0]).days
    if span > MOST_DAYS_BY_HALF_MONTH:
        return _every([day for day in days if day.day == 1], 1)
    if span > MOST_DAYS_BY_WEEK:
        return [day for day in days if day.day in (1, 15)]
    firsts = [day for day in days if day.day == 1]
    mondays = [
        day
        for day in days
        if day.weekday() == 0 and all(abs((day - first).days) > DAYS_TO_MONTH for first in firsts)
    ]
    return sorted({*firsts, *mondays})


def _every(days: Sequence[date], number: int) -> list[date]:
    while len(days) > MOST_LABELS * number:
        number *= 2
    return list(days[::number])


def milliseconds(day: date) -> int:
    """Return midnight UTC of a day as JavaScript counts it. Charts use UTC, so that no time zone matters."""
    return (day - date(1970, 1, 1)).days * 86_400_000
