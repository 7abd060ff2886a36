"""The journal's accounts, and `accounts.csv` in the home, which has their names and codes in a ledger."""

import csv
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final, Literal, get_args

from exports.filters import WrongSliceError

AccountType = Literal["asset", "liability", "equity", "revenue", "expense"]
TYPES: Final[tuple[AccountType, ...]] = get_args(AccountType)
COLUMNS: Final = ("account", "code", "name", "type")
ROUNDING: Final = "rounding"
# docs/contract.md, section 5b. Promotional credits reduce revenue, so they are booked among it. An adjustment
# gives credit without money, or takes it without returning money.
TYPES_OF_ACCOUNTS: Final[Mapping[str, AccountType]] = {
    "clearing": "asset",
    "accounts_receivable": "asset",
    "overdraft_receivable": "asset",
    "deferred_revenue": "liability",
    "accrued_provider_cost": "liability",
    "accrued_platform_fees": "liability",
    "usage_revenue": "revenue",
    "promotional_credits": "revenue",
    "breakage_revenue": "revenue",
    "adjustments": "expense",
    "provider_cost": "expense",
    "platform_fees": "expense",
    ROUNDING: "expense",
}


class AccountsError(WrongSliceError):
    """A mistake in `accounts.csv`. The message has file, line, field and remedy."""


@dataclass(frozen=True)
class Account:
    """An account of the journal, as the ledger knows it."""

    account: str
    """The name in the table."""
    name: str
    code: str = ""
    """Empty if none is stated."""
    type: AccountType | None = None
    """None for an account that neither this program nor `accounts.csv` knows."""
    where: str = field(default="", compare=False)
    """File and line, for messages; empty if `accounts.csv` does not have the account."""


@dataclass(frozen=True)
class Chart:
    """Every account that the journal may have, by its name in the table."""

    file: Path
    """The place of `accounts.csv`, which need not exist."""
    has_file: bool
    accounts: Mapping[str, Account]

    @property
    def rounding(self) -> Account:
        """The account of what rounding leaves."""
        return self.accounts[ROUNDING]

    def of(self, used: Iterable[str]) -> list[Account]:
        """Return the accounts in use and `rounding`, in the chart's order."""
        wanted = {*used, ROUNDING}
        return [account for name, account in self.accounts.items() if name in wanted]


def read_chart(file: Path, journal_accounts: Collection[str]) -> Chart:
    """Return the accounts with their names, codes and types from `accounts.csv`, if it exists.

    `journal_accounts` are those of the table. An account that the file does not have keeps its name. Raises
    `AccountsError`.
    """
    known = list(dict.fromkeys([*TYPES_OF_ACCOUNTS, *sorted(journal_accounts)]))
    chart = {name: Account(name, name, type=TYPES_OF_ACCOUNTS.get(name)) for name in known}
    has_file = file.exists()
    for account in _stated_accounts(file) if has_file else ():
        standing = chart.get(account.account)
        if standing is None:
            raise AccountsError(
                f"{account.where}: account: {account.account!r} is no account of the journal; allowed:"
                f" {', '.join(known)}"
            )
        if standing.where:
            raise AccountsError(
                f"{account.where}: account: {account.account!r} is already in {standing.where}; remove one of"
                " the two rows"
            )
        chart[account.account] = replace(account, type=account.type or standing.type)
    _check_shared(chart.values(), file)
    return Chart(file, has_file, chart)


def _stated_accounts(file: Path) -> Iterator[Account]:
    """Yield the rows of `accounts.csv`, not yet compared with the journal."""
    try:
        # Spreadsheets write a byte order mark.
        with file.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.reader(stream, strict=True)
            header = [name.strip().lower() for name in next(reader, [])]
            _check_header(header, file)
            for fields in reader:
                if any(text.strip() for text in fields):
                    yield _stated_account(header, fields, f"{file}:{reader.line_num}")
    except UnicodeDecodeError as error:
        raise AccountsError(f"{file} is not UTF-8 text; save it as CSV UTF-8") from error
    except csv.Error as error:
        raise AccountsError(f"{file}:{reader.line_num}: is not valid CSV ({error}); correct it") from error
    except OSError as error:
        raise AccountsError(f"{file} cannot be read: {error.strerror or error}; correct that") from error


def _check_header(header: list[str], file: Path) -> None:
    found = f"(found: {', '.join(header)})"
    if "account" not in header:
        raise AccountsError(
            f'{file}:1: column "account" is missing {found}; the columns are {", ".join(COLUMNS)}, separated'
            " by commas"
        )
    for name, count in Counter(header).items():
        if name not in COLUMNS or count > 1:
            fault = "is there twice" if name in COLUMNS else "is not known"
            raise AccountsError(f'{file}:1: column "{name}" {fault}; the columns are {", ".join(COLUMNS)}')


def _stated_account(header: list[str], fields: list[str], where: str) -> Account:
    if len(fields) != len(header):
        raise AccountsError(
            f"{where}: has {len(fields)} fields, but the header has {len(header)}; quote texts with commas"
        )
    row = {name: text.strip() for name, text in zip(header, fields, strict=True)}
    for name, text in row.items():
        if not text.isprintable():
            raise AccountsError(f"{where}: {name}: {text!r} has characters that are not visible; remove them")
    if not row["account"]:
        raise AccountsError(f"{where}: account: is empty; state the account of the journal")
    stated = row.get("type", "").lower()
    kind = next((one for one in TYPES if one == stated), None)
    if stated and kind is None:
        raise AccountsError(f"{where}: type: {stated!r} is not allowed; allowed: {', '.join(TYPES)}")
    return Account(row["account"], row.get("name") or row["account"], row.get("code", ""), kind, where)


def _check_shared(accounts: Collection[Account], file: Path) -> None:
    """Require that accounts that share a name or a code share name, code and type: they are booked as one."""
    for shared in ("name", "code"):
        first: dict[str, Account] = {}
        for account in accounts:
            if not (value := getattr(account, shared)):
                continue
            other = first.setdefault(value, account)
            if other is account:
                continue
            where = account.where or other.where or str(file)
            pair = f"{other.account!r} and {account.account!r} have the same {shared} {value!r}"
            if ROUNDING in (account.account, other.account):
                raise AccountsError(
                    f"{where}: {shared}: {pair}; {ROUNDING!r} needs one of its own, so that the other account"
                    " stands at its rounded balance"
                )
            for differing in ("name", "code", "type"):
                if getattr(account, differing) != getattr(other, differing):
                    raise AccountsError(
                        f"{where}: {differing}: {pair}, so they are booked as one account, but"
                        f" {getattr(other, differing)!r} is not {getattr(account, differing)!r}; state the"
                        f" same {differing} for both, or another {shared} for one"
                    )
