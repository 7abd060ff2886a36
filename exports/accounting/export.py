"""The export of the journal to a file: what is asked for, checked and written in one pass."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, TextIO

import duckdb

from exports.accounting import hledger, quickbooks, xero
from exports.accounting.accounts import Account, AccountsError, Chart, read_chart
from exports.accounting.journal import (
    JournalRange,
    accounts as journal_accounts,
    currencies as journal_currencies,
    lines,
    opening_balances,
)
from exports.accounting.rounding import Transaction, rounded_transactions
from exports.ad_hoc import SliceRequest, requested_days
from exports.compression import Compression, compress_in_place
from exports.filters import WrongSliceError
from paywall_warehouse.files import replace_file
from paywall_warehouse.settings import Settings
from warehouse.published import published_warehouse

JournalFormat = Literal["hledger", "xero", "quickbooks"]
DATASET: Final = "journal"


@dataclass(frozen=True)
class Format:
    """A format: how it names accounts, what it allows, how it is written."""

    write: Callable[[TextIO, Iterable[Transaction], Sequence[Account], Sequence[str]], int]
    booked_as: Callable[[Account], str]
    """Returns how a posting names its account. Accounts that it names the same have one balance."""
    is_of_one_currency: bool
    ending: str
    """The ending of a file, which `--output` may not contradict."""
    max_lines: int | None = None
    """How many lines the program imports from a file, as far as that is known."""


def _name(account: Account) -> str:
    return account.name


FORMATS: Final[dict[JournalFormat, Format]] = {
    "hledger": Format(hledger.write, _name, is_of_one_currency=False, ending="journal"),
    "xero": Format(
        xero.write, xero.booked_as, is_of_one_currency=True, ending="csv", max_lines=xero.MAX_LINES
    ),
    "quickbooks": Format(quickbooks.write, _name, is_of_one_currency=True, ending="csv"),
}


def write_journal(
    settings: Settings,
    request: SliceRequest,
    name: JournalFormat,
    file: Path,
    *,
    currency: str | None = None,
    compression: Compression | None = None,
    progress: Callable[[str], None] | None = None,
) -> int:
    """Write the journal in a format of an accounting program, and return the number of rows or postings.

    The days of `request` are those of the file; balances before them count. The file is replaced atomically,
    and its rows are never in memory all at once. `progress` receives warnings. Raises `NotPublishedError`,
    also for a journal that does not balance, and `WrongSliceError` if the request or `accounts.csv` is not
    valid.
    """
    for option, stated in (("--columns", request.columns), ("--where", request.where)):
        if stated:
            raise WrongSliceError(
                f"{option} is not allowed with --format {name}, whose file is a whole journal; allowed:"
                " --from, --to, --currency"
            )
    days = requested_days(request)
    form = FORMATS[name]
    with published_warehouse(settings) as connection:
        existing = journal_currencies(connection)
        chosen = _currency(currency, existing, name, one=form.is_of_one_currency)
        within = JournalRange(chosen, days.get("--from"), days.get("--to"))
        chart = read_chart(settings.home.accounts, journal_accounts(connection))
        used = chart.of(journal_accounts(connection, chosen))
        warning = _check_accounts(name, chart, used)
        if warning and progress is not None:
            progress(warning)
        count = 0

        def write(partial: Path) -> None:
            nonlocal count
            with partial.open("w", encoding="utf-8", newline="") as stream:
                transactions = _transactions(connection, within, chart, form)
                count = form.write(stream, transactions, used, [chosen] if chosen else existing)
            if compression is not None:
                compress_in_place(partial, compression)

        replace_file(file, write)
    if form.max_lines is not None and count > form.max_lines and progress is not None:
        progress(
            f"Warning: the file has {count:,} lines, and {name} imports up to {form.max_lines} at once;"
            " export shorter ranges with --from and --to. They add up to the whole."
        )
    return count


def _transactions(
    connection: duckdb.DuckDBPyConnection, within: JournalRange, chart: Chart, form: Format
) -> Iterable[Transaction]:
    names = {name: form.booked_as(account) for name, account in chart.accounts.items()}
    balances = opening_balances(connection, within, names)
    rounding = form.booked_as(chart.rounding)
    return rounded_transactions(lines(connection, within), names, rounding, balances)


def _currency(stated: str | None, existing: Sequence[str], name: JournalFormat, *, one: bool) -> str | None:
    """Return the currency of the file in lower case; None for all, or for a journal without lines."""
    if stated is not None:
        if (currency := stated.strip().lower()) not in existing:
            raise WrongSliceError(
                f"--currency {stated!r}: the journal has no lines in it; allowed:"
                f" {', '.join(existing) or 'none'}"
            )
        return currency
    # Of the whole journal, not of the range: the same command must not mix up currencies from month to month.
    if one and len(existing) > 1:
        raise WrongSliceError(
            f"--currency is missing: a file of {name} has one currency, and the journal has several; allowed:"
            f" {', '.join(existing)}"
        )
    return existing[0] if one and existing else None


def _check_accounts(name: JournalFormat, chart: Chart, used: Sequence[Account]) -> str | None:
    """Require accounts that a program can import; return a warning if it will only do so after a change."""
    if name == "hledger":
        for account in used:
            hledger.check_account(account)
    if name != "xero" or not (missing := [account for account in used if not account.code]):
        return None
    listed = ", ".join(account.account for account in missing)
    if not chart.has_file:
        return (
            f"Warning: {chart.file} does not exist, so the names of accounts stand in place of codes. Xero"
            f" needs codes: write the file with the columns account,code,name,type for {listed}."
        )
    where = next((account.where for account in missing if account.where), str(chart.file))
    raise AccountsError(f"{where}: code: is missing for {listed}; Xero needs the code of each account")
