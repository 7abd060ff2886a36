"""The provider cost and the price of a sample request: exact decimals, with the price book's rates of
the day.
"""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from decimal import Context, Decimal, Inexact
from functools import cache

from genai_prices import Usage, calc_price
from genai_prices.types import TieredPrices

EXACT = Context(prec=38, traps=[Inexact])
"""Arithmetic that raises if a digit would be lost."""

MILLION = Decimal(1_000_000)
LARGEST_REQUEST = 14_050
"""Context tokens of the largest real request. Price tiers start far above it, so that the base rate
applies.
"""

UNKNOWN_MODEL = "acme/nightly-preview"
"""A model that no price book has, so that its provider cost stays unknown."""

OWN_MODEL = "house/summarizer-8b"
"""A model that only the operator's own rates have (landing/prices)."""


@dataclass(frozen=True, slots=True)
class Rates:
    """Units of USD per million tokens."""

    prompt: Decimal
    completion: Decimal
    cached_prompt: Decimal | None = None

    def cost(self, prompt_tokens: int, completion_tokens: int, cached_tokens: int = 0) -> Decimal:
        """Return the exact cost of these tokens; cached tokens are part of the prompt."""
        cached = self.prompt if self.cached_prompt is None else self.cached_prompt
        prompt = (prompt_tokens - cached_tokens) * self.prompt + cached_tokens * cached
        return EXACT.divide(prompt + completion_tokens * self.completion, MILLION)


OWN_RATES = {
    OWN_MODEL: Rates(Decimal("0.35"), Decimal("0.9"), Decimal("0.05")),
    UNKNOWN_MODEL: Rates(Decimal("1"), Decimal("3")),
}
"""Invented, like the models themselves."""


def _base(price: Decimal | TieredPrices | None) -> Decimal | None:
    if isinstance(price, TieredPrices):
        if any(tier.start <= LARGEST_REQUEST for tier in price.tiers):
            raise ValueError(f"price tiers {price} start within the sample's sizes; choose another model")
        return price.base
    return price


@cache
def rates(model: str, day: date) -> Rates:
    """Return the rates of `provider/name` on that day."""
    if model in OWN_RATES:
        return OWN_RATES[model]
    provider, name = model.split("/", 1)
    noon = datetime.combine(day, time(12), tzinfo=UTC)
    usage = Usage(input_tokens=1, output_tokens=1)
    price = calc_price(usage, name, provider_id=provider, genai_request_timestamp=noon).model_price
    prompt, completion = _base(price.input_mtok), _base(price.output_mtok)
    if prompt is None or completion is None:
        raise ValueError(
            f"genai-prices has no token prices for {model} on {day}; choose another model for the sample"
        )
    return Rates(prompt, completion, _base(price.cache_read_mtok))


def times(amount: Decimal, factor: Decimal) -> Decimal:
    """Return the exact product."""
    return EXACT.multiply(amount, factor)


def text(amount: Decimal) -> str:
    """Return plain digits, without an exponent or trailing zeros."""
    plain = format(amount, "f")
    return plain.rstrip("0").rstrip(".") if "." in plain else plain
