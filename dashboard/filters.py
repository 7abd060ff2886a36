"""What a page is limited to: a period, a currency, kinds of entries and of users, in the words of an
address.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import Any

from exports.filters import Filter, all_of
from paywall_warehouse.quoting import quoted

Address = Mapping[str, Sequence[str]]
"""The parameters of an address; each name has one value or several."""

# The parameter of an address, the field of `Filters` (and parameter of the warehouse's table macros), the
# column that it limits.
OF_ENTRIES = (
    ("paywall", "paywalls", "paywall_id"),
    ("model", "models", "model_id"),
    ("type", "entry_types", "entry_type"),
)
OF_USERS = (
    ("status", "user_statuses", "status"),
    ("band", "balance_bands", "balance_band"),
    ("payer", "payer_types", "payer_type"),
)


@dataclass(frozen=True)
class Filters:
    """Reporting days and lists of what may be shown; an empty list means all. Currencies are never mixed:
    there is always one.
    """

    since: date
    until: date
    """The day after the last."""
    currency: str
    before: tuple[date, date] | None = None
    """The period to compare with, half-open too; None: nothing is compared."""
    paywalls: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    entry_types: tuple[str, ...] = ()
    user_statuses: tuple[str, ...] = ()
    balance_bands: tuple[str, ...] = ()
    payer_types: tuple[str, ...] = ()

    @property
    def of_users(self) -> bool:
        """Whether some users are left out."""
        return bool(self.user_statuses or self.balance_bands or self.payer_types)

    @property
    def lists(self) -> dict[str, list[str] | None]:
        """The lists as parameters of `marts.kpis`, `marts.usage` and `marts.cohorts`, None for all."""
        return {name: list(getattr(self, name)) or None for _, name, _ in (*OF_ENTRIES, *OF_USERS)}

    @property
    def last_day(self) -> date:
        """The last day of the period, for people."""
        return self.until - timedelta(days=1)

    def period_before(self) -> "Filters | None":
        """The same for the period to compare with; None where nothing is compared."""
        if self.before is None:
            return None
        since, until = self.before
        return replace(self, since=since, until=until, before=None)

    def address(self) -> list[tuple[str, str]]:
        """The parameters that `filters_of` reads."""
        lists = [
            (parameter, value)
            for parameter, name, _ in (*OF_ENTRIES, *OF_USERS)
            for value in getattr(self, name)
        ]
        return [
            ("from", self.since.isoformat()),
            ("to", self.until.isoformat()),
            ("currency", self.currency),
            *lists,
        ]


def filters_of(address: Address) -> Filters:
    """The filters that an address states; raises `ValueError` for one without days or currency."""
    try:
        since, until = (date.fromisoformat(address[name][0]) for name in ("from", "to"))
        currency = address["currency"][0]
    except (KeyError, IndexError):
        raise ValueError("from, to and currency have to be stated") from None
    lists: dict[str, Any] = {
        name: tuple(address.get(parameter, ())) for parameter, name, _ in (*OF_ENTRIES, *OF_USERS)
    }
    return Filters(since, until, currency, **lists)


# Refunds of a charge whose model nobody knows count under `unknown`, as they do in `fct_daily_revenue`.
COUNTED_MODEL = "case when entry_type = 'refund' then coalesce(model_id, 'unknown') else model_id end"


def entry_conditions(filters: Filters) -> list[Filter]:
    """What holds for a row of `fct_ledger_entries` that is shown."""
    columns = {column: quoted(column) for *_, column in OF_ENTRIES} | {"model_id": COUNTED_MODEL}
    lists = [(columns[column], getattr(filters, name)) for _, name, column in OF_ENTRIES]
    return [
        Filter("entry_date >= ? and entry_date < ?", (filters.since, filters.until)),
        Filter("currency = ?", (filters.currency,)),
        *(_any_of(expression, values) for expression, values in lists if values),
        *of_chosen_users(filters),
    ]


def of_chosen_users(filters: Filters) -> list[Filter]:
    """What holds for a row with a `user_id` where only some users are shown; nothing where all are."""
    if not filters.of_users:
        return []
    where, values = all_of(user_conditions(filters))
    return [Filter(f"user_id in (select user_id from marts.rpt_users where {where})", tuple(values))]


def user_conditions(filters: Filters) -> list[Filter]:
    """What holds for a row of `rpt_users` that is shown."""
    lists = [(column, getattr(filters, name)) for _, name, column in OF_USERS]
    return [
        Filter("currency = ?", (filters.currency,)),
        *(any_of(column, values) for column, values in lists if values),
    ]


def id_contains(search: str) -> Filter:
    """The user ids that have a text in them, in upper or lower case; no character of it stands for others."""
    return Filter("contains(lower(user_id), lower(?))", (search,))


def any_of(column: str, values: Sequence[str]) -> Filter:
    """A column has one of some values."""
    return _any_of(quoted(column), values)


def _any_of(expression: str, values: Sequence[str]) -> Filter:
    return Filter(f"{expression} in ({', '.join('?' for _ in values)})", tuple(values))
