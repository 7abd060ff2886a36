"""The CSV file that Xero imports as manual journals, with the columns of its template.

Facts from Xero's help: rows with the same narration and date are one journal, which must balance; a positive
amount is a debit; dates are `dd/mm/yyyy` or `dd mmm yyyy`, of which the second is the same everywhere; a file
has up to 300 lines. The tax rate is the name of a rate in Xero. No import was tried with a live account.
"""

import csv
from collections.abc import Iterable, Sequence
from datetime import date
from typing import Final, TextIO

from exports.accounting.accounts import Account
from exports.accounting.rounding import Transaction
from exports.accounting.wording import about, amount_text, cell

HEADER: Final = (
    "Narration",
    "Date",
    "Description",
    "AccountCode",
    "TaxRate",
    "Amount",
    "TrackingName1",
    "TrackingOption1",
    "TrackingName2",
    "TrackingOption2",
)
NO_TRACKING: Final = ("",) * 4
TAX_RATE: Final = "NONE"
MAX_LINES: Final = 300
# Not `strftime`, whose months are in the language of the machine.
MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def booked_as(account: Account) -> str:
    """Return the code of an account, or its name in the journal if it has none."""
    return account.code or account.account


def write(
    stream: TextIO,
    transactions: Iterable[Transaction],
    accounts: Sequence[Account],
    currencies: Sequence[str],
) -> int:
    """Write the file and return the number of rows. Postings name accounts as `booked_as` does."""
    names = {booked_as(account): account.name for account in accounts}
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(HEADER)
    count = 0
    for transaction in transactions:
        narration, day = about(transaction.occasion), _day(transaction.occasion.journal_date)
        for posting in transaction.postings:
            texts = (narration, day, names[posting.account], posting.account, TAX_RATE)
            writer.writerow((*map(cell, texts), amount_text(posting.amount), *NO_TRACKING))
            count += 1
    return count


def _day(day: date) -> str:
    return f"{day.day:02} {MONTHS[day.month - 1]} {day.year}"
