"""A summary of the cost reconciliation in a published warehouse: matches, open breaks, missing bills."""

from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from pathlib import Path

import duckdb

from paywall_warehouse.duckdb_connections import open_duckdb
from warehouse.case_counts import Fetch, count_cases, headline_of

# What is at stake in a case (SQL): the difference, or the bill if the cost is unknown.
COST_AT_STAKE = "abs(coalesce(difference, billed_cost, 0))"


@dataclass(frozen=True)
class CostBreaks:
    """All open cost breaks of one type, provider and currency."""

    priority: int
    break_type: str
    provider: str
    currency: str
    cases: int
    amount: Decimal
    """The sum of the differences, each without its sign. A case without a known cost counts with its bill."""
    oldest_day: date


@dataclass(frozen=True)
class BilledMonth:
    """A past month of a provider that its bills do not cover completely."""

    provider: str
    month_start: date
    days_compared: int
    verdict: str
    """`partial`, or `missing` if no bill has landed for the month."""

    def describe(self) -> str:
        """Return the state in a sentence."""
        month = f"{self.month_start:%Y-%m}"
        if self.verdict == "missing":
            return f"no bill of {self.provider} has landed for {month}"
        return f"the bills of {self.provider} for {month} are partial: {self.days_compared} days compared"


@dataclass(frozen=True)
class CostReconciliation:
    """The state of all cases. While bills are missing, matched cases do not prove that all costs match."""

    cases: int
    matched: int
    pending: int
    breaks: list[CostBreaks]
    gaps: list[BilledMonth]
    """The past months of providers with bills that their bills do not cover completely, the latest first."""
    without_bills: list[str]
    """The providers of charges of which no bill has ever landed, such as the operator's own models."""

    @property
    def is_needed(self) -> bool:
        """Whether any bill has landed."""
        return bool(self.cases)

    @property
    def not_compared(self) -> str | None:
        """A sentence about the providers without bills; None if there are none."""
        return f"no bill of {', '.join(self.without_bills)} has ever landed" if self.without_bills else None

    @property
    def headline(self) -> str:
        """The verdict and the counts as text. Providers without bills do not make it incomplete."""
        broken = sum(group.cases for group in self.breaks)
        return headline_of("Costs against bills", self.gaps, self.cases, self.matched, broken, self.pending)


def cost_reconciliation(path: Path) -> CostReconciliation:
    """Return the cost reconciliation of a published warehouse. One of an earlier version has no cases."""
    with open_duckdb(path, read_only=True) as connection:
        return summarize_costs(lambda query: connection.execute(query).fetchall())


def summarize_costs(fetch: Fetch) -> CostReconciliation:
    """Return the cost reconciliation of the published warehouse whose rows `fetch` returns."""
    try:
        cases, matched, pending = count_cases(fetch, "fct_cost_reconciliation")
    except duckdb.CatalogException:
        return CostReconciliation(0, 0, 0, [], [], [])
    breaks = fetch(
        f"""select
            priority,
            break_type,
            provider,
            currency,
            count(*) as cases,
            sum({COST_AT_STAKE}) as amount,
            min(usage_date) as oldest_day
        from marts.fct_cost_reconciliation
        where status = 'break'
        group by all
        order by priority, amount desc, break_type, provider, currency"""
    )
    # A month of which no day is over yet for its bill is no gap.
    gaps = fetch(
        """select distinct provider, month_start, days_compared, verdict
        from marts.rpt_cost_reconciliation_months, ops.settings
        where
            verdict <> 'complete'
            and provider in (select provider from marts.fct_bill_lines)
            and timezone('UTC', cast(month_start + interval 1 month as timestamp))
            + to_days(cost_grace_days) <= as_of
        order by month_start desc, provider"""
    )
    without_bills = fetch(
        """select distinct provider from marts.fct_cost_reconciliation
        where provider not in (select provider from marts.fct_bill_lines)
        order by provider"""
    )
    return CostReconciliation(
        cases,
        matched,
        pending,
        [CostBreaks(*row) for row in breaks],
        [BilledMonth(*row) for row in gaps],
        [provider for (provider,) in without_bills],
    )
