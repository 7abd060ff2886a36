"""The CSV file that QuickBooks Online imports as journal entries, with the columns of its sample file.

Facts from Intuit's help: rows with the same journal number are one entry, which must balance; an account is
named as in the chart of accounts, a sub-account as `Parent:Sub`. Guides of others agree on `mm/dd/yyyy`. The
program keeps up to 21 characters of a number. No import was tried with a live account.
"""

import csv
from collections.abc import Iterable, Sequence
from typing import Final, TextIO

from exports.accounting.accounts import Account
from exports.accounting.rounding import Occasion, Transaction
from exports.accounting.wording import about, amount_text, cell

HEADER: Final = (
    "JournalNo",
    "JournalDate",
    "AccountName",
    "Debits",
    "Credits",
    "Description",
    "Name",
    "Currency",
    "Location",
    "Class",
)
SHORT: Final = {
    "receipts": "rec",
    "usage": "usa",
    "settlement": "set",
    "refunds": "ref",
    "returns": "ret",
    "expiry": "exp",
    "cogs": "cog",
    "fees": "fee",
}


def journal_number(occasion: Occasion) -> str:
    """Return a number that is unique, whichever range is exported: `261101-usd-usa`, `261101-usd-usa-261003`.

    QuickBooks can refuse numbers that it has already, so that nothing is imported twice.
    """
    journal = SHORT.get(occasion.journal, occasion.journal)
    number = f"{occasion.journal_date:%y%m%d}-{occasion.currency}-{journal}"
    if occasion.relates_to == occasion.journal_date:
        return number
    return f"{number}-{occasion.relates_to:%y%m%d}"


def write(
    stream: TextIO,
    transactions: Iterable[Transaction],
    accounts: Sequence[Account],
    currencies: Sequence[str],
) -> int:
    """Write the file and return the number of rows. Postings name accounts by their name."""
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(HEADER)
    count = 0
    for transaction in transactions:
        occasion = transaction.occasion
        number, words = cell(journal_number(occasion)), cell(about(occasion))
        for account, amount in transaction.postings:
            sides = (amount_text(amount), "") if amount > 0 else ("", amount_text(amount.copy_abs()))
            row = (number, f"{occasion.journal_date:%m/%d/%Y}", cell(account), *sides, words)
            writer.writerow((*row, "", occasion.currency.upper(), "", ""))
            count += 1
    return count
