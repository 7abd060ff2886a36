"""Which provider and model a model text means, by the names that the price book `genai-prices` knows."""

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
