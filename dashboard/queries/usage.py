"""Revenue, cost and profit by period, step, model and user; balances owed; cohorts."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from decimal import Decimal
from typing import Any, Literal

from dashboard.filters import Filters, any_of, of_chosen_users
from dashboard.snapshot import Row, Snapshot
from exports.filters import Filter, all_of

Grain = Literal["day", "week", "month"]
GRAINS: tuple[Grain, ...] = ("day", "week", "month")
ADDITIVE = (
    "charges",
    "counted_charges",
    "charges_without_cost",
    "prompt_tokens",
    "completion_tokens",
    "total_tokens",
    "revenue",
    "refunds",
    "net_revenue",
    "provider_cost",
    "platform_fees",
    "profit",
    "net_profit",
)
# With filters on users, sums are computed from millions of rows: of those for charts and lists of the highest
# rows, only the ones that are shown.
OVER_TIME = (
    "charges",
    "total_tokens",
    "revenue",
    "refunds",
    "provider_cost",
    "platform_fees",
    "profit",
)
FEW = (
    "charges",
    "counted_charges",
    "charges_without_cost",
    "total_tokens",
    "revenue",
    "provider_cost",
    "profit",
)
SUMS = ", ".join(f"sum({name}) as {name}" for name in ADDITIVE)
FEW_SUMS = ", ".join(f"sum({name}) as {name}" for name in FEW)
ZERO_SUMS = ", ".join(f"coalesce(sum({name}), 0) as {name}" for name in ADDITIVE)
# The ratios of grouped usage, by the warehouse's definition of a ratio.
RATIOS = """
    marts.ratio(profit, revenue) as margin,
    marts.ratio(counted_charges - charges_without_cost, counted_charges) as cost_coverage,
    case when counted_charges > charges_without_cost then marts.ratio(provider_cost, charges) end
        as cost_to_serve"""
LISTS = (
    "paywalls := ?, models := ?, entry_types := ?, user_statuses := ?, balance_bands := ?, payer_types := ?"
)


def kpis(snapshot: Snapshot, filters: Filters) -> Row | None:
    """Return the period KPIs (docs/contract.md#43-period-kpis) for any filters.

    None if the ledger does not have the currency. The columns of the previous period are left out: a separate
    query of that period returns all of its KPIs.
    """
    return next(
        (row for row in kpis_by_currency(snapshot, filters) if row["currency"] == filters.currency), None
    )


def kpis_by_currency(snapshot: Snapshot, filters: Filters) -> list[Row]:
    """Return the period KPIs of every currency of the ledger, whatever the currency of the filters is."""
    # An empty previous period, so that nothing is read for it.
    query = f"""select * exclude (previous_revenue, previous_provider_cost, previous_profit,
        previous_active_payers, previous_arpu)
        from marts.kpis(?, ?, previous_from := ?, previous_to := ?, until := ?, {LISTS})"""
    days = [filters.since, filters.until, filters.since, filters.since, filters.cut]
    return snapshot.rows(query, [*days, *filters.lists.values()])


def _usage(filters: Filters, *, by_user: bool = False, by_model: bool = False) -> tuple[str, list[Any]]:
    source = (
        f"(select * from marts.usage(?, ?, by_user := {by_user}, by_model := {by_model}, until := ?, {LISTS})"
        " where currency = ?) as usage"
    )
    return source, [filters.since, filters.until, filters.cut, *filters.lists.values(), filters.currency]


def usage_over_time(
    snapshot: Snapshot, filters: Filters, grain: Grain, columns: Sequence[str] = OVER_TIME
) -> list[Row]:
    """Return usage by day, week (from Monday) or month of the period. Steps without usage have zeros."""
    source, values = _usage(filters)
    sums = ", ".join(f"coalesce(sum({name}), 0) as {name}" for name in columns)
    return snapshot.rows(
        f"""select cast(date_trunc('{grain}', dates.date_day) as date) as starts_on, {sums}
        from marts.dim_dates as dates left join {source} on dates.date_day = usage.date_day
        where dates.date_day >= ? and dates.date_day < ? group by all order by starts_on""",
        [*values, filters.since, filters.until],
    )


def models(snapshot: Snapshot, filters: Filters, grain: Grain) -> list[Row]:
    """Return usage by model: of the whole period (`starts_on` is NULL), and by day, week or month.

    The first row is that of all models within the filters: its `model_id` is NULL, as are its sums if there
    is no usage. Models with the most revenue come first. `revenue_share` is the share of the revenue of all
    models, also of those that the filters exclude; steps have none. Steps without usage are left out. One
    query returns all, because with user filters it has to read the entries.
    """
    source, values = _usage(filters, by_model=True)
    # Without a filter on models, these are all of them.
    all_models, all_values = (
        _usage(replace(filters, models=())) if filters.models else ("summed where model_id is null", [])
    )
    return snapshot.rows(
        f"""with steps as (select *, cast(date_trunc('{grain}', date_day) as date) as starts_on
            from {source}),
        summed as (
            select starts_on, model_id, {SUMS}
            from steps group by grouping sets ((), (model_id), (starts_on, model_id))
        ), all_models as (select sum(revenue) as revenue_of_all from {all_models})
        select summed.*, {RATIOS},
            case when starts_on is null then marts.ratio(revenue, revenue_of_all) end as revenue_share
        from summed cross join all_models
        order by starts_on nulls first, model_id is not null, revenue desc, model_id""",
        [*values, *all_values],
    )


def model_totals(snapshot: Snapshot, filters: Filters, limit: int) -> list[Row]:
    """Return usage by model in the whole period, of the models with the most revenue: `FEW` and ratios."""
    source, values = _usage(filters, by_model=True)
    return snapshot.rows(
        f"""with summed as (select model_id, {FEW_SUMS} from {source} group by model_id)
        select *, {RATIOS} from summed order by revenue desc, model_id limit ?""",
        [*values, limit],
    )


def revenue_by_model(snapshot: Snapshot, filters: Filters) -> dict[str, Decimal]:
    """Return only the revenue of each model, for comparisons."""
    source, values = _usage(filters, by_model=True)
    rows = snapshot.rows(f"select model_id, sum(revenue) as revenue from {source} group by model_id", values)
    return {row["model_id"]: row["revenue"] for row in rows}


def top_spenders(snapshot: Snapshot, filters: Filters, limit: int) -> list[Row]:
    """Return the users with the most revenue in the period, with their cost to serve: `FEW` and ratios."""
    source, values = _usage(filters, by_user=True)
    return snapshot.rows(
        f"""with summed as (
            select user_id, {FEW_SUMS} from {source} where user_id is not null group by user_id
        ),
        top as (from summed where charges > 0 or provider_cost > 0 order by revenue desc, user_id limit ?)
        select *, {RATIOS} from top order by revenue desc, user_id""",
        [*values, limit],
    )


def owed(snapshot: Snapshot, filters: Filters, today: date) -> Row:
    """Return the balances owed to users at the end of the period.

    `closing_balance` is the sum of all wallets, `negative_balance` that of the overdrawn ones.
    """
    conditions = [Filter("currency = ?", (filters.currency,))]
    if filters.paywalls:
        conditions.append(any_of("paywall_id", filters.paywalls))
    where, values = all_of([*conditions, *of_chosen_users(filters)])
    return snapshot.rows(
        f"""select coalesce(sum(closing_balance), 0) as closing_balance,
            coalesce(sum(closing_balance) filter (where closing_balance < 0), 0) as negative_balance,
            count(distinct user_id) filter (where closing_balance > 0) as users_with_credit
        from marts.balances(?) where {where}""",
        [min(filters.last_day, today), *values],
    )[0]


def cohorts(snapshot: Snapshot, filters: Filters) -> list[Row]:
    """Return the rows of `fct_cohorts` for any filters, for every month.

    `cumulative_per_user` is the cumulative revenue divided by the cohort size.
    """
    return snapshot.rows(
        f"""select *, marts.ratio(cumulative_revenue, cohort_size) as cumulative_per_user
            from marts.cohorts({LISTS})
        where currency = ? order by cohort_month, months_since""",
        [*filters.lists.values(), filters.currency],
    )
