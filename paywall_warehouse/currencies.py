"""Which currency codes are known: ISO 4217, common tokens, and what the setting `EXTRA_CURRENCIES` adds."""

from collections.abc import Iterable, Sequence
from functools import cache
from typing import Final

import duckdb
from babel.core import get_global

TOKENS: Final = ("usdc", "usdt", "eurc", "pyusd", "dai", "btc", "eth", "sol")
# The most likely ones first: of several codes that are equally near to an unknown one, the first is
# suggested.
COMMON: Final = (
    "usd",
    "eur",
    "gbp",
    "jpy",
    "cny",
    "inr",
    "cad",
    "aud",
    "chf",
    "brl",
    "mxn",
    "sek",
    "nok",
    "dkk",
    "pln",
    *TOKENS,
)
# CLDR names these currencies too, by codes that ISO 4217 never had.
NOT_ISO: Final = frozenset(
    {
        "arl",
        "arm",
        "ban",
        "bgm",
        "bgo",
        "bol",
        "brz",
        "cle",
        "cnh",
        "cnx",
        "krh",
        "kro",
        "maf",
        "mcf",
        "mdc",
        "mkn",
        "mvp",
        "vnn",
        "yur",
    }
)
# In ISO 4217 since 2025, not in CLDR yet.
NOT_IN_CLDR: Final = frozenset({"xad"})


@cache
def iso_4217() -> frozenset[str]:
    """Return every code that ISO 4217 has or had, in lower case."""
    return frozenset(code.lower() for code in get_global("all_currencies")) - NOT_ISO | NOT_IN_CLDR


def known_currencies(extra: Iterable[str] = ()) -> tuple[str, ...]:
    """Return the known codes in lower case, the most likely ones first."""
    rest = (iso_4217() | {code.lower() for code in extra}) - set(COMMON)
    return (*COMMON, *sorted(rest))


def nearest_currencies(codes: Iterable[str], known: Sequence[str]) -> dict[str, str]:
    """Return for each code the known one that a typing error most likely turned into it.

    A letter that is added, dropped, replaced or swapped with its neighbour is one error. Of codes that are
    equally near the first holds.
    """
    with duckdb.connect(config={"threads": 1}) as connection:
        found = connection.execute(
            """select stated, min_by(code, (damerau_levenshtein(lower(stated), code), place))
            from (select unnest($codes) as stated) cross
                join (select unnest($known) as code, unnest(range(len($known))) as place)
            group by stated""",
            {"codes": list(codes), "known": list(known)},
        )
        return dict(found.fetchall())
