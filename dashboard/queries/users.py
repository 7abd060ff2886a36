"""Users, their wallets and their errors."""

from collections.abc import Sequence
from typing import Any

from dashboard.filters import OF_USERS, Filters, any_of, id_contains, user_conditions
from dashboard.queries.paging import PageRequest, count_rows
from dashboard.queries.usage import LISTS, RATIOS, ZERO_SUMS, Grain
from dashboard.snapshot import Row, Snapshot
from exports.filters import Filter, all_of

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
    "charges_without_cost",
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


def currencies_of_users(snapshot: Snapshot, search: str) -> list[str]:
    """Return the currencies in which there are users whose id contains `search`, whatever the filters are."""
    where, values = all_of([id_contains(search)])
    rows = snapshot.rows(
        f"select distinct currency from marts.rpt_users where {where} order by currency", values
    )
    return [row["currency"] for row in rows]


def people(snapshot: Snapshot, filters: Filters) -> Row:
    """Return how many people there are over all currencies. Everyone counts once.

    `users` are all users of the ledger and of events, whatever the period, paywalls and models are.
    `active_payers` and `new_payers` are those of the period, as docs/metrics.md defines them.
    `users_with_credit` have a wallet above 0 at the end of the period.
    """
    chosen, chosen_values = all_of(
        [any_of(column, getattr(filters, name)) for _, name, column in OF_USERS if getattr(filters, name)]
    )
    paywalls, paywall_values = all_of(
        [any_of("paywall_id", filters.paywalls)] if filters.paywalls else [Filter("true", ())]
    )
    return snapshot.rows(
        f"""with chosen as (select user_id, currency from marts.rpt_users where {chosen}),
        payers as (
            select distinct user_id from marts.usage(?, ?, by_user := true, until := ?, {LISTS})
            where revenue > 0 and user_id is not null
        ),
        first_payments as (
            select distinct user_id from marts.fct_user_days
            where is_new_payer and date_day >= ? and date_day < ?
        ),
        credits as (
            select balances.user_id
            from marts.balances(least(?, (select today from ops.settings))) as balances
            semi join chosen using (user_id, currency) where closing_balance > 0 and {paywalls}
        )
        select
            (select count(distinct user_id) from chosen) as users,
            (select count(*) from payers) as active_payers,
            (select count(*) from payers semi join first_payments using (user_id)) as new_payers,
            (select count(distinct user_id) from credits) as users_with_credit""",
        [
            *chosen_values,
            filters.since,
            filters.until,
            filters.cut,
            *filters.lists.values(),
            filters.since,
            filters.until,
            filters.last_day,
            *paywall_values,
        ],
    )[0]


def user(snapshot: Snapshot, user_id: str) -> Row | None:
    """Return a user's row of `dim_users`."""
    return next(iter(snapshot.rows("select * from marts.dim_users where user_id = ?", [user_id])), None)


def user_reports(snapshot: Snapshot, user_id: str) -> list[Row]:
    """Return a user's rows of `rpt_users`, one for each currency, with the cost coverage of all time."""
    return snapshot.rows(
        """with months as (
            select currency, sum(counted_charges) as counted, sum(charges_without_cost) as unknown
            from marts.fct_user_months where user_id = $1 group by currency
        )
        select reports.*, marts.ratio(counted - unknown, counted) as cost_coverage
        from marts.rpt_users as reports left join months using (currency)
        where user_id = $1 order by currency""",
        [user_id],
    )


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


def user_errors(snapshot: Snapshot, user_id: str, filters: Filters, limit: int) -> list[Row]:
    """Return the latest errors of a user's requests in the period."""
    where, values = all_of(
        [
            Filter("user_id = ?", (user_id,)),
            Filter("error_date >= ? and error_date < ?", (filters.since, filters.until)),
            *([any_of("paywall_id", filters.paywalls)] if filters.paywalls else []),
            *([any_of("model_id", filters.models)] if filters.models else []),
        ]
    )
    return snapshot.rows(
        f"""select * from marts.fct_usage_errors where {where}
        order by occurred_at desc, event_id limit ?""",
        [*values, limit],
    )


# A statement about the balance. The request that it refuses is another event, `request.blocked`.
NO_REQUEST = "balance.depleted"


