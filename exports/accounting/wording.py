"""The words of transactions, which all formats share, and amounts and texts as a file has them."""

import re
from decimal import Decimal
from typing import Final

from exports.accounting.rounding import Occasion
from exports.encoding import FORMULA_START

# docs/contract.md, section 5b.
DESCRIPTIONS: Final = {
    "receipts": "Credit paid for",
    "usage": "Usage",
    "settlement": "Overdrafts settled with new credit",
    "refunds": "Usage given back",
    "returns": "Credit taken back",
    "expiry": "Credit expired",
    "cogs": "Provider cost",
    "fees": "Platform fees",
}


def description(occasion: Occasion) -> str:
    """Return what a transaction is about, in the words of its journal."""
    return DESCRIPTIONS.get(occasion.journal, occasion.journal)


def about(occasion: Occasion) -> str:
    """Return the description, with the day that a transaction relates to if that is an earlier one."""
    words = description(occasion)
    if occasion.relates_to == occasion.journal_date:
        return words
    return f"{words}, adjustment of {occasion.relates_to.isoformat()}"


def amount_text(amount: Decimal) -> str:
    """Return a number with all its decimals, without exponent and separators."""
    return format(amount, "f")


def cell(text: str) -> str:
    """Return a text that no spreadsheet runs as a formula (docs/contract.md#64-csv-and-mirrors)."""
    return f"'{text}" if re.match(FORMULA_START, text) else text
