"""Users, their wallets and their errors."""

from collections.abc import Sequence
from datetime import date
from typing import Any

from dashboard.filters import Filters, id_contains, user_conditions
from dashboard.queries.paging import PageRequest, count_rows
from dashboard.snapshot import Row, Snapshot
from exports.filters import all_of

USER_COLUMNS = (
    "user_id",
    "status",
    "payer_type",
    "balance",
    "balance_band",
    "total_spend",
    "total_deposits",
    "charges",
    "provider_cost",
    "profit",
    "cost_to_serve",
    "last_activity_at",
    "errors_30d",
    "last_error_code",
)


def _found_users(filters: Filters, search: str) -> tuple[str, list[Any]]:
    conditions = user_conditions(filters)
    if search:
        conditions.append(id_contains(search))
    return all_of(conditions)


def count_users(snapshot: Snapshot, filters: Filters, search: str) -> int:
    """Return the number of users whose id contains `search`."""
    where, values = _found_users(filters, search)
    return count_rows(snapshot, f"select count(*) as rows from marts.rpt_users where {where}", values)


def users(snapshot: Snapshot, filters: Filters, search: str, page: PageRequest) -> list[Row]:
    """Return a page of the users."""
    where, values = _found_users(filters, search)
    chosen = ", ".join(USER_COLUMNS)
    return snapshot.rows(
        f"select {chosen} from marts.rpt_users where {where} {page.sql(USER_COLUMNS, 'user_id')}", values
    )


def user(snapshot: Snapshot, user_id: str) -> Row | None:
    """Return a user's row of `dim_users`."""
    return next(iter(snapshot.rows("select * from marts.dim_users where user_id = ?", [user_id])), None)


def user_reports(snapshot: Snapshot, user_id: str) -> list[Row]:
    """Return a user's rows of `rpt_users`, one for each currency."""
    return snapshot.rows("select * from marts.rpt_users where user_id = ? order by currency", [user_id])


def wallets(snapshot: Snapshot, user_id: str) -> list[Row]:
    """Return the user's wallets and their current balances."""
    return snapshot.rows(
        """select paywall_id, currency, closing_balance, date_day as last_movement from marts.fct_wallet_days
        where user_id = ? and valid_to is null order by currency, paywall_id""",
        [user_id],
    )


def wallet_balances(snapshot: Snapshot, user_id: str, currency: str, paywalls: Sequence[str]) -> list[Row]:
    """Return opening and closing balances of the user's wallets on the days on which they changed."""
    return snapshot.rows(
        """select date_day, paywall_id, opening_balance, closing_balance from marts.fct_wallet_days
        where user_id = $1 and currency = $2 and (len($3) = 0 or list_contains($3, paywall_id))
            order by date_day, paywall_id""",
        [user_id, currency, list(paywalls)],
    )


def user_errors(snapshot: Snapshot, user_id: str, since: date, until: date, limit: int) -> list[Row]:
    """Return the latest errors of a user's requests."""
    return snapshot.rows(
        """select * from marts.fct_usage_errors where user_id = ? and error_date >= ? and error_date < ?
        order by occurred_at desc, event_id limit ?""",
        [user_id, since, until, limit],
    )