def _failed_requests(filters: Filters, user_id: str) -> tuple[str, list[Any]]:
    """Return a query of the user's requests with an error in the period, each once, with its first error."""
    conditions = [
        Filter("user_id = ?", (user_id,)),
        Filter("error_date >= ? and error_date < ?", (filters.since, filters.until)),
        Filter("error_kind <> ?", (NO_REQUEST,)),
        *([any_of("paywall_id", filters.paywalls)] if filters.paywalls else []),
    ]
    where, values = all_of(conditions)
    models, model_values = all_of(
        [any_of("model_id", filters.models)] if filters.models else [Filter("true", ())]
    )
    query = f"""select error_date, request_id, model_id from (
            select error_date, request_id, coalesce(model_id, 'unknown') as model_id
            from marts.fct_usage_errors where {where}
            qualify row_number() over (
                partition by request_id, case when request_id is null then event_id end
                order by occurred_at, event_id
            ) = 1
        ) where {models}"""
    return query, [*values, *model_values]


def _of_user(filters: Filters) -> list[Any]:
    """Return the lists of `filters` without those about users."""
    return [*list(filters.lists.values())[:3], None, None, None]


def usage_by_model(snapshot: Snapshot, user_id: str, filters: Filters) -> list[Row]:
    """Return a user's usage by model in the period, and the requests with an error, in any currency.

    Models with the most revenue come first. Errors that state no model count under `unknown`.
    """
    errors, error_values = _failed_requests(filters, user_id)
    return snapshot.rows(
        f"""with usage as (
            select * from marts.usage(?, ?, by_user := true, by_model := true, {LISTS})
            where user_id = ? and currency = ?
        ),
        errors as ({errors}),
        by_model as (
            select models.model_id, {ZERO_SUMS}
            from (select model_id from usage union select model_id from errors) as models
            left join usage on models.model_id = usage.model_id group by models.model_id
        )
        select *, {RATIOS}, (select count(*) from errors where errors.model_id = by_model.model_id) as errors
        from by_model order by revenue desc, errors desc, model_id""",
        [filters.since, filters.until, *_of_user(filters), user_id, filters.currency, *error_values],
    )


def error_rates(snapshot: Snapshot, user_id: str, filters: Filters, grain: Grain) -> list[Row]:
    """Return a user's error rate: of the whole period (`starts_on` is NULL), and by day, week or month.

    `errors` are requests with an error, and `charges` are settled charges in any currency, without those of
    requests with an error, so that every request counts once. A step without both has no rate.
    """
    errors, error_values = _failed_requests(filters, user_id)
    both, both_values = all_of(
        [
            Filter("user_id = ?", (user_id,)),
            Filter("entry_date >= ? and entry_date < ?", (filters.since, filters.until)),
            Filter("entry_type = 'charge' and status = 'settled'", ()),
            *([any_of("paywall_id", filters.paywalls)] if filters.paywalls else []),
            *([any_of("model_id", filters.models)] if filters.models else []),
        ]
    )
    lists = _of_user(filters)
    lists[2] = None  # errors have no type of entry
    return snapshot.rows(
        f"""with errors as ({errors}),
        counts as (
            select date_day, charges, 0 as errors
            from marts.usage(?, ?, by_user := true, {LISTS}) where user_id = ?
            union all
            select entry_date, -1, 0 from marts.fct_ledger_entries
            where {both} and request_id in (select request_id from errors where request_id is not null)
            union all
            select error_date, 0, 1 from errors
        ),
        summed as (
            select cast(date_trunc('{grain}', dates.date_day) as date) as starts_on,
                coalesce(sum(charges), 0) as charges, coalesce(sum(errors), 0) as errors
            from marts.dim_dates as dates left join counts on dates.date_day = counts.date_day
            where dates.date_day >= ? and dates.date_day < ?
            group by grouping sets ((), (starts_on))
        )
        select starts_on, charges, errors, marts.ratio(errors, charges + errors) as error_rate
        from summed order by starts_on nulls first""",
        [
            *error_values,
            filters.since,
            filters.until,
            *lists,
            user_id,
            *both_values,
            filters.since,
            filters.until,
        ],
    )
