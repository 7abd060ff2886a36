"""Costs against bills: months, cases with their bill lines and charges, and the profit at bill."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal

import duckdb

from dashboard.filters import Filters, any_of
from dashboard.queries.ledger import LEDGER_COLUMNS
from dashboard.queries.paging import PageRequest
from dashboard.snapshot import Row, Snapshot
from exports.filters import Filter, all_of
from warehouse.cost_summary import COST_AT_STAKE, CostReconciliation, summarize_costs

STATUSES = ("break", "pending", "matched")
CASE_COLUMNS = (
    "priority",
    "break_type",
    "at_risk",
    "usage_date",
    "provider",
    "model_id",
    "case_id",
    "status",
    "charges",
    "ledger_cost",
    "billed_cost",
    "difference",
    "volume_difference",
    "rate_difference",
    "ledger_tokens",
    "billed_tokens",
    "broken_since",
    "currency",
)
LINE_COLUMNS = (
    "usage_date",
    "model_as_billed",
    "token_kind",
    "quantity",
    "unit",
    "billed_amount",
    "project",
    "key",
    "account",
    "format",
    "is_rounded",
    "is_correction",
    "invoice_id",
    "path",
    "line",
    "bill_line_id",
    "currency",
)
CHARGE_COLUMNS = (*LEDGER_COLUMNS, "billed_by")
# A later key decides among rows of one priority: the most money first, then the latest day.
BY_AMOUNT = "at_risk desc, usage_date desc, case_id"
CASES = f"(select *, {COST_AT_STAKE} as at_risk from marts.fct_cost_reconciliation)"
IS_COMPARED = "status <> 'pending' and difference is not null"
MONTH = "strftime(usage_date, '%Y-%m')"


@dataclass(frozen=True)
class CostSearch:
    """The filters of the cases, besides those of the page."""

    providers: tuple[str, ...] = ()
    months: tuple[str, ...] = ()
    """UTC months, such as `2026-10`."""
    statuses: tuple[str, ...] = ()
    break_types: tuple[str, ...] = ()
    in_period: bool = False
    """Whether the UTC day must be in the period of the page."""
    all_currencies: bool = False
    """Whether the currency of the page does not limit the cases."""


def case_conditions(filters: Filters, search: CostSearch) -> list[Filter]:
    """Return the conditions on rows of `fct_cost_reconciliation`."""
    lists = (
        ("provider", search.providers),
        ("status", search.statuses),
        ("break_type", search.break_types),
        ("model_id", filters.models),
    )
    conditions = [any_of(column, values) for column, values in lists if values]
    if not search.all_currencies:
        conditions.append(Filter("currency = ?", (filters.currency,)))
    if search.months:
        marks = ", ".join("?" for _ in search.months)
        conditions.append(Filter(f"{MONTH} in ({marks})", search.months))
    if search.in_period:
        conditions.append(Filter("usage_date >= ? and usage_date < ?", (filters.since, filters.until)))
    return conditions


def is_published(snapshot: Snapshot) -> bool:
    """Return whether the published file has the tables of costs. Earlier versions wrote none."""
    rows = snapshot.rows(
        """select count(*) as tables from duckdb_tables()
        where (schema_name, table_name) in
            (('marts', 'fct_cost_reconciliation'), ('ops', 'provider_names'))"""
    )
    return bool(rows[0]["tables"] == 2)


def state(snapshot: Snapshot) -> CostReconciliation:
    """Return the state of all cases and months, as `paywall-warehouse status` reports it."""
    return summarize_costs(lambda query: [tuple(row.values()) for row in snapshot.rows(query)])


def failed_pulls(snapshot: Snapshot) -> list[Row]:
    """Return the pulls of bills whose last attempt failed, with the reason."""
    return snapshot.rows(
        "select source, failed_at, reason from ops.failed_pulls where source like 'bills/%' order by source"
    )


def open_breaks(snapshot: Snapshot, types: Sequence[str]) -> list[Row]:
    """Return all open breaks by priority, type (in the order of `types`) and currency.

    No filter of a page limits them.
    """
    return snapshot.rows(
        f"""select priority, break_type, currency, count(*) as cases, sum(at_risk) as at_risk,
            sum(difference) as difference, count(distinct provider) as providers,
            min(usage_date) as oldest_day
        from {CASES} where status = 'break' group by priority, break_type, currency
            order by priority, list_position(?, break_type) nulls last, break_type, cases desc, currency""",
        [list(types)],
    )


def at_risk(snapshot: Snapshot) -> list[Row]:
    """Return the money at risk in each currency. Currencies with breaks of priority 1 come first."""
    return snapshot.rows(
        f"""select currency, count(*) as cases, sum(at_risk) as at_risk,
            count(*) filter (where priority = 1) as urgent_cases
        from {CASES} where status = 'break' group by currency
            order by urgent_cases > 0 desc, cases desc, currency"""
    )


def urgent_outside(snapshot: Snapshot, filters: Filters, search: CostSearch) -> list[Row]:
    """Return the breaks of priority 1 that the filters of the cases exclude, by currency."""
    where, values = all_of(case_conditions(filters, search))
    return snapshot.rows(
        f"""select currency, count(*) as cases, sum(at_risk) as at_risk
        from {CASES} where status = 'break' and priority = 1 and not ({where})
        group by currency order by cases desc, currency""",
        values,
    )


def known_providers(snapshot: Snapshot) -> list[str]:
    """Return every provider with a case, a bill line or an invoice."""
    rows = snapshot.rows("select distinct provider from marts.rpt_cost_reconciliation_months order by 1")
    return [row["provider"] for row in rows]


def known_months(snapshot: Snapshot) -> list[str]:
    """Return every UTC month with a case, such as `2026-10`, the latest first."""
    rows = snapshot.rows(
        f"select distinct {MONTH} as month from marts.fct_cost_reconciliation order by 1 desc"
    )
    return [row["month"] for row in rows]


def months(snapshot: Snapshot, providers: Sequence[str]) -> list[Row]:
    """Return the months of some providers, or of all for an empty list; the latest first."""
    where, values = all_of([any_of("provider", providers)] if providers else [])
    return snapshot.rows(
        f"""select *, day(last_day(month_start)) as days
        from marts.rpt_cost_reconciliation_months where {where}
        order by month_start desc, provider, currency""",
        values,
    )


def month_sums(snapshot: Snapshot, providers: Sequence[str], currency: str) -> list[Row]:
    """Return both sides by month in one currency, for some providers or all.

    `is_complete` says whether all of the month is compared, for every one of these that has billed.
    """
    conditions = [
        Filter("currency = ?", (currency,)),
        *([any_of("provider", providers)] if providers else []),
    ]
    where, values = all_of(conditions)
    return snapshot.rows(
        f"""select month_start as starts_on, sum(ledger_cost) as ledger_cost,
            sum(billed_cost) as billed_cost, sum(difference) as difference,
            coalesce(bool_and(verdict = 'complete') filter (where verdict <> 'missing'), false) as is_complete
        from marts.rpt_cost_reconciliation_months where {where} group by month_start order by month_start""",
        values,
    )


def case_counts(snapshot: Snapshot, filters: Filters, search: CostSearch) -> int:
    """Return the number of cases."""
    where, values = all_of(case_conditions(filters, search))
    rows = snapshot.rows(f"select count(*) as cases from marts.fct_cost_reconciliation where {where}", values)
    return int(rows[0]["cases"])


def cases(snapshot: Snapshot, filters: Filters, search: CostSearch, page: PageRequest) -> list[Row]:
    """Return a page of cases, with the money at risk in each."""
    where, values = all_of(case_conditions(filters, search))
    chosen = ", ".join(CASE_COLUMNS)
    return snapshot.rows(
        f"select {chosen} from {CASES} where {where} {page.sql(CASE_COLUMNS, BY_AMOUNT)}", values
    )


def case(snapshot: Snapshot, case_id: str) -> Row | None:
    """Return a case with all columns."""
    return next(iter(snapshot.rows(f"select * from {CASES} where case_id = ?", [case_id])), None)


def other_breaks(snapshot: Snapshot, row: Row) -> list[Row]:
    """Return the other breaks of the case's provider on its day: often the other half of a one-sided case."""
    chosen = ", ".join(CASE_COLUMNS)
    return snapshot.rows(
        f"""select {chosen} from {CASES}
        where provider = ? and usage_date = ? and case_id <> ? and status = 'break'
        order by priority, {BY_AMOUNT} limit 50""",
        [row["provider"], row["usage_date"], row["case_id"]],
    )


