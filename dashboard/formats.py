"""How values are shown: money exactly, instants in reporting time, text as text."""

import json
import re
from datetime import date, datetime
from decimal import Decimal
from functools import cache
from typing import Any
from uuid import uuid4
from zoneinfo import ZoneInfo

from babel.numbers import get_currency_precision

NOTHING = "–"
MINUS = "−"
# What Markdown takes for more than itself; Streamlit adds directives such as `:red[…]` and `$…$`.
MARKDOWN = re.compile(r"([\\`*_{}\[\]()#+\-.!~|<>$:&])")
# What is replaced after that: addresses become links, `:smile:` and `:material/home:` pictures, `->` and `--`
# other characters.
REPLACED = re.compile(r"//|www|[@:]|[<>~=-]{2}")


@cache
def minor_digits(currency: str) -> int:
    """The digits behind the point that a currency is written with (ISO 4217, by CLDR); 2 for a code that is
    no currency of a country.
    """
    return get_currency_precision(currency.upper())


def money(amount: Decimal | None, currency: str | None) -> str:
    """An amount to its last digit that is not 0, with at least its currency's digits: `1,250.00`, `0.000012`;
    unknown is not 0.
    """
    if amount is None:
        return NOTHING
    digits = minor_digits(currency) if currency else 0
    # `abs` would round to the 28 digits of Python's context.
    whole, _, fraction = f"{amount.copy_abs():f}".partition(".")
    fraction = fraction.rstrip("0").ljust(digits, "0")
    sign = MINUS if amount < 0 else ""
    return f"{sign}{int(whole):,}" + (f".{fraction}" if fraction else "")


def with_currency(amount: Decimal | None, currency: str | None) -> str:
    """`money` followed by the code of the currency."""
    text = money(amount, currency)
    return text if amount is None or not currency else f"{text} {currency.upper()}"


def whole(count: int | None) -> str:
    """A count with separators."""
    return NOTHING if count is None else f"{count:,}".replace("-", MINUS)


def share(ratio: float | None) -> str:
    """A ratio in per cent with one decimal; what rounds to 0 or 100 and is neither says so."""
    if ratio is None:
        return NOTHING
    if 0 < ratio < 0.0005:
        return "< 0.1 %"
    if 0.9995 <= ratio < 1:
        return "> 99.9 %"
    return f"{ratio * 100:,.1f} %".replace("-", MINUS)


def average(ratio: float | None, currency: str) -> str:
    """Money per head or per charge: a rounded ratio, in at least its currency's digits and four that say
    something.
    """
    if ratio is None:
        return NOTHING
    exact = Decimal(repr(ratio))
    digits = max(minor_digits(currency), 3 - exact.adjusted()) if exact else minor_digits(currency)
    return f"{exact:,.{digits}f}".replace("-", MINUS)


def change(now: Decimal | float | None, before: Decimal | float | None) -> str | None:
    """By how much a number has changed, in per cent of what it was; None where that says nothing.

    With a hyphen: Streamlit takes the first character for the direction.
    """
    if now is None or not before:
        return None
    return f"{(_decimal(now) - _decimal(before)) / abs(_decimal(before)) * 100:+,.1f} %"


def _decimal(number: Decimal | float) -> Decimal:
    return Decimal(repr(number)) if isinstance(number, float) else Decimal(number)


def instant(at: datetime | None, timezone: str) -> str:
    """An instant in reporting time, to the second; the column's header or the page names the zone."""
    return NOTHING if at is None else f"{at.astimezone(ZoneInfo(timezone)):%Y-%m-%d %H:%M:%S}"


def day(value: date | None) -> str:
    """A reporting day."""
    return NOTHING if value is None else value.isoformat()


def text(value: Any) -> str:
    """Any text; unknown as a dash."""
    return NOTHING if value is None else str(value)


def plain(value: Any) -> str:
    """A text from outside for places where Streamlit reads Markdown: escaped, or as code where that does not
    help.
    """
    words = re.sub(r"[\r\n]+", " ", text(value))
    if not REPLACED.search(words):
        return MARKDOWN.sub(r"\\\1", words)
    fence = "`" * (max(map(len, re.findall("`+", words)), default=0) + 1)
    # Names of pictures are looked for in code too, so none is left whole.
    return "/".join(f"{fence} {part} {fence}" for part in re.split("(?<=:material)/", words))


def indented_json(value: str | None) -> str:
    """Metadata for reading; every number keeps the digits that it was written with."""
    if value is None:
        return NOTHING
    mark = uuid4().hex
    try:
        parsed = json.loads(value, parse_float=mark.__add__, parse_int=mark.__add__)
    except (ValueError, RecursionError):
        return value
    return re.sub(f'"{mark}([^"]*)"', r"\1", json.dumps(parsed, indent=2, ensure_ascii=False))
