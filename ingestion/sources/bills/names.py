"""The shipped names of providers, such as `vertex_ai` for Google (`provider_aliases.csv`)."""

import csv
from functools import lru_cache
from importlib.resources import files
from types import MappingProxyType
from typing import Final

ALIASES: Final = "provider_aliases.csv"


@lru_cache(maxsize=1)
def provider_aliases() -> MappingProxyType[str, str]:
    """Return the provider of each other name that it has, both in lower case.

    A name that is not there is the provider itself. The provider is who sends the bill: models of Anthropic
    that run on Bedrock are billed by `aws`.
    """
    text = files(__package__).joinpath(ALIASES).read_text("utf-8")
    rows = csv.DictReader(text.splitlines())
    return MappingProxyType({row["name"]: row["provider"] for row in rows})
