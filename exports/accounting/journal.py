"""The lines of the table `marts.fct_journal_lines`, in the order of a journal."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Final

import duckdb

from exports.accounting.rounding import EXACT, Balances, Line, Occasion
from warehouse.published_tables import table_with_rows

MART: Final = "fct_journal_lines"
RELATION: Final = f"marts.{MART}"
# Enough that the calls cost nothing, and little memory.
ROWS_A_FETCH = 10_000


@dataclass(frozen=True)
class JournalRange:
    """The currency and the half-open range of days that a file has."""

    currency: str | None = None
    """In lower case; None for all."""
    since: date | None = None
    until: date | None = None


def currencies(connection: duckdb.DuckDBPyConnection) -> list[str]:
    """Return the currencies of the whole journal. Raises `NotPublishedError` if there is no table."""
    table_with_rows(connection, MART)
    found = connection.execute(f"select distinct currency from {RELATION} order by 1").fetchall()
    return [currency for (currency,) in found]


def accounts(connection: duckdb.DuckDBPyConnection, currency: str | None = None) -> list[str]:
    """Return the accounts of the journal, of one currency or of all."""
    found = connection.execute(
        f"select distinct account from {RELATION} where currency = coalesce($currency, currency) order by 1",
        {"currency": currency},
    ).fetchall()
    return [account for (account,) in found]


def opening_balances(
    connection: duckdb.DuckDBPyConnection, within: JournalRange, names: Mapping[str, str]
) -> Balances:
    """Return the balances before the first day of a range. `names` is as for `rounded_transactions`."""
    balances = Balances()
    if within.since is not None:
        found = connection.execute(
            f"""select currency, account, sum(debit), sum(credit) from {RELATION}
            where currency = coalesce($currency, currency) and journal_date < $since
            group by all order by all""",
            {"currency": within.currency, "since": within.since},
        ).fetchall()
        for currency, account, debit, credit in found:
            balances.add(currency, names[account], EXACT.subtract(debit, credit))
    return balances


def lines(connection: duckdb.DuckDBPyConnection, within: JournalRange) -> Iterator[Line]:
    """Yield the lines of a range, those of each occasion together, the days in order, debits first."""
    cursor = connection.execute(
        f"""select journal_date, currency, journal, relates_to_date, account, debit, credit from {RELATION}
        where currency = coalesce($currency, currency)
            and journal_date >= coalesce($since, journal_date)
            and journal_date < coalesce($until, journal_date + 1)
        order by journal_date, currency, journal, relates_to_date, credit > 0, account, debit, credit""",
        {"currency": within.currency, "since": within.since, "until": within.until},
    )
    while rows := cursor.fetchmany(ROWS_A_FETCH):
        for journal_date, currency, journal, relates_to, account, debit, credit in rows:
            occasion = Occasion(journal_date, currency, journal, relates_to)
            yield Line(occasion, account, EXACT.subtract(debit, credit))
