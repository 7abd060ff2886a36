"""The steps of a chart: days, weeks (from Monday) or months; where those of the period before are drawn."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta

from dashboard.filters import Filters
from dashboard.queries.publication import About
from dashboard.queries.usage import Grain

Days = tuple[date, date]
"""A half-open range of days."""
# From this length on, a period is compared weekday by weekday: every weekday occurs four times.
WEEKDAYS_FROM = 28


@dataclass(frozen=True)
class Step:
    """A day, week or month, and the days of the period that belong to it."""

    starts_on: date
    since: date
    """The first day of the period in this step. It is later than `starts_on` if the period begins later."""
    until: date
    """The day after the last day of the period in this step."""
    is_over: bool
    """Whether the last day of the whole step has passed."""


def start_of(day: date, grain: Grain) -> date:
    """Return the first day of the step that contains `day`, as `date_trunc` does."""
    match grain:
        case "day":
            return day
        case "week":
            return day - timedelta(days=day.weekday())
        case "month":
            return day.replace(day=1)


def next_start(start: date, grain: Grain) -> date:
    """Return the first day of the following step."""
    match grain:
        case "day":
            return start + timedelta(days=1)
        case "week":
            return start + timedelta(days=7)
        case "month":
            return (start + timedelta(days=31)).replace(day=1)


def steps(since: date, until: date, grain: Grain, over_until: date) -> list[Step]:
    """Return the steps of a half-open range of days. Only days before `over_until` are over."""
    return list(_steps(since, until, grain, over_until))


def _steps(since: date, until: date, grain: Grain, over_until: date) -> Iterator[Step]:
    while since < until:
        start = start_of(since, grain)
        following = next_start(start, grain)
        yield Step(start, since, min(following, until), following <= over_until)
        since = following


def steps_of(filters: Filters, about: About, grain: Grain) -> list[Step]:
    """Return the steps of the period on days that the published file has."""
    since = max(filters.since, about.first_day)
    until = min(filters.until, max(about.last_day, about.today) + timedelta(days=1))
    return steps(since, until, grain, about.partial_day or about.today + timedelta(days=1))


def drawn_at(starts_on: date, grain: Grain, now: Days, before: Days) -> date:
    """Return the step of the current period at which a step of the period before is drawn.

    Days are compared with the same weekday, if the period has whole weeks or at least `WEEKDAYS_FROM` days.
    All other steps are compared one by one, so that the first steps of both periods coincide.
    """
    first, first_before = start_of(now[0], grain), start_of(before[0], grain)
    if grain == "month":
        between = (first.year - first_before.year) * 12 + first.month - first_before.month
        return months_after(starts_on, between)
    offset = day_offset(now, before) if grain == "day" else first - first_before
    return starts_on + offset


def day_offset(now: Days, before: Days) -> timedelta:
    """Return the time between a day and the one that it is compared with."""
    offset, length = (now[0] - before[0]).days, (now[1] - now[0]).days
    is_by_weekday = length % 7 == 0 or length >= WEEKDAYS_FROM
    return timedelta(days=round(offset / 7) * 7 if is_by_weekday else offset)


def months_after(month: date, number: int) -> date:
    """Return the first day of the month that is `number` months after the first day `month`."""
    months = month.year * 12 + month.month - 1 + number
    return date(months // 12, months % 12 + 1, 1)
