"""Days are compared with the same weekdays before; the rhythm of weeks and months raises no alarm."""

from datetime import date, timedelta
from decimal import Decimal

import pytest

from tests.support.alert_homes import rhythm
from warehouse.alerts.usual_days import Limits, Unusual, median, unusual_day, usual_value

FIRST = date(2025, 1, 1)
SPEND = Limits(is_positive=True, weeks=8, spread=4, by_more_than=1, direction="up")
REVENUE = Limits(is_positive=True, weeks=8, spread=4, by_more_than=0.5, direction="down")
MARGIN = Limits(is_positive=False, weeks=8, spread=4, by_more_than=0.2, direction="down")
BOTH = Limits(is_positive=True, weeks=8, spread=4, by_more_than=0.5, direction="both")


def series(seed: int, days: int = 365, noise: float = 0.08) -> tuple[dict[date, Decimal], ...]:
    """Return revenue, provider cost and margin by day."""
    both = rhythm(FIRST, days, seed, noise=noise)
    return (
        {day: revenue for day, (revenue, _) in both.items()},
        {day: cost for day, (_, cost) in both.items()},
        {day: (revenue - cost) / revenue for day, (revenue, cost) in both.items()},
    )


def alarms(values: dict[date, Decimal], limits: Limits) -> list[date]:
    """Return the days of which a run on the next day would have raised an alarm."""
    return [
        day
        for day in values
        if unusual_day({one: value for one, value in values.items() if one <= day}, day, limits)
    ]


@pytest.mark.parametrize("noise", [0.02, 0.08, 0.15])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_year_with_weekly_rhythm_and_month_ends_is_usual(seed: int, noise: float) -> None:
    revenue, cost, margin = series(seed, noise=noise)
    assert alarms(cost, SPEND) == []
    assert alarms(revenue, REVENUE) == []
    assert alarms(revenue, BOTH) == []
    assert alarms(margin, MARGIN) == []


@pytest.mark.parametrize(
    "day", [date(2025, 10, 15), date(2025, 10, 18), date(2025, 10, 31), date(2025, 11, 1)]
)
def test_faults_are_found_on_weekdays_weekends_and_month_ends(day: date) -> None:
    revenue, cost, margin = series(3)
    assert unusual_day(cost, day, SPEND) is None
    assert unusual_day(cost | {day: cost[day] * 5}, day, SPEND)
    assert unusual_day(margin | {day: margin[day] * Decimal("0.7")}, day, MARGIN)
    assert unusual_day(revenue | {day: Decimal(0)}, day, REVENUE)


def test_the_expected_value_is_the_median_of_the_same_weekdays() -> None:
    monday = date(2025, 6, 16)
    values = {monday - timedelta(weeks=number): Decimal(100 + number) for number in range(1, 9)}
    # 101 to 108: the median lies between 104 and 105. Other weekdays do not count.
    values |= {monday - timedelta(days=1): Decimal(9000), monday: Decimal(500)}
    assert usual_value(values, monday, 8) == Decimal("104.5")
    assert unusual_day(values, monday, BOTH) == Unusual(monday, Decimal(500), Decimal("104.5"))


def test_one_odd_week_changes_nothing() -> None:
    monday = date(2025, 6, 16)
    values = {monday - timedelta(weeks=number): Decimal(100) for number in range(1, 9)}
    odd = values | {monday - timedelta(weeks=3): Decimal(100_000)}
    assert usual_value(odd, monday, 8) == Decimal(100)
    assert unusual_day(odd | {monday: Decimal(160)}, monday, BOTH)
    assert unusual_day(odd | {monday: Decimal(140)}, monday, BOTH) is None


@pytest.mark.parametrize(("direction", "up", "down"), [("up", 1, 0), ("down", 0, 1), ("both", 1, 1)])
def test_the_direction_counts(direction: str, up: int, down: int) -> None:
    monday = date(2025, 6, 16)
    values = {monday - timedelta(weeks=number): Decimal(100) for number in range(1, 9)}
    limits = Limits(is_positive=True, weeks=8, spread=4, by_more_than=0.5, direction=direction)
    assert bool(unusual_day(values | {monday: Decimal(300)}, monday, limits)) == up
    assert bool(unusual_day(values | {monday: Decimal(10)}, monday, limits)) == down


def test_three_weeks_are_too_little_history() -> None:
    monday = date(2025, 6, 16)
    values = {monday - timedelta(weeks=number): Decimal(100) for number in range(1, 4)}
    assert unusual_day(values | {monday: Decimal(900)}, monday, BOTH) is None


def test_the_end_of_a_month_is_compared_with_earlier_ends() -> None:
    """100 a day, and 300 on the last day of each month, is a rhythm. 300 on another day is none."""
    first, last = date(2025, 1, 1), date(2025, 6, 30)
    days = [first + timedelta(days=number) for number in range((last - first).days + 1)]
    values = {day: Decimal(300 if (day + timedelta(days=1)).day == 1 else 100) for day in days}
    assert unusual_day(values, last, BOTH) is None
    assert unusual_day(values | {last: Decimal(900)}, last, BOTH)
    middle = date(2025, 6, 18)
    assert unusual_day(values | {middle: Decimal(300)}, middle, BOTH)


def test_a_value_that_was_always_zero_is_not_compared() -> None:
    monday = date(2025, 6, 16)
    values = {monday - timedelta(weeks=number): Decimal(0) for number in range(1, 9)}
    assert unusual_day(values | {monday: Decimal(5)}, monday, BOTH) is None


def test_medians_are_exact() -> None:
    amounts = [
        Decimal("99999999999999999999999999.000000000001"),
        Decimal("99999999999999999999999999.000000000003"),
    ]
    assert median(amounts) == Decimal("99999999999999999999999999.000000000002")