def case_history(snapshot: Snapshot, case_id: str) -> list[Row]:
    """Return when the case's breaks opened and closed."""
    return snapshot.rows(
        "select * from marts.fct_cost_reconciliation_history where case_id = ?"
        " order by opened_at, break_type",
        [case_id],
    )


Field = Callable[[str], Filter]
"""Returns a column of a case as an expression with its values."""


def of_row(row: Row) -> Field:
    """Return the columns of a case that has been read. Its day limits what is scanned."""
    return lambda name: Filter("?", (row[name],))


def of_case(case_id: str) -> Field:
    """Return the columns of a case that is named."""
    return lambda name: Filter(
        f"(select {name} from marts.fct_cost_reconciliation where case_id = ?)", (case_id,)
    )


def line_conditions(field: Field) -> list[Filter]:
    """Return the conditions on rows of `fct_bill_lines`: those that count in a case."""
    names = ("provider", "usage_date", "model_id", "currency")
    return [Filter("is_compared", ()), *(_equal(name, field(name)) for name in names)]


def charge_conditions(field: Field) -> list[Filter]:
    """Return the conditions on rows of `fct_ledger_entries`: the charges that count in a case.

    These are the conditions of `fct_provider_cost_days`.
    """
    day, provider = field("usage_date"), field("provider")
    start = f"timezone('UTC', cast({day.sql} as timestamp))"
    names = "select name from ops.provider_names"
    means_provider = f"{names} where provider = {provider.sql}"
    itself = f"select {provider.sql} where {provider.sql} not in ({names})"
    return [
        Filter("entry_type = 'charge' and status in ('settled', 'failed', 'reversed')", ()),
        Filter(f"occurred_at >= {start} and occurred_at < {start} + interval 1 day", day.values * 2),
        _equal("model_id", field("model_id")),
        _equal("provider_cost_currency", field("currency")),
        Filter(f"billed_by in ({means_provider} union all {itself})", provider.values * 3),
    ]


