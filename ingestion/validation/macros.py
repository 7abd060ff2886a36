"""The SQL macros that turn the texts of a record into exact values (`macros.sql`).

DuckDB's JSON reader makes every JSON number a DOUBLE, so that a number of more than 15 digits loses some of
them. The macros mark such texts first: each number outside a string becomes a string that starts with the
control character U+0001 and a token. The mark is removed once the field is extracted from its JSON.
`try_cast` to DECIMAL cuts surplus decimals without an error and accepts `1_000`, so money is matched against
a pattern before it is cast.
"""

import secrets
from importlib.resources import files

import duckdb

from paywall_warehouse.settings import EARLIEST, LATEST

# Sums of a hundred million amounts below 10^18 fit DECIMAL(38,12), and sums of nine million counts fit
# BIGINT, so that no single record can stop a build.
MAX_AMOUNT_DIGITS = 18
MAX_COUNT = 10**12

MACROS = (
    files(__package__)
    .joinpath("macros.sql")
    .read_text(encoding="utf-8")
    .replace("{EARLIEST}", EARLIEST.isoformat())
    .replace("{LATEST}", LATEST.isoformat())
    .replace("{MAX_AMOUNT_DIGITS}", str(MAX_AMOUNT_DIGITS))
    .replace("{MAX_COUNT_ZEROS}", str(len(str(MAX_COUNT)) - 1))
)


def define_macros(connection: duckdb.DuckDBPyConnection) -> None:
    """Define the macros in a connection of `open_duckdb`.

    The mark of numbers is a different one each time, so that no text from outside can contain it.
    """
    connection.execute("set variable usual_keys = cast([] as varchar[][])")
    connection.execute(MACROS.replace("{MARK}", secrets.token_hex(8)))
