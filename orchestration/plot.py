"""The plots on Dagster's page of the published asset: one SVG image that needs no plotting library.

Marks are placed by floats. Amounts are written as texts with all their digits.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from functools import reduce
from html import escape
from math import ceil, floor

from warehouse.checks.invariant import EXACT
from warehouse.published_summary import DailyUsage, DayTotals
from warehouse.reconciliation_summary import Reconciliation

WIDTH, RIGHT = 720, 708
DIGIT_WIDTH, NAME_WIDTH = 8, 36
TICKS = 2
CURRENCIES_SHOWN, RISKS_SHOWN = 3, 5
REVENUE_HEIGHT, COVERAGE_HEIGHT, RISK_HEIGHT = 64, 64, 22
BAR_LEFT, BAR_WIDTH = 60, 160
# With equal contrast (4.2 : 1 and more) on Dagster's light theme and on its dark one: an image cannot know
# which of them is on.
TEXT, GRID = "#757d88", "#757d8855"
CURRENCY_COLORS = ("#3b82f6", "#d97706", "#c050b8")
PRIORITY_COLORS = {1: "#dc3d43", 2: "#d97706", 3: "#757d88"}


def publication_svg(usage: DailyUsage, state: Reconciliation) -> str:
    """Return three plots: revenue by day and currency, cost coverage by day, and money at risk by currency.

    The current day is paler or dashed, because it is not over yet.
    """
    shown = usage.currencies[:CURRENCIES_SHOWN]
    axis = _Axis(usage.first_day, usage.today, _left(usage, shown))
    canvas = _Canvas()
    _draw_revenue(canvas, axis, usage, shown)
    _draw_coverage(canvas, axis, usage, shown)
    _draw_risks(canvas, state)
    return canvas.svg()


@dataclass(frozen=True)
class Risk:
    """The open breaks in one currency."""

    currency: str
    cases: int
    amounts: dict[int, Decimal]
    """The known amounts by priority."""

    @property
    def amount(self) -> Decimal:
        """The sum of all priorities."""
        return reduce(EXACT.add, self.amounts.values(), Decimal(0))

    def describe(self) -> str:
        """Return the amount, the number of cases, and the amount with priority 1."""
        cases = f"{self.cases:,} case{'' if self.cases == 1 else 's'}"
        urgent = self.amounts.get(1)
        priority = "" if urgent is None else f", {exact_amount(urgent)} of it with priority 1"
        return f"{exact_amount(self.amount)} {self.currency or ''} in {cases}{priority}".replace("  ", " ")


def risks(state: Reconciliation) -> list[Risk]:
    """Return the open breaks by currency; the one with the most urgent and most frequent breaks first."""
    found: dict[str, Risk] = {}
    for group in state.breaks:
        before = found.get(group.currency, Risk(group.currency, 0, {}))
        known = EXACT.add(before.amounts.get(group.priority, Decimal(0)), group.amount or Decimal(0))
        found[group.currency] = Risk(
            group.currency, before.cases + group.cases, {**before.amounts, group.priority: known}
        )
    return sorted(found.values(), key=lambda one: (min(one.amounts), -one.cases, one.currency or ""))


def exact_amount(amount: Decimal) -> str:
    """Return an amount with all its digits: whole, or with at least two decimals."""
    whole, _, decimals = f"{amount:,f}".partition(".")
    decimals = decimals.rstrip("0")
    return f"{whole}.{decimals.ljust(2, '0')}" if decimals else whole


def axis_ticks(low: Decimal, high: Decimal) -> list[Decimal]:
    """Return evenly spaced round amounts that cover zero and everything from `low` to `high`."""
    low, high = min(low, Decimal(0)), max(high, Decimal(0))
    rough = (high - low) / TICKS or Decimal(1)
    power = Decimal(1).scaleb(rough.adjusted())
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough)
    return [step * number for number in range(floor(low / step), max(ceil(high / step), 1) + 1)]


class _Canvas:
    """The parts of an image, from top to bottom."""

    def __init__(self) -> None:
        self.parts: list[str] = []
        self.top = 0.0

    def heading(self, title: str, note: str = "") -> None:
        self.top += 16
        self.text(0, self.top, title, weight="bold")
        if note:
            self.text(RIGHT, self.top, note, "end")
        self.top += 8

    def text(self, x: float, y: float, text: str, anchor: str = "start", weight: str = "normal") -> None:
        self.parts.append(
            f'<text x="{x:.1f}" y="{y:.1f}" fill="{TEXT}" text-anchor="{anchor}" font-weight="{weight}">'
            f"{escape(text)}</text>"
        )

    def line(self, x: float, y: float, right: float) -> None:
        self.parts.append(f'<path d="M{x:.1f} {y:.1f}H{right:.1f}" stroke="{GRID}"/>')

    def svg(self) -> str:
        height = ceil(self.top)
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}"'
            f' viewBox="0 0 {WIDTH} {height}" font-family="sans-serif" font-size="13">{"".join(self.parts)}'
            "</svg>"
        )


@dataclass(frozen=True)
class _Axis:
    """The days of the plots, from left to right."""

    first: date
    last: date
    left: float

    @property
    def width(self) -> float:
        """The width of a day."""
        return (RIGHT - self.left) / ((self.last - self.first).days + 1)

    def x(self, day: date) -> float:
        return self.left + self.width * (day - self.first).days

    def labels(self, canvas: _Canvas) -> None:
        days = (self.last - self.first).days
        canvas.top += 15
        canvas.text(RIGHT, canvas.top, f"{self.last} (today)", "end")
        if days:
            canvas.text(self.left, canvas.top, f"{self.first}")
        if days > 1:
            middle = self.first + timedelta(days // 2)
            canvas.text(self.x(middle) + self.width / 2, canvas.top, f"{middle}", "middle")
        canvas.top += 6


def _left(usage: DailyUsage, shown: Sequence[str]) -> float:
    """Return the left edge of the plots: all labels of the axes fit before it."""
    ticks = [tick for currency in shown for tick in _revenue_ticks(usage.of(currency))]
    return NAME_WIDTH + 16 + DIGIT_WIDTH * max(len("100 %"), *(len(exact_amount(tick)) for tick in ticks), 0)


def _revenue_ticks(days: Sequence[DayTotals]) -> list[Decimal]:
    amounts = [day.revenue for day in days]
    return axis_ticks(min(amounts), max(amounts))


def _draw_revenue(canvas: _Canvas, axis: _Axis, usage: DailyUsage, shown: Sequence[str]) -> None:
    further = len(usage.currencies) - len(shown)
    more = f"{further} more currencies are in the KPIs; " if further > 1 else ""
    more = "1 more currency is in the KPIs; " if further == 1 else more
    canvas.heading("Revenue by day", f"{more}pale: today so far")
    if not shown:
        canvas.top += 16
        canvas.text(0, canvas.top, f"No revenue from {usage.first_day} to {usage.today}.")
        canvas.top += 8
        return
    for currency, color in zip(shown, CURRENCY_COLORS, strict=False):
        days = usage.of(currency)
        ticks = _revenue_ticks(days)
        top = canvas.top + 10
        low, high = float(ticks[0]), float(ticks[-1])
        scale = REVENUE_HEIGHT / (high - low)
        for tick in ticks:
            y = top + (high - float(tick)) * scale
            canvas.line(axis.left, y, RIGHT)
            canvas.text(axis.left - 8, y + 4, exact_amount(tick), "end")
        canvas.text(0, top + REVENUE_HEIGHT / 2 + 4, currency, weight="bold")
        zero = top + high * scale
        for day in days:
            height = abs(float(day.revenue)) * scale
            y = zero - height if day.revenue > 0 else zero
            is_partial = day.date_day == usage.today
            look = f'fill-opacity="0.3" stroke="{color}" stroke-dasharray="2 2"' if is_partial else ""
            canvas.parts.append(
                f'<rect x="{axis.x(day.date_day) + axis.width * 0.1:.1f}" y="{y:.1f}"'
                f' width="{axis.width * 0.8:.1f}" height="{height:.1f}" fill="{color}" {look}/>'
            )
        canvas.top = top + REVENUE_HEIGHT + 10
    canvas.top -= 6
    axis.labels(canvas)


def _draw_coverage(canvas: _Canvas, axis: _Axis, usage: DailyUsage, shown: Sequence[str]) -> None:
    canvas.heading("Charges with a known provider cost, by day", "dashed: today so far")
    top = canvas.top + 12

    def y(share: float) -> float:
        return top + COVERAGE_HEIGHT * (1 - share)

    for share in (0, 0.5, 1):
        canvas.line(axis.left, y(share), RIGHT)
        canvas.text(axis.left - 8, y(share) + 4, f"{share:.0%}".replace("%", " %"), "end")
    for number, (currency, color) in enumerate(zip(shown, CURRENCY_COLORS, strict=False)):
        canvas.text(0, top + 16 * number + 4, currency, weight="bold")
        canvas.parts.append(
            f'<path d="M0 {top + 16 * number + 8:.1f}h30" stroke="{color}" stroke-width="2"/>'
        )
        points = {
            day.date_day: (axis.x(day.date_day) + axis.width / 2, y(day.cost_coverage))
            for day in usage.of(currency)
            if day.cost_coverage is not None
        }
        for days in _without_gaps(sorted(points)):
            before = [day for day in days if day != usage.today]
            canvas.parts.append(_polyline([points[day] for day in before], color))
            if usage.today in days:
                canvas.parts.append(_polyline([points[day] for day in days[-2:]], color, "2 3"))
    canvas.top = top + COVERAGE_HEIGHT + 4
    axis.labels(canvas)


def _without_gaps(days: Sequence[date]) -> Iterator[list[date]]:
    """Yield the longest ranges of days that follow each other."""
    found: list[date] = []
    for day in days:
        if found and day != found[-1] + timedelta(1):
            yield found
            found = []
        found.append(day)
    if found:
        yield found


def _polyline(points: Sequence[tuple[float, float]], color: str, dashes: str = "none") -> str:
    if not points:
        return ""
    # A line with a single point is not drawn. A line from a point to itself is a dot.
    width, drawn = (1.8, points) if len(points) > 1 else (5, [*points, *points])
    return (
        f'<polyline fill="none" stroke="{color}" stroke-width="{width}" stroke-dasharray="{dashes}"'
        f' stroke-linecap="round" points="{" ".join(f"{x:.1f},{y:.1f}" for x, y in drawn)}"/>'
    )


def _draw_risks(canvas: _Canvas, state: Reconciliation) -> None:
    verdict = "" if not state.gaps else "the reconciliation is incomplete: there may be more"
    canvas.heading("Money at risk in open breaks", verdict)
    found = risks(state)
    if not found:
        canvas.top += 16
        canvas.text(0, canvas.top, "No open breaks." if state.is_needed else "Nothing to reconcile.")
    for one in found[:RISKS_SHOWN]:
        _draw_risk(canvas, one)
    if len(found) > RISKS_SHOWN:
        canvas.top += 16
        further = len(found) - RISKS_SHOWN
        canvas.text(0, canvas.top, f"… and {further} more currenc{'y' if further == 1 else 'ies'}")
    if found:
        canvas.top += 16
        x = float(BAR_LEFT)
        for priority, color in PRIORITY_COLORS.items():
            canvas.parts.append(
                f'<rect x="{x:.1f}" y="{canvas.top - 9:.1f}" width="10" height="10" fill="{color}"/>'
            )
            canvas.text(x + 15, canvas.top, f"priority {priority}")
            x += 85
    canvas.top += 8


def _draw_risk(canvas: _Canvas, one: Risk) -> None:
    """Draw a bar with the shares of the priorities. Bars of different currencies cannot be compared."""
    top = canvas.top + 4
    canvas.text(0, top + 12, one.currency or "–", weight="bold")
    x = float(BAR_LEFT)
    for priority, amount in sorted(one.amounts.items()):
        width = BAR_WIDTH * float(amount / one.amount) if one.amount else 0
        color = PRIORITY_COLORS.get(priority, TEXT)
        canvas.parts.append(
            f'<rect x="{x:.1f}" y="{top:.1f}" width="{width:.1f}" height="14" fill="{color}"/>'
        )
        x += width
    canvas.text(BAR_LEFT + BAR_WIDTH + 10, top + 12, one.describe())
    canvas.top += RISK_HEIGHT