def _equal(column: str, value: Filter) -> Filter:
    return Filter(f"{column} = {value.sql}", value.values)


def line_sums(snapshot: Snapshot, row: Row) -> Row:
    """Return the number of bill lines of a case, and the sum of their amounts."""
    where, values = all_of(line_conditions(of_row(row)))
    return snapshot.rows(
        f"""select count(*) as bill_lines, coalesce(sum(billed_amount), 0) as billed_cost
        from marts.fct_bill_lines where {where}""",
        values,
    )[0]


def lines(snapshot: Snapshot, row: Row, page: PageRequest) -> list[Row]:
    """Return a page of the bill lines of a case."""
    where, values = all_of(line_conditions(of_row(row)))
    chosen = ", ".join(LINE_COLUMNS)
    order = page.sql(LINE_COLUMNS, "bill_line_id")
    return snapshot.rows(f"select {chosen} from marts.fct_bill_lines where {where} {order}", values)


def billed_names(snapshot: Snapshot, row: Row) -> list[str]:
    """Return the models that the bill lines of a case name."""
    where, values = all_of(line_conditions(of_row(row)))
    rows = snapshot.rows(
        f"""select distinct model_as_billed from marts.fct_bill_lines
        where {where} and model_as_billed is not null order by 1 limit 50""",
        values,
    )
    return [one["model_as_billed"] for one in rows]


