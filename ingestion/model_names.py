"""Which provider and model a model text means, by the names that the price book `genai-prices` knows."""

import re
from functools import cache

from genai_prices import types as book
from genai_prices.data_snapshot import get_snapshot


def model_identity(text: str) -> tuple[str, str | None, str]:
    """Return model id, provider and name of a model text.

    The id is `provider/name` in lower case if the text states the provider or the price book knows it, else
    the text as it is.
    """
    provider, slash, name = text.partition("/")
    if slash and provider and name:
        return text.lower(), provider.lower(), name.lower()
    found = look_up(text)
    if found is None:
        return text, None, text
    return f"{found[0].id}/{text.lower()}", found[0].id, text.lower()


@cache
def book_model(provider: str, name: str) -> str | None:
    """Return the model of the price book that a provider's name for a model means; None for an unknown one.

    `name` is an id, a dated id or the display name, such as `claude-opus-4-6` or `Claude Opus 4.6`. The
    result is `provider/model`, and the same for all names of one model.
    """
    known = next((one for one in get_snapshot().providers if one.id == provider), None)
    if known is None:
        return None
    wanted = name.strip().lower()
    displayed = [model for model in known.models if (model.name or "").lower() == wanted]
    model = displayed[0] if len(displayed) == 1 else known.find_model(re.sub(r"\s+", "-", wanted))
    return f"{provider}/{model.id}" if model else None


def priced_alike(one: str, other: str) -> bool:
    """Check whether the price book knows two model texts as the same model, or neither of them nor its
    provider.
    """
    known = {provider.id for provider in get_snapshot().providers}
    identities = set()
    for text in (one, other):
        found, provider = look_up(text), text.partition("/")[0].lower()
        identities.add((found and (found[0].id, found[1].id), provider if provider in known else None))
    return len(identities) == 1


def look_up(text: str) -> tuple[book.Provider, book.ModelInfo] | None:
    """Return the provider and the model of the price book that a text means; None for an unknown one."""
    provider, slash, name = text.partition("/")
    try:
        if slash:
            return get_snapshot().find_provider_model(name, None, provider, None)
        return get_snapshot().find_provider_model(text, None, None, None)
    except LookupError:
        return None
