"""Rounding of the journal to the decimals that a ledger holds, so that no balance is ever half a unit off.

The table has up to twelve decimals, a general ledger has those of the currency. If each line were rounded by
itself, a thousand charges of 0.004 would be booked as nothing. So balances are rounded, not amounts: after
every line, its account stands at its exact balance rounded half-even. A line's amount in the file is the
difference between its account's rounded balances after and before it.

- **After each day every account stands at its exact balance, rounded**, because the differences add up to the
  rounded balance after the last line. How a day is divided into transactions does not matter for that.
- **No line changes its side**, because rounding is monotonic: a debit never lowers a rounded balance. A line
  that moves no rounded balance is left out, and so is a transaction without lines.
- **A transaction is all lines of one date, currency, journal and day that they relate to.** Its exact debits
  and credits are equal, its rounded ones may differ by a few units. A line for the account `rounding` in the
  same transaction closes this gap, so that every transaction balances. The account `rounding` stands at minus
  the sum of the other rounded balances: at most half a unit for each account, however many days there are.
- **Files of consecutive ranges add up to the file of the whole**, line for line, because a line depends on
  the exact balances before it only. A file with a first day therefore begins with the balances of the days
  before it.

Accounts that are booked as one, because they share a name or a code, have one balance.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import ROUND_HALF_EVEN, Context, Decimal
from itertools import groupby
from typing import Final, NamedTuple

from paywall_warehouse.currencies import minor_unit
from warehouse.checks.invariant import exact_text
from warehouse.published import NotPublishedError

# Python's default context keeps 28 digits; sums of DECIMAL(38,12) may have more than 38.
EXACT: Final = Context(prec=80, rounding=ROUND_HALF_EVEN)
NOTHING: Final = Decimal(0)


class Occasion(NamedTuple):
    """The lines with these values are one transaction."""

    journal_date: date
    currency: str
    """In lower case."""
    journal: str
    relates_to: date
    """The day that the lines are about: an earlier one for adjustments of closed months."""


class Line(NamedTuple):
    """A line of the table: an exact amount, positive for a debit, negative for a credit."""

    occasion: Occasion
    account: str
    amount: Decimal


class Posting(NamedTuple):
    """A rounded amount of one account, positive for a debit, negative for a credit; never 0."""

    account: str
    amount: Decimal
    """With exactly the decimals of its currency."""


@dataclass(frozen=True)
class Transaction:
    """Postings whose amounts add up to 0."""

    occasion: Occasion
    postings: tuple[Posting, ...]


def rounded(amount: Decimal, currency: str) -> Decimal:
    """Round an amount half-even to the decimals of its currency."""
    # Without a negative zero, which Python would write as -0.00.
    return EXACT.add(EXACT.quantize(amount, Decimal(1).scaleb(-minor_unit(currency))), NOTHING)


class Balances:
    """The exact balance of each account and currency, positive for a debit balance."""

    def __init__(self) -> None:
        self._exact: dict[tuple[str, str], Decimal] = {}

    def add(self, currency: str, account: str, amount: Decimal) -> Decimal:
        """Add an amount to a balance, and return by how much that moves the rounded balance."""
        before = self._exact.get((currency, account), NOTHING)
        after = EXACT.add(before, amount)
        self._exact[currency, account] = after
        return EXACT.subtract(rounded(after, currency), rounded(before, currency))


def rounded_transactions(
    lines: Iterable[Line], names: Mapping[str, str], rounding: str, balances: Balances
) -> Iterator[Transaction]:
    """Yield the transactions of lines in the order of their occasions.

    `names` has the account under which each account of the table is booked, `rounding` is the account of the
    rest, and `balances` are those before the first line, by booked account. Only one transaction is in memory
    at a time. Raises `NotPublishedError` if the exact amounts of a transaction do not balance.
    """
    for occasion, group in groupby(lines, key=lambda line: line.occasion):
        postings, exact, rest = [], NOTHING, NOTHING
        for line in group:
            account = names[line.account]
            amount = balances.add(occasion.currency, account, line.amount)
            exact, rest = EXACT.add(exact, line.amount), EXACT.subtract(rest, amount)
            if amount:
                postings.append(Posting(account, amount))
        if exact:
            raise NotPublishedError(_unbalanced(occasion, exact))
        if rest:
            postings.append(Posting(rounding, rest))
        if postings:
            yield Transaction(occasion, tuple(postings))


def _unbalanced(occasion: Occasion, difference: Decimal) -> str:
    return (
        f"marts.fct_journal_lines: the lines of journal {occasion.journal!r} on {occasion.journal_date}"
        f" ({occasion.currency}, relates to {occasion.relates_to}) have debits minus credits ="
        f" {exact_text(difference)}, which must be 0. Rebuild with `paywall-warehouse run --full-refresh`,"
        " and report the error if it remains."
    )
