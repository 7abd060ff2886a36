"""hledger's journal format (https://hledger.org/hledger.html), which `hledger check --strict` accepts.

Accounts and commodities are declared, so that a strict check finds a wrong name. Commodities are the codes of
ISO 4217. The day that a transaction relates to is its tag `relates_to`.
"""

from collections.abc import Iterable, Sequence
from typing import Final, TextIO

from exports.accounting.accounts import Account, AccountsError
from exports.accounting.rounding import Posting, Transaction
from exports.accounting.wording import amount_text, description
from paywall_warehouse.currencies import minor_unit

TYPE_CODES: Final = {"asset": "A", "liability": "L", "equity": "E", "revenue": "R", "expense": "X"}
# What hledger reads as something else in the place of a name: a status, a virtual posting, a comment, the end
# of the name.
NOT_FIRST: Final = "*!([;"
NOT_INSIDE: Final = (";", "  ", "::")


def check_account(account: Account) -> None:
    """Require a name that hledger reads as one account. Raises `AccountsError`."""
    name = account.name
    if name[0] in NOT_FIRST or name.strip(":") != name or any(part in name for part in NOT_INSIDE):
        raise AccountsError(
            f"{account.where}: name: hledger does not read {name!r} as an account; a name starts with none of"
            f" {' '.join(NOT_FIRST)}, and has no semicolon, no two spaces in a row, and text on both sides of"
            " each colon"
        )


def write(
    stream: TextIO,
    transactions: Iterable[Transaction],
    accounts: Sequence[Account],
    currencies: Sequence[str],
) -> int:
    """Write a journal and return the number of postings. Postings name accounts by their name."""
    stream.write(
        "; The table marts.fct_journal_lines of paywall-warehouse, each balance rounded to its currency's"
        " decimals.\n; Files of consecutive ranges of days add up: import each day once.\n\n"
        # Without it, hledger would have to guess what the point in 1.000 means.
        "decimal-mark .\n\n"
    )
    for currency in currencies:
        stream.write(f"commodity {_sample_number(currency)} {currency.upper()}\n")
    stream.write("\n")
    for account in {account.name: account for account in accounts}.values():
        stream.write(_declaration(account))
    width = max((len(account.name) for account in accounts), default=0)
    count = 0
    for transaction in transactions:
        occasion = transaction.occasion
        stream.write(
            f"\n{occasion.journal_date.isoformat()} {description(occasion)}"
            f"  ; journal:{occasion.journal}, relates_to:{occasion.relates_to.isoformat()}\n"
        )
        for posting in transaction.postings:
            stream.write(_posting(posting, occasion.currency, width))
            count += 1
    return count


def _declaration(account: Account) -> str:
    tags = [f"type:{TYPE_CODES[account.type]}"] if account.type else []
    tags += [f"code:{account.code}"] if account.code else []
    return f"account {account.name}" + (f"  ; {', '.join(tags)}" if tags else "") + "\n"


def _posting(posting: Posting, currency: str, width: int) -> str:
    return f"    {posting.account:<{width}}  {amount_text(posting.amount):>15} {currency.upper()}\n"


def _sample_number(currency: str) -> str:
    """Return a number in the style of a currency. hledger wants the point even if no decimals follow."""
    return f"1000.{'0' * minor_unit(currency)}"
