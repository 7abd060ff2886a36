"""Model texts and rates: what the package `genai-prices` knows, and what the operator's own rates put over
it.
"""

from datetime import UTC, date, datetime
from decimal import Decimal

import pytest
from genai_prices import Usage, calc_price

from warehouse.price_book import Rate, model_identity, per_token, resolve


def rate(model_id: str, start: date | None, end: date | None, prompt: str, currency: str = "usd") -> Rate:
    return Rate(
        model_id, start, end, 0, None, Decimal(prompt), Decimal(0), None, Decimal(0), currency, "prices/"
    )


def spans(rates: list[Rate], currency: str) -> list[tuple[date | None, date | None, str]]:
    """Where the rates of a currency come from, or what an own one asks for the prompt, by its days."""
    return [
        (
            one.effective_from,
            one.effective_to,
            str(one.prompt_rate) if one.source == "prices/" else "built-in",
        )
        for one in rates
        if one.currency == currency
    ]


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


@pytest.mark.parametrize(
    "model", ["gpt-4o-mini", "anthropic/claude-3-5-sonnet", "google/gemini-1.5-flash", "gpt-4-turbo"]
)
@pytest.mark.parametrize("prompt_tokens", [1_000, 128_000, 128_001, 400_000])
def test_built_in_rates_cost_what_the_package_says(model: str, prompt_tokens: int) -> None:
    _, rates = resolve([model], [])
    at = datetime(2026, 6, 1, 12, tzinfo=UTC)
    (held,) = [one for one in rates if holds(one, at.date(), prompt_tokens)]
    assert held.prompt_rate is not None
    assert held.completion_rate is not None
    cost = prompt_tokens * held.prompt_rate + 500 * held.completion_rate + held.request_fee
    name, _, provider = model.rpartition("/")[::-1]
    usage = Usage(input_tokens=prompt_tokens, output_tokens=500)
    assert (
        cost == calc_price(usage, name, provider_id=provider or None, genai_request_timestamp=at).total_price
    )


def holds(one: Rate, day: date, prompt_tokens: int) -> bool:
    begun = one.effective_from is None or one.effective_from <= day
    ended = one.effective_to is not None and one.effective_to <= day
    fits = one.min_prompt_tokens <= prompt_tokens and (
        one.max_prompt_tokens is None or prompt_tokens < one.max_prompt_tokens
    )
    return begun and not ended and fits


def test_own_rates_hold_over_the_built_in_ones_for_their_days_only() -> None:
    models, rates = resolve(["gpt-4o"], [rate("openai/gpt-4o", date(2026, 1, 1), date(2026, 2, 1), "7")])
    assert models[0].in_price_book
    assert spans(rates, "usd") == [
        (None, date(2026, 1, 1), "built-in"),
        (date(2026, 1, 1), date(2026, 2, 1), "7"),
        (date(2026, 2, 1), None, "built-in"),
    ]


def test_own_rates_in_another_currency_leave_the_built_in_ones_as_they_are() -> None:
    _, alone = resolve(["gpt-4o"], [])
    models, rates = resolve(["gpt-4o"], [rate("openai/gpt-4o", date(2026, 1, 1), None, "7", "eur")])
    assert models[0].in_price_book
    assert [one for one in rates if one.currency == "usd"] == alone
    assert spans(rates, "eur") == [(date(2026, 1, 1), None, "7")]


def test_own_rates_in_two_currencies_overlap_without_a_word() -> None:
    """The days of the one begin, end and pass within the days of the other, in whichever order they
    landed.
    """
    dollars = [
        rate("m", date(2026, 1, 1), date(2026, 6, 1), "1"),
        rate("m", date(2026, 3, 1), date(2026, 4, 1), "2"),
    ]
    euros = [
        rate("m", date(2026, 2, 1), date(2026, 5, 1), "8", "eur"),
        rate("m", date(2026, 2, 1), date(2026, 5, 1), "9", "eur"),
    ]
    for landed in ([*dollars, *euros], [*euros, *dollars], [euros[0], *dollars, euros[1]]):
        _, rates = resolve(["m"], landed)
        assert spans(rates, "usd") == [
            (date(2026, 1, 1), date(2026, 3, 1), "1"),
            (date(2026, 3, 1), date(2026, 4, 1), "2"),
            (date(2026, 4, 1), date(2026, 6, 1), "1"),
        ]
        assert spans(rates, "eur") == [(date(2026, 2, 1), date(2026, 5, 1), "9")]


def test_of_two_own_rates_for_a_day_the_later_start_holds() -> None:
    first, second = rate("m", date(2026, 1, 1), None, "1"), rate("m", date(2026, 2, 1), date(2026, 3, 1), "2")
    _, rates = resolve(["m"], [first, second])
    assert spans(rates, "usd") == [
        (date(2026, 1, 1), date(2026, 2, 1), "1"),
        (date(2026, 2, 1), date(2026, 3, 1), "2"),
        (date(2026, 3, 1), None, "1"),
    ]


def test_a_built_in_rate_without_a_price_is_unknown() -> None:
    """An embedding model reads only: that completions have no price does not make them free."""
    _, rates = resolve(["openai/text-embedding-3-small"], [])
    assert {(one.prompt_rate, one.completion_rate, one.cached_prompt_rate) for one in rates} == {
        (Decimal("0.00000002"), None, None)
    }


def test_an_unknown_model_has_no_rates() -> None:
    models, rates = resolve(["My-Model"], [])
    assert not models[0].in_price_book
    assert rates == []


def test_a_rate_a_token_is_exact() -> None:
    assert per_token(Decimal("0.075")) == Decimal("0.000000075")
