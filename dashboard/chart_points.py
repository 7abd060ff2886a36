"""The points and bars of charts, with the exact texts of their values."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal

from dashboard import formats
from dashboard.queries.growth import PeriodKind
from dashboard.queries.usage import Grain
from dashboard.snapshot import Row


@dataclass(frozen=True)
class Point:
    """The value of a series at a step. A step is a day, or a whole number."""

    series: str
    at: date | int
    amount: Decimal | float | int | None
    """None if the value is undefined: the line has a gap there."""
    text: str
    own_day: date | None = None
    """The day of the value, if it is drawn at another one, as for the period before."""
    link: str | None = None
    """The address that a click on the point opens."""

    @property
    def label(self) -> str:
        """The text in a tooltip."""
        return self.text if self.own_day is None else f"{day_label(self.own_day)}: {self.text}"


@dataclass(frozen=True)
class Bar:
    """A bar of a bar chart."""

    name: str
    amount: Decimal | int
    text: str
    link: str | None = None


def point(
    series: str,
    starts_on: date,
    amount: Decimal | float | int | None,
    text: str,
    *,
    own_day: date | None = None,
    link: str | None = None,
) -> Point:
    """Return a point of a series over time, with the exact text of its value."""
    return Point(series, starts_on, amount, text, own_day, link)


def money_points(rows: Sequence[Row], measures: dict[str, str], currency: str) -> list[Point]:
    """Return the points of `measures` (column: name of the series) in rows with `starts_on`."""
    return [
        point(series, row["starts_on"], row[column], formats.with_currency(row[column], currency))
        for column, series in measures.items()
        for row in rows
    ]


def moved(points: Sequence[Point], to: Mapping[date, date]) -> list[Point]:
    """Return points at other days. They keep their own in the tooltip. Days that `to` lacks are left out."""
    return [
        replace(one, at=to[one.at], own_day=one.at)
        for one in points
        if isinstance(one.at, date) and one.at in to
    ]


def day_label(day: date, grain: Grain | PeriodKind = "day") -> str:
    """Return a step as a reader names it.

    `3 Oct 2026`, `week from 5 Oct 2026`, `Oct 2026`, `28 days from 5 Oct 2026`.
    """
    match grain:
        case "day":
            return f"{day.day} {day:%b %Y}"
        case "week":
            return f"week from {day.day} {day:%b %Y}"
        case "month":
            return f"{day:%b %Y}"
        case "days_28":
            return f"28 days from {day.day} {day:%b %Y}"
