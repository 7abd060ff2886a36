"""Numbers as the dashboard shows them, and the rows that they come from."""

import re
from collections.abc import Callable
from decimal import Decimal
from typing import Any

from tests.support.browser import Screen

Sql = Callable[..., list[tuple[Any, ...]]]

NOTHING = "–"


def money(amount: Decimal | None) -> str:
    """Dollars and euros: two digits, and every further one that is not 0."""
    if amount is None:
        return NOTHING
    whole, _, fraction = f"{amount.copy_abs():,f}".partition(".")
    return ("−" if amount < 0 else "") + f"{whole}.{fraction.rstrip('0').ljust(2, '0')}"


def short(amount: Decimal | None) -> str:
    """Dollars and euros on tiles: cents, or three significant digits below 1."""
    if amount is None:
        return NOTHING
    digits = max(2, 2 - amount.adjusted()) if 0 < abs(amount) < 1 else 2
    return f"{round(amount, digits):,.{digits}f}".replace("-", "−")


def share(ratio: float | None) -> str:
    if ratio is None:
        return NOTHING
    return (
        "< 0.1 %"
        if 0 < ratio < 0.0005
        else "> 99.9 %"
        if 0.9995 <= ratio < 1
        else f"{ratio * 100:,.1f} %".replace("-", "−")
    )


def average(ratio: float | None) -> str:
    """Two digits, or four that say something."""
    if ratio is None:
        return NOTHING
    exact = Decimal(repr(ratio))
    return f"{exact:,.{max(2, 3 - exact.adjusted()) if exact else 2}f}".replace("-", "−")


def count(number: int | None) -> str:
    return NOTHING if number is None else f"{number:,}"


def text(value: Any) -> str:
    return (
        NOTHING if value is None else f"{value:%Y-%m-%d %H:%M:%S}" if hasattr(value, "hour") else str(value)
    )


def column(rows: list[dict[str, str]], name: str) -> list[str]:
    return [row[name] for row in rows]


def step(screen: Screen, label: str = "Page of") -> None:
    """One page on."""
    screen.page.get_by_label(re.compile(label)).press("ArrowUp")
    screen.page.get_by_label(re.compile(label)).press("Enter")
