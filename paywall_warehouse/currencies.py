"""The known currency codes: ISO 4217, common tokens, and those of the setting `EXTRA_CURRENCIES`."""

from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import Final

from babel.core import get_global

from paywall_warehouse.duckdb_connections import open_duckdb

TOKENS: Final = ("usdc", "usdt", "eurc", "pyusd", "dai", "btc", "eth", "sol")
# Currencies of ISO 4217 whose minor unit is not a hundredth. CLDR, and babel with it, rounds some others to
# whole units in cash, which books do not do.
MINOR_UNITS: Final[Mapping[str, int]] = {
    **dict.fromkeys(
        "bif clp djf gnf isk jpy kmf krw pyg rwf ugx uyi vnd vuv xaf xof xpf".split(),  # noqa: SIM905
        0,
    ),
    **dict.fromkeys(("bhd", "iqd", "jod", "kwd", "lyd", "omr", "tnd"), 3),
    **dict.fromkeys(("clf", "uyw"), 4),
    # Tokens as their contracts and chains define them. DAI and ETH have 18 decimals, amounts at most 12.
    **dict.fromkeys(("usdc", "usdt", "eurc", "pyusd"), 6),
    "btc": 8,
    "sol": 9,
    "dai": 12,
    "eth": 12,
}
# Also of codes that `EXTRA_CURRENCIES` adds, and of ISO 4217's codes without a minor unit, such as gold.
USUAL_MINOR_UNIT: Final = 2
# The most likely ones first: if several codes are equally close to an unknown one, the first is suggested.
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
# CLDR has these currencies, too, with codes that ISO 4217 never had.
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


def minor_unit(code: str) -> int:
    """Return the number of decimals in which a currency is booked, such as 2 for `usd` and 0 for `jpy`."""
    return MINOR_UNITS.get(code.lower(), USUAL_MINOR_UNIT)


def nearest_currencies(codes: Iterable[str], known: Sequence[str]) -> dict[str, str]:
    """Return for each code the known one that was most likely meant.

    A letter that is added, dropped, replaced or swapped with its neighbour is one error. Of equally close
    codes the first is chosen.
    """
    with open_duckdb(config={"threads": 1}) as connection:
        found = connection.execute(
            """select stated, min_by(code, (damerau_levenshtein(lower(stated), code), place))
            from (select unnest($codes) as stated) cross
                join (select unnest($known) as code, unnest(range(len($known))) as place)
            group by stated""",
            {"codes": list(codes), "known": list(known)},
        )
        return dict(found.fetchall())
