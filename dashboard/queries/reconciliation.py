"""Reconciliation cases, the balance roll-forward, payouts and Stripe's balances."""

from collections.abc import Sequence
from dataclasses import dataclass

from dashboard.filters import Filters, any_of, of_chosen_users
from dashboard.queries.ledger import LEDGER_COLUMNS
from dashboard.queries.paging import PageRequest
from dashboard.queries.usage import Grain
from dashboard.snapshot import Row, Snapshot
from exports.filters import Filter, all_of
from warehouse.reconciliation_summary import AMOUNT_AT_RISK, CURRENCY_AT_RISK, Reconciliation, summarize

MOVEMENTS = (
    "deposits",
    "promo_deposits",
    "charged",
    "refunds",
    "deposit_refunds",
    "withdrawals",
    "adjustments",
)
STATUSES = ("break", "pending", "matched")
CASE_COLUMNS = (
    "priority",
    "break_type",
    "amount_at_risk",
    "currency_at_risk",
    "age_days",
    "case_id",
    "user_id",
    "status",
    "rail",
    "match_method",
    "deposit_entry_ids",
    "ledger_amount",
    "ledger_currency",
    "paid_amount",
    "paid_currency",
    "difference",
    "first_event_at",
)
# A later key decides among rows of one priority: the most money first, then the oldest.
BY_AMOUNT = "amount_at_risk desc nulls last, age_days desc, case_id"
CASES = f"""(select *, {AMOUNT_AT_RISK} as amount_at_risk, {CURRENCY_AT_RISK} as currency_at_risk
    from marts.fct_reconciliation)"""


@dataclass(frozen=True)
class CaseSearch:
    """The filters of the cases, besides those of the page."""

    statuses: tuple[str, ...] = ()
    break_types: tuple[str, ...] = ()
    in_period: bool = False
    """Whether the first event must be in the period of the page."""
    all_currencies: bool = False
    """Whether the currency of the page does not limit the cases."""


def case_conditions(filters: Filters, search: CaseSearch) -> list[Filter]:
    """Return the conditions on rows of `fct_reconciliation`."""
    conditions = [*of_chosen_users(filters)]
    if not search.all_currencies:
        conditions.append(
            Filter("ledger_currency = ? or paid_currency = ?", (filters.currency, filters.currency))
        )
    if filters.paywalls:
        deposits, values = all_of(
            [any_of("paywall_id", filters.paywalls), any_of("entry_type", ("deposit",))]
        )
        named = "select case_id, unnest(deposit_entry_ids) as entry_id from marts.fct_reconciliation"
        entries = f"select entry_id from marts.fct_ledger_entries where {deposits}"
        with_deposit = f"case_id in (select case_id from ({named}) as deposits where entry_id in ({entries}))"
        conditions.append(Filter(with_deposit, tuple(values)))
    if search.statuses:
        conditions.append(any_of("status", search.statuses))
    if search.break_types:
        conditions.append(any_of("break_type", search.break_types))
    if search.in_period:
        conditions.append(
            Filter(
                "cast(first_event_at at time zone (select reporting_timezone from ops.settings) as date)"
                " between ? and ?",
                (filters.since, filters.last_day),
            )
        )
    return conditions


def state(snapshot: Snapshot) -> Reconciliation:
    """Return the state of all cases and sources, as `paywall-warehouse status` reports it."""
    return summarize(lambda query: [tuple(row.values()) for row in snapshot.rows(query)])


def open_breaks(snapshot: Snapshot, types: Sequence[str]) -> list[Row]:
    """Return all open breaks by priority, type (in the order of `types`) and currency.

    No filter of a page limits them.
    """
    return snapshot.rows(
        f"""select priority, break_type, currency_at_risk, count(*) as cases,
            sum(amount_at_risk) as amount_at_risk,
            count(*) filter (where amount_at_risk is null) as of_unknown_amount,
            count(*) filter (where age_days < 7) as up_to_7_days,
            count(*) filter (where age_days >= 7 and age_days < 30) as up_to_30_days,
            count(*) filter (where age_days >= 30) as older,
            max(age_days) as oldest_days
        from {CASES} where status = 'break' group by priority, break_type, currency_at_risk
            order by priority, list_position(?, break_type) nulls last, break_type, cases desc,
                currency_at_risk""",
        [list(types)],
    )


def at_risk(snapshot: Snapshot) -> list[Row]:
    """Return the amount at risk in each currency. Currencies with breaks of priority 1 come first."""
    return snapshot.rows(
        f"""select currency_at_risk, count(*) as cases, sum(amount_at_risk) as amount_at_risk,
            count(*) filter (where amount_at_risk is null) as of_unknown_amount,
            count(*) filter (where priority = 1) as urgent_cases,
            sum(amount_at_risk) filter (where priority = 1) as urgent_amount
        from {CASES} where status = 'break' group by currency_at_risk
            order by urgent_cases > 0 desc, cases desc, currency_at_risk"""
    )


