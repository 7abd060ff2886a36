"""The filters of a page: a period, a currency, and lists of entry and user attributes.

They are read from the parameters of an address, and turned into SQL conditions.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from typing import Any

from exports.filters import Filter, all_of
from paywall_warehouse.quoting import quoted

Address = Mapping[str, Sequence[str]]
"""The parameters of an address. A name may have several values."""

# The parameter of an address; the field of `Filters`, which is also the parameter of the warehouse's table
# macros; the column that it limits.
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
    """The filters of a page. An empty list means all values.

    There is always exactly one currency, because currencies are never mixed.
    """

    since: date
    until: date
    """The day after the last day."""
    currency: str
    before: tuple[date, date] | None = None
    """The period to compare with, also half-open; None for no comparison."""
    before_cut: datetime | None = None
    """If the last day of the period is not over: the same time on the last day of the period before."""
    cut: datetime | None = None
    """An instant of the last day: usage after it is left out."""
    paywalls: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    entry_types: tuple[str, ...] = ()
    user_statuses: tuple[str, ...] = ()
    balance_bands: tuple[str, ...] = ()
    payer_types: tuple[str, ...] = ()

    @property
    def limits_users(self) -> bool:
        """Whether the filters exclude some users."""
        return bool(self.user_statuses or self.balance_bands or self.payer_types)

    @property
    def lists(self) -> dict[str, list[str] | None]:
        """The lists as parameters of `marts.kpis`, `marts.usage` and `marts.cohorts`; None means all."""
        return {name: list(getattr(self, name)) or None for _, name, _ in (*OF_ENTRIES, *OF_USERS)}

    @property
    def last_day(self) -> date:
        """The last day of the period."""
        return self.until - timedelta(days=1)

    def period_before(self) -> "Filters | None":
        """Return the same filters for the period to compare with, None for no comparison."""
        if self.before is None:
            return None
        since, until = self.before
        return replace(self, since=since, until=until, before=None, before_cut=None, cut=self.before_cut)

    def address(self) -> list[tuple[str, str]]:
        """Return the parameters that `filters_of` reads."""
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
    """Return the filters of an address. Raises `ValueError` if it has no valid days or no currency."""
    try:
        since, until = (date.fromisoformat(address[name][0]) for name in ("from", "to"))
        currency = address["currency"][0]
    except (KeyError, IndexError):
        raise ValueError("from, to and currency are required") from None
    lists: dict[str, Any] = {
        name: tuple(address.get(parameter, ())) for parameter, name, _ in (*OF_ENTRIES, *OF_USERS)
    }
    return Filters(since, until, currency, **lists)


# Refunds of a charge without a known model count as `unknown`, as in `fct_daily_revenue`.
COUNTED_MODEL = "case when entry_type = 'refund' then coalesce(model_id, 'unknown') else model_id end"


def entry_conditions(filters: Filters) -> list[Filter]:
    """Return the conditions on rows of `fct_ledger_entries`."""
    columns = {column: quoted(column) for *_, column in OF_ENTRIES} | {"model_id": COUNTED_MODEL}
    lists = [(columns[column], getattr(filters, name)) for _, name, column in OF_ENTRIES]
    return [
        Filter("entry_date >= ? and entry_date < ?", (filters.since, filters.until)),
        Filter("currency = ?", (filters.currency,)),
        *(_any_of(expression, values) for expression, values in lists if values),
        *of_chosen_users(filters),
    ]


def of_chosen_users(filters: Filters) -> list[Filter]:
    """Return the conditions on rows with a `user_id`. There are none if all users are shown."""
    if not filters.limits_users:
        return []
    where, values = all_of(user_conditions(filters))
    return [Filter(f"user_id in (select user_id from marts.rpt_users where {where})", tuple(values))]


def user_conditions(filters: Filters) -> list[Filter]:
    """Return the conditions on rows of `rpt_users`."""
    lists = [(column, getattr(filters, name)) for _, name, column in OF_USERS]
    return [
        Filter("currency = ?", (filters.currency,)),
        *(any_of(column, values) for column, values in lists if values),
    ]


def id_contains(search: str) -> Filter:
    """Return the condition that a user id contains a text, in any case and without wildcards."""
    return Filter("contains(lower(user_id), lower(?))", (search,))


def any_of(column: str, values: Sequence[str]) -> Filter:
    """Return the condition that a column has one of `values`."""
    return _any_of(quoted(column), values)


def _any_of(expression: str, values: Sequence[str]) -> Filter:
    return Filter(f"{expression} in ({', '.join('?' for _ in values)})", tuple(values))
