"""Reconciliation cases, the balance roll-forward, payouts and Stripe's balances."""

from collections.abc import Sequence
from typing import Any

from dashboard.filters import Filters, any_of, of_chosen_users
from dashboard.queries.ledger import LEDGER_COLUMNS
from dashboard.queries.paging import PageRequest, count_rows
from dashboard.queries.usage import Grain
from dashboard.snapshot import Row, Snapshot
from exports.filters import Filter, all_of

MOVEMENTS = (
    "deposits",
    "promo_deposits",
    "charged",
    "refunds",
    "deposit_refunds",
    "withdrawals",
    "adjustments",
)
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
    return count_rows(
        snapshot, f"select count(*) as rows from marts.fct_reconciliation where {where}", values
    )


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
