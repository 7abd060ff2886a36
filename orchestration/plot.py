"""The plot on Dagster's page of the published asset: an SVG image that needs no plotting library."""

from collections.abc import Sequence
from decimal import Decimal
from html import escape
from math import ceil, floor

from warehouse.published_summary import DayTotals

WIDTH, HEIGHT = 650, 230
RIGHT, TOP, BOTTOM = 640, 48, 205
DIGIT_WIDTH = 8
TICKS = 4
# Readable on Dagster's light theme and on its dark one: an image cannot know which of them is on.
COLORS = {"revenue": "#3b82f6", "provider_cost": "#ef4444", "profit": "#10a37f"}
TEXT, GRID = "#7d8590", "#7d859055"


def revenue_svg(days: Sequence[DayTotals], currency: str) -> str:
    """Return the plot of revenue, provider cost and profit by day in one currency.

    `days` are in order and hold at least one day of the currency.
    """
    own = [day for day in days if day.currency == currency]
    amounts = [getattr(day, measure) for day in own for measure in COLORS]
    ticks = axis_ticks(min(amounts), max(amounts))
    left = 16 + DIGIT_WIDTH * max(len(f"{tick:,f}") for tick in ticks)
    first, last = own[0].date_day, own[-1].date_day
    span = (last - first).days

    def x(day: DayTotals) -> float:
        return left + (RIGHT - left) * ((day.date_day - first).days / span if span else 0.5)

    def y(amount: Decimal) -> float:
        return BOTTOM - (BOTTOM - TOP) * float((amount - ticks[0]) / (ticks[-1] - ticks[0]))

    parts = [_text(0, 14, f"Revenue, provider cost and profit by day, {currency}")]
    for tick in ticks:
        parts.append(f'<path d="M{left} {y(tick):.1f}H{RIGHT}" stroke="{GRID}"/>')
        parts.append(_text(left - 8, y(tick) + 4, f"{tick:,f}", "end"))
    if span:
        parts += [_text(left, HEIGHT - 6, f"{first}"), _text(RIGHT, HEIGHT - 6, f"{last}", "end")]
    if span != 1:
        parts.append(_text((left + RIGHT) / 2, HEIGHT - 6, f"{first + (last - first) / 2}", "middle"))
    for position, (measure, color) in enumerate(COLORS.items()):
        points = [f"{x(day):.1f},{y(getattr(day, measure)):.1f}" for day in own]
        # A line with a single point is not drawn. A line from a point to itself is a dot.
        width, line = (1.6, points) if span else (6, points * 2)
        legend = left + 120 * position
        parts.append(
            f'<g fill="none" stroke="{color}" stroke-width="1.6" stroke-linecap="round"'
            f' stroke-linejoin="round"><path d="M{legend} 32h18"/>'
            f'<polyline stroke-width="{width}" points="{" ".join(line)}"/></g>'
        )
        parts.append(_text(legend + 24, 36, measure.replace("_", " ")))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}"'
        f' viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" font-size="12">{"".join(parts)}</svg>'
    )


def axis_ticks(low: Decimal, high: Decimal) -> list[Decimal]:
    """Return evenly spaced round amounts that cover zero and everything from `low` to `high`."""
    low, high = min(low, Decimal(0)), max(high, Decimal(0))
    rough = (high - low) / TICKS or Decimal(1)
    power = Decimal(1).scaleb(rough.adjusted())
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough)
    return [step * number for number in range(floor(low / step), max(ceil(high / step), 1) + 1)]


def _text(x: float, y: float, text: str, anchor: str = "start") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" fill="{TEXT}" text-anchor="{anchor}">{escape(text)}</text>'
