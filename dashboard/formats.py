"""The formats of values: exact money, instants in reporting time, and text without markup."""

import json
import re
from datetime import date, datetime
from decimal import ROUND_HALF_EVEN, Decimal, localcontext
from functools import cache
from typing import Any
from uuid import uuid4
from zoneinfo import ZoneInfo

from babel.numbers import get_currency_precision

NOTHING = "–"
MINUS = "−"
# The special characters of Markdown, with those of Streamlit's directives such as `:red[…]` and `$…$`.
MARKDOWN = re.compile(r"([\\`*_{}\[\]()#+\-.!~|<>$:&])")
# The texts that are replaced even if escaped: addresses become links, `:smile:` and `:material/home:` become
# pictures, `->` and `--` become other characters.
REPLACED = re.compile(r"//|www|[@:]|[<>~=-]{2}")


# The powers of ten of large amounts, largest first.
MAGNITUDES = ((12, "tn"), (9, "bn"), (6, "M"))
# Money has no more decimals.
MOST_DIGITS = 12


@cache
def minor_digits(currency: str) -> int:
    """Return the number of decimals of a currency (ISO 4217, from CLDR); 2 for an unknown code."""
    return get_currency_precision(currency.upper())


def money(amount: Decimal | None, currency: str | None) -> str:
    """Return an exact amount, such as `1,250.00` or `0.000012`; a dash if it is unknown.

    It has all digits to the last one that is not 0, and at least the decimals of its currency.
    """
    if amount is None:
        return NOTHING
    digits = minor_digits(currency) if currency else 0
    # `abs` would round to the 28 digits of Python's decimal context.
    whole, _, fraction = f"{amount.copy_abs():f}".partition(".")
    fraction = fraction.rstrip("0").ljust(digits, "0")
    sign = MINUS if amount < 0 else ""
    return f"{sign}{int(whole):,}" + (f".{fraction}" if fraction else "")


def short_money(amount: Decimal | None, currency: str) -> str:
    """Return an amount that is read at a glance, such as `1,234.57`, `0.0451` or `12.3 M`; a dash if unknown.

    It has the decimals of its currency, or three significant digits if it is smaller than 1. From ten million
    on, it is in millions or more. It is rounded: `money` has the exact amount.
    """
    if amount is None:
        return NOTHING
    with localcontext(prec=60):
        size = abs(amount)
        for power, unit in MAGNITUDES:
            if size >= Decimal(10) ** (power + 1):
                return f"{_rounded(amount.scaleb(-power), 1)} {unit}"
        digits = minor_digits(currency)
        if 0 < size < 1:
            digits = max(digits, min(2 - size.adjusted(), MOST_DIGITS))
        return _rounded(amount, digits)


def short_with_currency(amount: Decimal | None, currency: str) -> str:
    """Return `short_money`, followed by the code of the currency."""
    return NOTHING if amount is None else f"{short_money(amount, currency)} {currency.upper()}"


def _rounded(amount: Decimal, digits: int) -> str:
    rounded = amount.quantize(Decimal(1).scaleb(-digits), ROUND_HALF_EVEN)
    # A tiny loss is not shown as −0.00.
    sign = MINUS if rounded < 0 else ""
    return f"{sign}{abs(rounded):,f}"


def with_currency(amount: Decimal | None, currency: str | None) -> str:
    """Return `money`, followed by the code of the currency."""
    text = money(amount, currency)
    return text if amount is None or not currency else f"{text} {currency.upper()}"


def whole(count: int | None) -> str:
    """Return a count with thousands separators."""
    return NOTHING if count is None else f"{count:,}".replace("-", MINUS)


def counted(count: int, noun: str, plural: str | None = None) -> str:
    """Return a count with its noun, such as `1 check` or `2 checks`."""
    return f"{whole(count)} {noun if count == 1 else plural or noun + 's'}"


def share(ratio: float | None) -> str:
    """Return a ratio in per cent with one decimal. It is never rounded to 0 or 100 per cent."""
    if ratio is None:
        return NOTHING
    if 0 < ratio < 0.0005:
        return "< 0.1 %"
    if 0.9995 <= ratio < 1:
        return "> 99.9 %"
    return f"{ratio * 100:,.1f} %".replace("-", MINUS)


def quotient(ratio: float | None) -> str:
    """Return a ratio of two amounts with two decimals; a dash if it is unknown."""
    return NOTHING if ratio is None else f"{ratio:,.2f}".replace("-", MINUS)


def average(ratio: float | None, currency: str) -> str:
    """Return money per user or charge, rounded to at least the decimals of its currency and four digits."""
    if ratio is None:
        return NOTHING
    exact = Decimal(repr(ratio))
    digits = max(minor_digits(currency), 3 - exact.adjusted()) if exact else minor_digits(currency)
    return f"{exact:,.{digits}f}".replace("-", MINUS)


def change(now: Decimal | float | None, before: Decimal | float | None) -> str | None:
    """Return the change of a number in per cent, None if it cannot be computed.

    The minus sign is a hyphen, because Streamlit derives the direction from the first character.
    """
    if now is None or not before:
        return None
    return signed((_decimal(now) - _decimal(before)) / abs(_decimal(before)) * 100, "%")


def signed(number: Decimal | float, unit: str) -> str:
    """Return a rounded change with its sign; no sign if it rounds to 0."""
    text = f"{number:+,.1f}"
    return f"{'0.0' if text in ('+0.0', '-0.0') else text} {unit}"


def _decimal(number: Decimal | float) -> Decimal:
    return Decimal(repr(number)) if isinstance(number, float) else Decimal(number)


def instant(at: datetime | None, timezone: str) -> str:
    """Return an instant in reporting time, to the second. The column's header or the page names the zone."""
    return NOTHING if at is None else f"{at.astimezone(ZoneInfo(timezone)):%Y-%m-%d %H:%M:%S}"


def marked_instant(at: datetime | None, timezone: str) -> str:
    """Return `instant` for use in Streamlit's Markdown.

    A browser that finds `:30:` loads the names of all emoji, which keep it busy for a tenth of a second.
    """
    return instant(at, timezone).replace(":", r"\:")


def day(value: date | None) -> str:
    """Return a reporting day."""
    return NOTHING if value is None else value.isoformat()


def text(value: Any) -> str:
    """Return the text of a value, a dash if it is unknown."""
    return NOTHING if value is None else str(value)


def plain(value: Any) -> str:
    """Return a text from outside for use in Streamlit's Markdown.

    It is escaped, or formatted as code if escaping does not help.
    """
    words = re.sub(r"[\r\n]+", " ", text(value))
    if not REPLACED.search(words):
        return MARKDOWN.sub(r"\\\1", words)
    fence = "`" * (max(map(len, re.findall("`+", words)), default=0) + 1)
    # Streamlit replaces names of pictures in code too, so they are split.
    return "/".join(f"{fence} {part} {fence}" for part in re.split("(?<=:material)/", words))


def indented_json(value: str | None) -> str:
    """Return JSON with indentation. Every number keeps its digits."""
    if value is None:
        return NOTHING
    mark = uuid4().hex
    try:
        parsed = json.loads(value, parse_float=mark.__add__, parse_int=mark.__add__)
    except (ValueError, RecursionError):
        return value
    return re.sub(f'"{mark}([^"]*)"', r"\1", json.dumps(parsed, indent=2, ensure_ascii=False))
