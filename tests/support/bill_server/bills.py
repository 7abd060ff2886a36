"""What the three providers have billed: results by UTC day, as their APIs state them."""

import json
from dataclasses import dataclass, field
from typing import Any

Day = str
"""`YYYY-MM-DD`."""
Result = dict[str, Any]


@dataclass
class Bills:
    """Everything is read when a request asks for it, so a test may change it between two pulls.

    Amounts are texts that are sent as they are: OpenAI's as JSON numbers in dollars, Anthropic's as texts in
    cents, OpenRouter's as JSON numbers in dollars.
    """

    openai: dict[Day, list[Result]] = field(default_factory=dict)
    anthropic: dict[Day, list[Result]] = field(default_factory=dict)
    openrouter: dict[Day, list[Result]] = field(default_factory=dict)


def openai_cost(amount: str, line_item: str = "gpt-5-nano, input_tokens", **more: Any) -> Result:
    """A result of OpenAI's costs; `amount` is the text of its number."""
    return {
        "object": "organization.costs.result",
        "amount": {"value": Number(amount), "currency": "usd"},
        "line_item": line_item,
        "project_id": "proj_a",
        "api_key_id": "key_a",
        "quantity": Number("1000"),
        "quantity_unit": "tokens",
    } | more


def anthropic_cost(
    cents: str, description: str = "Claude Opus 4.6 Usage - Input Tokens", **more: Any
) -> Result:
    """A result of Anthropic's cost report."""
    return {
        "amount": cents,
        "currency": "USD",
        "cost_type": "tokens",
        "token_type": "uncached_input_tokens",
        "model": "claude-opus-4-6",
        "context_window": "0-200k",
        "service_tier": "standard",
        "inference_geo": None,
        "description": description,
        "workspace_id": None,
    } | more


def activity(usage: str, model: str = "deepseek/deepseek-v4.1-flash", **more: Any) -> Result:
    """A row of OpenRouter's activity, without its day."""
    return {
        "model": model,
        "model_permaslug": f"{model}-20260910",
        "endpoint_id": "550e8400-e29b-41d4-a716-446655440000",
        "provider_name": "DeepSeek",
        "usage": Number(usage),
        "byok_usage_inference": Number("0"),
        "requests": 5,
        "prompt_tokens": 50,
        "completion_tokens": 125,
        "reasoning_tokens": 25,
    } | more


@dataclass(frozen=True)
class Number:
    """A JSON number that is sent with these digits."""

    text: str


def json_text(value: Any) -> str:
    """JSON on several lines, as OpenAI sends it, with the digits of each `Number`."""
    if isinstance(value, Number):
        return value.text
    if isinstance(value, dict):
        return "{" + ",\n ".join(f"{json.dumps(name)}: {json_text(one)}" for name, one in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",\n ".join(map(json_text, value)) + "]"
    return json.dumps(value)