def urgent_outside(snapshot: Snapshot, filters: Filters, search: CaseSearch) -> list[Row]:
    """Return the breaks of priority 1 that the filters of the cases exclude, by currency."""
    where, values = all_of(case_conditions(filters, search))
    # A condition on a missing value is neither true nor false, and excludes the case.
    return snapshot.rows(
        f"""select currency_at_risk, count(*) as cases, sum(amount_at_risk) as amount_at_risk
        from {CASES} where status = 'break' and priority = 1 and not coalesce({where}, false)
        group by currency_at_risk order by cases desc, currency_at_risk""",
        values,
    )


ALL_CASES = CaseSearch()


def case_counts(snapshot: Snapshot, filters: Filters, search: CaseSearch = ALL_CASES) -> dict[str, int]:
    """Return the number of cases by status."""
    where, values = all_of(case_conditions(filters, search))
    rows = snapshot.rows(
        f"select status, count(*) as cases from marts.fct_reconciliation where {where} group by status",
        values,
    )
    return {row["status"]: row["cases"] for row in rows}


def cases(snapshot: Snapshot, filters: Filters, search: CaseSearch, page: PageRequest) -> list[Row]:
    """Return a page of cases, with the amount at risk of each."""
    where, values = all_of(case_conditions(filters, search))
    chosen = ", ".join(CASE_COLUMNS)
    return snapshot.rows(
        f"select {chosen} from {CASES} where {where} {page.sql(CASE_COLUMNS, BY_AMOUNT)}", values
    )


def case(snapshot: Snapshot, case_id: str) -> Row | None:
    """Return a case with all columns."""
    return next(iter(snapshot.rows(f"select * from {CASES} where case_id = ?", [case_id])), None)


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
        from marts.rpt_reconciliation_sources
            full join (from ops.failed_pulls where source like 'stripe/%') using (source)
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


def payout_conditions(filters: Filters) -> list[Filter]:
    """Return the conditions on `fct_payouts`: payouts that arrive in the period, or at no known day."""
    return [
        Filter("currency = ?", (filters.currency,)),
        Filter(
            "arrival_date is null or (arrival_date >= ? and arrival_date < ?)", (filters.since, filters.until)
        ),
    ]


def payouts(snapshot: Snapshot, filters: Filters) -> list[Row]:
    """Return the payouts of the period with a verdict.

    Those that do not equal the sum of their items come first, then those without items, such as manual ones.
    """
    where, values = all_of(payout_conditions(filters))
    return snapshot.rows(
        f"""select payout_id, status, amount, items, items_net, difference, is_reconciled, arrival_date,
            case when is_reconciled then 'adds up' when coalesce(items, 0) = 0 then 'no items'
                when amount is null then 'payout not loaded' else 'differs' end as verdict
        from marts.fct_payouts where {where}
        order by verdict not in ('differs', 'payout not loaded'), verdict <> 'no items',
            arrival_date desc nulls first, payout_id limit 1000""",
        values,
    )


def payouts_that_differ(snapshot: Snapshot) -> list[Row]:
    """Return the number of payouts that do not equal the sum of their items, by currency, for all days."""
    return snapshot.rows(
        """select currency, count(*) as payouts from marts.fct_payouts
        where not is_reconciled and items > 0 group by currency order by payouts desc, currency"""
    )


def stripe_balances(snapshot: Snapshot, filters: Filters) -> list[Row]:
    """Return Stripe's balance summaries and their differences, those with a difference first.

    A summary differs if it does not close, if it does not equal the itemised rows, or if it does not open
    with the closing balance of the previous one.
    """
    return snapshot.rows(
        """select *, closes_with <> 0 or activity_difference <> 0 or payouts_difference <> 0
                or opens_with <> 0 as is_off
        from (
            select account_id, covered_from, covered_until, opening_balance, activity, payouts,
                closing_balance, itemized_activity, itemized_payouts, path, line,
                opening_balance + activity - payouts - closing_balance as closes_with,
                coalesce(activity - itemized_activity, 0) as activity_difference,
                coalesce(payouts - itemized_payouts, 0) as payouts_difference,
                coalesce(opening_balance - closing_before, 0) as opens_with
            from marts.fct_stripe_balances where currency = ?
        ) as balances
        order by is_off desc, covered_until desc nulls last, account_id limit 200""",
        [filters.currency],
    )
