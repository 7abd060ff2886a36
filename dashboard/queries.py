"""Every query of the dashboard, over the published tables and table macros.

No metric is defined here. Revenue, cost, profit, ratios and numbers of users come from `marts.kpis`,
`marts.usage`, `marts.cohorts` and the marts. These queries select, group and add up. Rows are dictionaries by
column name.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Literal

from dashboard.filters import Filters, any_of, entry_conditions, id_contains, of_chosen_users, user_conditions
from dashboard.snapshot import Row, Snapshot
from exports.datasets import DATASETS
from exports.filters import Filter, all_of
from warehouse.runs import PUBLISHED

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
SUMS = ", ".join(f"sum({name}) as {name}" for name in ADDITIVE)
ZERO_SUMS = ", ".join(f"coalesce(sum({name}), 0) as {name}" for name in ADDITIVE)
# The ratios of grouped usage, by the warehouse's definition of a ratio.
RATIOS = """
    marts.ratio(profit, revenue) as margin,
    marts.ratio(counted_charges - charges_without_cost, counted_charges) as cost_coverage,
    case when counted_charges > charges_without_cost then marts.ratio(provider_cost, charges) end
        as cost_to_serve"""
MOVEMENTS = (
    "deposits",
    "promo_deposits",
    "charged",
    "refunds",
    "deposit_refunds",
    "withdrawals",
    "adjustments",
)
LISTS = (
    "paywalls := ?, models := ?, entry_types := ?, user_statuses := ?, balance_bands := ?, payer_types := ?"
)


@dataclass(frozen=True)
class About:
    """The publication: its run, its times and the range of its data. Instants are UTC."""

    run_id: str
    published_at: datetime
    as_of: datetime
    today: date
    reporting_timezone: str
    currencies: tuple[str, ...]
    """The currencies of the ledger, the default one first."""
    first_day: date
    last_day: date


def about(snapshot: Snapshot) -> About | None:
    """Return the publication, None for a ledger without entries."""
    rows = snapshot.rows(
        """select run_id, finished_at as published_at, runs.as_of, today, reporting_timezone,
            (select list(currency order by currency <> default_currency, currency) from marts.fct_period_kpis
                where period = 'today')
                as currencies,
            (select min(date_day) from marts.dim_dates) as first_day,
            (select max(date_day) from marts.dim_dates) as last_day
        from ops.runs as runs cross join ops.settings as settings where status = ? order by runs.rowid desc
            limit 1""",
        [PUBLISHED],
    )
    if not rows or not rows[0]["currencies"]:
        return None
    return About(**rows[0] | {"currencies": tuple(rows[0]["currencies"])})


def periods(snapshot: Snapshot) -> dict[str, Row]:
    """Return the named periods with their half-open ranges of days, and those of the previous periods."""
    rows = snapshot.rows(
        "select distinct period, period_start, period_end, previous_start, previous_end from"
        " marts.fct_period_kpis"
    )
    return {row["period"]: row for row in rows}


def known_paywalls(snapshot: Snapshot) -> list[str]:
    """Return every paywall of the ledger."""
    return [
        row["paywall_id"] for row in snapshot.rows("select paywall_id from marts.dim_paywalls order by 1")
    ]


def known_models(snapshot: Snapshot) -> list[str]:
    """Return every model of the ledger."""
    return [row["model_id"] for row in snapshot.rows("select model_id from marts.dim_models order by 1")]


def dataset_columns(snapshot: Snapshot, dataset: str) -> list[str]:
    """Return the columns of a dataset, in their order."""
    return [row["column_name"] for row in snapshot.rows(f"describe marts.{DATASETS[dataset].mart}")]


# ---- money


def kpis(snapshot: Snapshot, filters: Filters) -> Row:
    """Return the period KPIs (docs/contract.md#43-period-kpis) for any filters.

    The columns of the previous period are left out. A separate query of that period returns all of its KPIs.
    """
    # An empty previous period, so that nothing is read for it.
    query = f"""select * exclude (previous_revenue, previous_provider_cost, previous_profit,
        previous_active_payers, previous_arpu)
        from marts.kpis(?, ?, previous_from := ?, previous_to := ?, {LISTS}) where currency = ?"""
    days = [filters.since, filters.until, filters.since, filters.since]
    return snapshot.rows(query, [*days, *filters.lists.values(), filters.currency])[0]


def _usage(filters: Filters, *, by_user: bool = False, by_model: bool = False) -> tuple[str, list[Any]]:
    source = (
        f"(select * from marts.usage(?, ?, by_user := {by_user}, by_model := {by_model}, {LISTS}) where"
        " currency = ?) as usage"
    )
    return source, [filters.since, filters.until, *filters.lists.values(), filters.currency]


def usage_over_time(snapshot: Snapshot, filters: Filters, grain: Grain) -> list[Row]:
    """Return usage by day, week (from Monday) or month of the period. Steps without usage have zeros."""
    source, values = _usage(filters)
    return snapshot.rows(
        f"""select cast(date_trunc('{grain}', dates.date_day) as date) as starts_on, {ZERO_SUMS}
        from marts.dim_dates as dates left join {source} on dates.date_day = usage.date_day
        where dates.date_day >= ? and dates.date_day < ? group by all order by starts_on""",
        [*values, filters.since, filters.until],
    )


def models(snapshot: Snapshot, filters: Filters, grain: Grain) -> list[Row]:
    """Return usage by model: of the whole period (`starts_on` is NULL), and by day, week or month.

    Models with the most revenue come first. `revenue_share` is the share of all models' revenue. Steps
    without usage are left out. One query returns both, because with user filters it has to read the entries.
    """
    source, values = _usage(filters, by_model=True)
    return snapshot.rows(
        f"""with steps as (select *, cast(date_trunc('{grain}', date_day) as date) as starts_on
            from {source}),
        summed as (
            select starts_on, model_id, {SUMS}, grouping(starts_on) as is_total
            from steps group by grouping sets ((model_id), (starts_on, model_id))
        ) select *, {RATIOS}, marts.ratio(revenue, sum(revenue) over (partition by is_total,
            starts_on)) as revenue_share
        from summed order by starts_on nulls first, revenue desc, model_id""",
        values,
    )


def revenue_by_model(snapshot: Snapshot, filters: Filters) -> dict[str, Decimal]:
    """Return only the revenue of each model, for comparisons."""
    source, values = _usage(filters, by_model=True)
    rows = snapshot.rows(f"select model_id, sum(revenue) as revenue from {source} group by model_id", values)
    return {row["model_id"]: row["revenue"] for row in rows}


def top_spenders(snapshot: Snapshot, filters: Filters, limit: int) -> list[Row]:
    """Return the users with the most revenue in the period, with their cost to serve."""
    source, values = _usage(filters, by_user=True)
    return snapshot.rows(
        f"""with summed as (select user_id, {SUMS} from {source} where user_id is not null group by user_id),
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


# ---- users

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


@dataclass(frozen=True)
class PageRequest:
    """A page of a table. It is sorted on the server, so that a million rows stay there."""

    sort: str
    descending: bool
    offset: int
    limit: int

    def sql(self, columns: Sequence[str], key: str) -> str:
        """Return `order by … limit … offset …`. The key breaks ties, so that no row is on two pages."""
        if self.sort not in columns:
            raise ValueError(self.sort)
        direction = "desc" if self.descending else "asc"
        return (
            f'order by "{self.sort}" {direction} nulls last, {key} limit {int(self.limit)} offset'
            f" {int(self.offset)}"
        )


def _found_users(filters: Filters, search: str) -> tuple[str, list[Any]]:
    conditions = user_conditions(filters)
    if search:
        conditions.append(id_contains(search))
    return all_of(conditions)


def count_users(snapshot: Snapshot, filters: Filters, search: str) -> int:
    """Return the number of users whose id contains `search`."""
    where, values = _found_users(filters, search)
    return _count(snapshot, f"select count(*) as rows from marts.rpt_users where {where}", values)


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


# ---- ledger

LEDGER_COLUMNS = (
    "occurred_at",
    "entry_id",
    "entry_type",
    "status",
    "user_id",
    "paywall_id",
    "model_id",
    "amount",
    "balance_effect",
    "provider_cost",
    "provider_cost_basis",
    "platform_fees",
    "total_tokens",
    "request_id",
    "currency",
)
ID_COLUMNS = (
    "entry_id",
    "request_id",
    "user_id",
    "related_entry_id",
    "payment_intent_id",
    "charge_id",
    "checkout_session_id",
    "payment_id",
)


@dataclass(frozen=True)
class LedgerSearch:
    """The filters of a ledger besides those of the page."""

    user_id: str | None = None
    statuses: tuple[str, ...] = ()
    any_id: str = ""
    """The complete id of an entry, request, user or payment. If it is given, no other filter applies."""

    def conditions(self, filters: Filters) -> list[Filter]:
        """Return the conditions on rows of `fct_ledger_entries`."""
        if self.any_id:
            return [
                Filter(
                    " or ".join(f"{column} = ?" for column in ID_COLUMNS), (self.any_id,) * len(ID_COLUMNS)
                )
            ]
        conditions = entry_conditions(filters)
        if self.user_id is not None:
            conditions.append(Filter("user_id = ?", (self.user_id,)))
        if self.statuses:
            conditions.append(any_of("status", self.statuses))
        return conditions


def count_ledger(snapshot: Snapshot, filters: Filters, search: LedgerSearch) -> int:
    """Return the number of entries."""
    where, values = all_of(search.conditions(filters))
    return _count(snapshot, f"select count(*) as rows from marts.fct_ledger_entries where {where}", values)


def ledger(snapshot: Snapshot, filters: Filters, search: LedgerSearch, page: PageRequest) -> list[Row]:
    """Return a page of the ledger."""
    where, values = all_of(search.conditions(filters))
    chosen = ", ".join(LEDGER_COLUMNS)
    return snapshot.rows(
        f"select {chosen} from marts.fct_ledger_entries where {where} {page.sql(LEDGER_COLUMNS, 'entry_id')}",
        values,
    )


def entry(snapshot: Snapshot, entry_id: str) -> Row | None:
    """Return an entry with all columns."""
    return next(
        iter(snapshot.rows("select * from marts.fct_ledger_entries where entry_id = ?", [entry_id])), None
    )


def related_entries(snapshot: Snapshot, row: Mapping[str, Any]) -> list[Row]:
    """Return the entries that are related to an entry, or that have the same request.

    `connection` names the relation.
    """
    chosen = ", ".join(LEDGER_COLUMNS)
    return snapshot.rows(
        f"""select case when entry_id = $2 then 'this entry relates to it' when related_entry_id = $1
            then 'relates to this entry'
            else 'same request' end as connection, {chosen}
        from marts.fct_ledger_entries
        where entry_id <> $1 and (entry_id = $2 or related_entry_id = $1 or request_id = $3)
        order by occurred_at, entry_id limit 100""",
        [row["entry_id"], row["related_entry_id"], row["request_id"]],
    )


def errors_of_request(snapshot: Snapshot, request_id: str | None) -> list[Row]:
    """Return the errors of a request."""
    return snapshot.rows(
        "select * from marts.fct_usage_errors where request_id = ? order by occurred_at, event_id limit 100",
        [request_id],
    )


def cases_of_entry(snapshot: Snapshot, entry_id: str) -> list[Row]:
    """Return the reconciliation cases that contain a deposit."""
    return snapshot.rows(
        "select * from marts.fct_reconciliation where list_contains(deposit_entry_ids, ?)", [entry_id]
    )


# ---- reconciliation

CASE_COLUMNS = (
    "priority",
    "break_type",
    "status",
    "age_days",
    "case_id",
    "rail",
    "user_id",
    "ledger_amount",
    "ledger_currency",
    "paid_amount",
    "paid_currency",
    "difference",
    "first_event_at",
)


def _case_conditions(
    filters: Filters, statuses: Sequence[str], break_types: Sequence[str], *, in_period: bool
) -> tuple[str, list[Any]]:
    conditions = [
        Filter("ledger_currency = ? or paid_currency = ?", (filters.currency, filters.currency)),
        *of_chosen_users(filters),
    ]
    if filters.paywalls:
        deposits, values = all_of(
            [any_of("paywall_id", filters.paywalls), any_of("entry_type", ("deposit",))]
        )
        named = "select case_id, unnest(deposit_entry_ids) as entry_id from marts.fct_reconciliation"
        entries = f"select entry_id from marts.fct_ledger_entries where {deposits}"
        with_deposit = f"case_id in (select case_id from ({named}) as deposits where entry_id in ({entries}))"
        conditions.append(Filter(with_deposit, tuple(values)))
    if statuses:
        conditions.append(any_of("status", statuses))
    if break_types:
        conditions.append(any_of("break_type", break_types))
    if in_period:
        conditions.append(
            Filter(
                "cast(first_event_at at time zone (select reporting_timezone from ops.settings) as date)"
                " between ? and ?",
                (filters.since, filters.last_day),
            )
        )
    return all_of(conditions)


def breaks_by_type(snapshot: Snapshot, filters: Filters) -> list[Row]:
    """Return open breaks by priority and type, with their ages, if either side has the currency."""
    where, values = _case_conditions(filters, ["break"], (), in_period=False)
    return snapshot.rows(
        f"""select priority, break_type, count(*) as cases,
            count(*) filter (where age_days < 7) as up_to_7_days,
            count(*) filter (where age_days >= 7 and age_days < 30) as up_to_30_days,
            count(*) filter (where age_days >= 30) as older,
            max(age_days) as oldest_days
        from marts.fct_reconciliation where {where} group by priority, break_type
            order by priority, break_type""",
        values,
    )


def case_counts(snapshot: Snapshot, filters: Filters) -> dict[str, int]:
    """Return the number of cases by status."""
    where, values = _case_conditions(filters, (), (), in_period=False)
    rows = snapshot.rows(
        f"select status, count(*) as cases from marts.fct_reconciliation where {where} group by status",
        values,
    )
    return {row["status"]: row["cases"] for row in rows}


def count_cases(
    snapshot: Snapshot,
    filters: Filters,
    statuses: Sequence[str],
    break_types: Sequence[str],
    *,
    in_period: bool,
) -> int:
    """Return the number of cases."""
    where, values = _case_conditions(filters, statuses, break_types, in_period=in_period)
    return _count(snapshot, f"select count(*) as rows from marts.fct_reconciliation where {where}", values)


def cases(
    snapshot: Snapshot,
    filters: Filters,
    statuses: Sequence[str],
    break_types: Sequence[str],
    page: PageRequest,
    *,
    in_period: bool,
) -> list[Row]:
    """Return a page of cases."""
    where, values = _case_conditions(filters, statuses, break_types, in_period=in_period)
    chosen = ", ".join(CASE_COLUMNS)
    return snapshot.rows(
        f"select {chosen} from marts.fct_reconciliation where {where} {page.sql(CASE_COLUMNS, 'case_id')}",
        values,
    )


def case(snapshot: Snapshot, case_id: str) -> Row | None:
    """Return a case with all columns."""
    return next(
        iter(snapshot.rows("select * from marts.fct_reconciliation where case_id = ?", [case_id])), None
    )


def case_entries(snapshot: Snapshot, deposit_ids: Sequence[str]) -> list[Row]:
    """Return the ledger's side of a case: its deposits, then the entries that relate to them."""
    chosen = ", ".join(LEDGER_COLUMNS)
    return snapshot.rows(
        f"""select case when list_contains($1, entry_id) then 'deposit' else 'relates to it' end as part,
            {chosen}, funding, rail,
            payment_intent_id, charge_id, checkout_session_id, payment_id
        from marts.fct_ledger_entries where list_contains($1, entry_id) or list_contains($1, related_entry_id)
        order by part desc, occurred_at, entry_id limit 200""",
        [list(deposit_ids)],
    )


def case_history(snapshot: Snapshot, case_id: str) -> list[Row]:
    """Return when the case's breaks opened and closed."""
    return snapshot.rows(
        "select * from marts.fct_reconciliation_history where case_id = ? order by opened_at, break_type",
        [case_id],
    )


def sources(snapshot: Snapshot) -> list[Row]:
    """Return each source's verdict, the time until which its data reach, and failures of the last pull."""
    return snapshot.rows(
        """select coalesce(rail, 'stripe') as rail, source, coalesce(account_id, 'default') as account_id,
            coalesce(records, 0) as records,
            data_until, case when reason is null then verdict else 'not pulled: ' || reason end as verdict
        from marts.rpt_reconciliation_sources full join ops.failed_pulls using (source)
            order by rail, source, account_id"""
    )


def rollforward(snapshot: Snapshot, filters: Filters, grain: Grain) -> list[Row]:
    """Return the balances owed to all users and their movements, by day, week or month."""
    movements = ", ".join(f"sum({name}) as {name}" for name in MOVEMENTS)
    return snapshot.rows(
        f"""select cast(date_trunc('{grain}', date_day) as date) as starts_on,
            min_by(opening_balance, date_day) as opening_balance, {movements},
            max_by(closing_balance, date_day) as closing_balance
        from marts.fct_balance_rollforward where currency = ? and date_day >= ? and date_day < ? group by all
            order by starts_on""",
        [filters.currency, filters.since, filters.until],
    )


def payouts(snapshot: Snapshot, filters: Filters) -> list[Row]:
    """Return the payouts that arrive in the period, and those without an arrival date."""
    return snapshot.rows(
        """select payout_id, status, amount, items, items_net, difference, is_reconciled, arrival_date
            from marts.fct_payouts
        where currency = ? and (arrival_date is null or (arrival_date >= ? and arrival_date < ?))
        order by arrival_date desc nulls first, payout_id limit 1000""",
        [filters.currency, filters.since, filters.until],
    )


def stripe_balances(snapshot: Snapshot, filters: Filters) -> list[Row]:
    """Return Stripe's balance summaries and the sums of the itemised rows, the latest first."""
    return snapshot.rows(
        """select account_id, covered_from, covered_until, opening_balance, activity, payouts,
            closing_balance, itemized_activity,
            itemized_payouts, path, line
        from marts.fct_stripe_balances where currency = ? order by covered_until desc nulls last, account_id
            limit 200""",
        [filters.currency],
    )


# ---- runs

REJECT_COLUMNS = ("first_seen_at", "source", "path", "line", "reason_code", "reason", "raw")
FILE_COLUMNS = ("loaded_at", "source", "path", "records", "accepted", "rejected", "bytes")


def runs(snapshot: Snapshot, limit: int) -> list[Row]:
    """Return the latest runs, up to the one that published this file."""
    return snapshot.rows(
        """select run_id, status, started_at, finished_at, as_of, new_records, rejected_records, code_version
        from ops.runs order by ops.runs.rowid desc limit ?""",
        [limit],
    )


def invariants(snapshot: Snapshot) -> list[Row]:
    """Return the checks before this publication, failed ones first."""
    return snapshot.rows(
        """select name, scope, expected, actual, difference, passed, severity, checked_at from ops.invariants
        where run_id = (select run_id from ops.invariants order by rowid desc limit 1)
            order by passed, name, scope"""
    )


def rejects_by_reason(snapshot: Snapshot) -> list[Row]:
    """Return the number of rejected records by source and reason."""
    return snapshot.rows(
        """select source, reason_code, count(*) as records, min(first_seen_at) as first_seen_at,
            max(first_seen_at) as last_seen_at
        from ops.rejected_records group by source, reason_code order by records desc, source, reason_code"""
    )


def _reject_conditions(reasons: Sequence[str]) -> tuple[str, list[Any]]:
    return all_of([any_of("reason_code", reasons)] if reasons else [])


def count_rejects(snapshot: Snapshot, reasons: Sequence[str]) -> int:
    """Return the number of rejected records."""
    where, values = _reject_conditions(reasons)
    return _count(snapshot, f"select count(*) as rows from ops.rejected_records where {where}", values)


def rejects(snapshot: Snapshot, reasons: Sequence[str], page: PageRequest) -> list[Row]:
    """Return a page of rejected records, with their raw text."""
    where, values = _reject_conditions(reasons)
    chosen = ", ".join(REJECT_COLUMNS)
    return snapshot.rows(
        f"select {chosen} from ops.rejected_records where {where} {page.sql(REJECT_COLUMNS, 'path, line')}",
        values,
    )


def count_files(snapshot: Snapshot) -> int:
    """Return the number of loaded files."""
    return _count(snapshot, "select count(*) as rows from ops.loaded_files", [])


def files(snapshot: Snapshot, page: PageRequest) -> list[Row]:
    """Return a page of the loaded files."""
    chosen = ", ".join(FILE_COLUMNS)
    return snapshot.rows(f"select {chosen} from ops.loaded_files {page.sql(FILE_COLUMNS, 'path, sha256')}")


def freshness(snapshot: Snapshot) -> list[Row]:
    """Return when the last file of each source was loaded."""
    return snapshot.rows(
        """select source, count(*) as files, sum(accepted) as records, max(loaded_at) as last_loaded_at
            from ops.loaded_files
        group by source order by source"""
    )


def last_entry_at(snapshot: Snapshot) -> datetime | None:
    """Return the time of the latest entry in the ledger."""
    at: datetime | None = snapshot.rows("select max(last_entry_at) as at from marts.fct_user_months")[0]["at"]
    return at


def _count(snapshot: Snapshot, query: str, values: Sequence[Any]) -> int:
    return int(snapshot.rows(query, values)[0]["rows"])