def charge_sums(snapshot: Snapshot, row: Row) -> Row:
    """Return the number of charges of a case, and the sum of their known costs, as the case has them."""
    where, values = all_of(charge_conditions(of_row(row)))
    return snapshot.rows(
        f"""select count(*) as charges,
            case when count(*) = 0 then 0 else sum(provider_cost) end as ledger_cost
        from marts.fct_ledger_entries where {where}""",
        values,
    )[0]


def charges(snapshot: Snapshot, row: Row, page: PageRequest) -> list[Row]:
    """Return a page of the charges of a case."""
    where, values = all_of(charge_conditions(of_row(row)))
    chosen = ", ".join(CHARGE_COLUMNS)
    order = page.sql(CHARGE_COLUMNS, "entry_id")
    return snapshot.rows(f"select {chosen} from marts.fct_ledger_entries where {where} {order}", values)


def unknown_models(snapshot: Snapshot) -> list[Row]:
    """Return the names of models on bills that no rule resolves, by currency, the most money first.

    `candidates` are the models of the provider that were charged and not billed on the same days.
    """
    return snapshot.rows(
        """with unknown as (
            select * from marts.fct_bill_lines where model_id = 'unknown' and model_as_billed is not null
        ),

        candidates as (
            select provider, model_as_billed, list(distinct cases.model_id order by cases.model_id) as models
            from (select distinct provider, model_as_billed, usage_date from unknown) as days
            inner join marts.fct_cost_reconciliation as cases using (provider, usage_date)
            where break_type = 'metered_not_billed'
            group by provider, model_as_billed
        )

        select provider, model_as_billed, currency, count(*) as bill_lines,
            sum(billed_amount) as billed_amount, min(usage_date) as first_day, max(usage_date) as last_day,
            coalesce(any_value(candidates.models), []) as candidates
        from unknown left join candidates using (provider, model_as_billed)
        group by provider, model_as_billed, currency
        order by billed_amount desc, provider, model_as_billed, currency"""
    )


@dataclass(frozen=True)
class BilledDifference:
    """What bills change about the costs of a period, in one currency."""

    difference: Decimal
    """What was billed beyond the costs in the ledger, in the cases that are compared."""
    days_compared: int
    """UTC days with a compared case."""
    days: int
    """UTC days with a case."""
    compared_cost: Decimal
    """The costs in the ledger that were compared."""
    ledger_cost: Decimal
    """All known costs in the ledger."""

    @property
    def compared_share(self) -> float | None:
        """The part of the costs in the ledger that was compared."""
        return float(self.compared_cost / self.ledger_cost) if self.ledger_cost else None


def billed_difference(snapshot: Snapshot, filters: Filters) -> BilledDifference | None:
    """Return what bills change about the costs of the period, by UTC day.

    In a whole month and without filters, `difference` is the `cost_difference` of `rpt_profit_at_bill`. None
    if nothing is compared, or if a filter is active that bills do not know: that of paywalls, event types or
    users.
    """
    if filters.paywalls or filters.entry_types or filters.limits_users:
        return None
    where, values = all_of(case_conditions(filters, CostSearch(in_period=True)))
    try:
        row = snapshot.rows(
            f"""select sum(difference) filter (where {IS_COMPARED}) as difference,
                count(distinct usage_date) filter (where {IS_COMPARED}) as days_compared,
                count(distinct usage_date) as days,
                coalesce(sum(ledger_cost) filter (where {IS_COMPARED}), 0) as compared_cost,
                coalesce(sum(ledger_cost), 0) as ledger_cost
            from marts.fct_cost_reconciliation where {where}""",
            values,
        )[0]
    except duckdb.CatalogException:  # a file of an earlier version
        return None
    return None if row["difference"] is None else BilledDifference(**row)
