"""Model texts and rates: what the package `genai-prices` knows, and what the operator's own rates put over it."""

from datetime import UTC, date, datetime
from decimal import Decimal

import pytest
from genai_prices import Usage, calc_price

from ingestion.price_book import Rate, model_identity, per_token, resolve


def rate(model_id: str, start: date | None, end: date | None, prompt: str) -> Rate:
    return Rate(model_id, start, end, 0, None, Decimal(prompt), Decimal(0), None, Decimal(0), "usd", "prices/")


@pytest.mark.parametrize(
    ("text", "model_id", "provider"),
    [
        ("OpenAI/GPT-4o-mini", "openai/gpt-4o-mini", "openai"),
        ("gpt-4o-mini", "openai/gpt-4o-mini", "openai"),
        ("Claude-3-5-Sonnet", "anthropic/claude-3-5-sonnet", "anthropic"),
        ("openrouter/openai/gpt-4o", "openrouter/openai/gpt-4o", "openrouter"),
        ("My-Model", "My-Model", None),
        ("/gpt-4o", "/gpt-4o", None),
    ],
)
def test_a_model_text_means_a_provider_and_a_name(text: str, model_id: str, provider: str | None) -> None:
    assert model_identity(text)[:2] == (model_id, provider)


@pytest.mark.parametrize("model", ["gpt-4o-mini", "anthropic/claude-3-5-sonnet", "google/gemini-1.5-flash", "gpt-4-turbo"])
@pytest.mark.parametrize("prompt_tokens", [1_000, 128_000, 128_001, 400_000])
def test_built_in_rates_cost_what_the_package_says(model: str, prompt_tokens: int) -> None:
    _, rates = resolve([model], [])
    at = datetime(2026, 6, 1, 12, tzinfo=UTC)
    (held,) = [one for one in rates if holds(one, at.date(), prompt_tokens)]
    cost = prompt_tokens * held.prompt_rate + 500 * held.completion_rate + held.request_fee
    name, _, provider = model.rpartition("/")[::-1]
    usage = Usage(input_tokens=prompt_tokens, output_tokens=500)
    assert cost == calc_price(usage, name, provider_id=provider or None, genai_request_timestamp=at).total_price


def holds(one: Rate, day: date, prompt_tokens: int) -> bool:
    begun = one.effective_from is None or one.effective_from <= day
    ended = one.effective_to is not None and one.effective_to <= day
    fits = one.min_prompt_tokens <= prompt_tokens and (one.max_prompt_tokens is None or prompt_tokens < one.max_prompt_tokens)
    return begun and not ended and fits


def test_own_rates_hold_over_the_built_in_ones_for_their_days_only() -> None:
    models, rates = resolve(["gpt-4o"], [rate("openai/gpt-4o", date(2026, 1, 1), date(2026, 2, 1), "7")])
    assert models[0].in_price_book
    spans = [(one.effective_from, one.effective_to, one.source.split()[0]) for one in rates]
    assert spans == [
        (None, date(2026, 1, 1), "genai-prices"),
        (date(2026, 1, 1), date(2026, 2, 1), "prices/"),
        (date(2026, 2, 1), None, "genai-prices"),
    ]


def test_of_two_own_rates_for_a_day_the_later_start_holds() -> None:
    first, second = rate("m", date(2026, 1, 1), None, "1"), rate("m", date(2026, 2, 1), date(2026, 3, 1), "2")
    _, rates = resolve(["m"], [first, second])
    assert [(one.effective_from, one.effective_to, one.prompt_rate) for one in rates] == [
        (date(2026, 1, 1), date(2026, 2, 1), 1),
        (date(2026, 2, 1), date(2026, 3, 1), 2),
        (date(2026, 3, 1), None, 1),
    ]


def test_an_unknown_model_has_no_rates() -> None:
    models, rates = resolve(["My-Model"], [])
    assert not models[0].in_price_book
    assert rates == []


def test_a_rate_a_token_is_exact() -> None:
    assert per_token(Decimal("0.075")) == Decimal("0.000000075")
