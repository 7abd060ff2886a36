"""A summary of the reconciliation in a published warehouse: matches, open breaks, incomplete sources."""

from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb

from paywall_warehouse.duckdb_connections import open_duckdb
from warehouse.case_counts import COMPLETE, Fetch, count_cases, headline_of
from warehouse.checks.invariant import exact_text
from warehouse.checks.invariants import INVARIANTS

# The amount at risk in a case (SQL): the amount paid, or the amount credited if no amount paid is known. Its
# currency is that of the same side, because the two sides may have different ones.
AMOUNT_AT_RISK = "coalesce(paid_amount, ledger_amount)"
CURRENCY_AT_RISK = (
    "case when paid_amount is null and ledger_amount is not null then ledger_currency else paid_currency end"
)


@dataclass(frozen=True)
class OpenBreaks:
    """All open breaks of one type, rail and currency."""

    priority: int
    break_type: str
    rail: str
    currency: str
    cases: int
    amount: Decimal
    """The amount paid, or the amount credited if no amount paid is known. An unknown amount counts 0."""
    oldest_days: int


@dataclass(frozen=True)
class Break:
    """One open break, for a list that a person works through."""

    case_id: str
    break_type: str
    priority: int
    currency: str
    ledger_amount: Decimal | None
    paid_amount: Decimal | None
    age_days: int


@dataclass(frozen=True)
class SourceState:
    """A source that the reconciliation needs.

    Its verdict is `complete`, `missing`, `stale`, `gaps` or `partial`.
    """

    rail: str
    source: str
    account: str
    """The Stripe account; `default` if files name none, and for other rails."""
    data_until: datetime | None
    missing_currencies: list[str]
    """The currencies of credits that no file of the account covers."""
    verdict: str
    failure: str | None = None
    """The reason why the last run could not pull it."""

    @property
    def is_complete(self) -> bool:
        """Whether neither the verdict nor the last pull reports missing data."""
        return self.verdict == COMPLETE and self.failure is None

    def describe(self) -> str:
        """Return the state in a sentence; instants are UTC."""
        if self.failure is not None:
            state = "" if self.verdict == COMPLETE else f"{replace(self, failure=None).describe()}; it "
            return f"{state or f'{self.source} '}could not be pulled: {self.failure}"
        until = (
            f", its data end {self.data_until:%Y-%m-%d %H:%M} UTC"
            if self.data_until and self.verdict != "missing"
            else ""
        )
        if self.rail == "unknown":
            if self.verdict == "missing":
                return (
                    "no payments were landed, so that deposits which name no payment were compared with"
                    " nothing"
                )
            return f"a source of payments is stale for deposits that name no payment{until}"
        name = self.source if self.rail == "stripe" else f"{self.source} of {self.rail}"
        if self.account != "default":
            name += f" of {self.account}"
        if self.verdict == "gaps":
            return f"{name} has gaps{until}"
        if self.verdict == "partial":
            return (
                f"{name} covers no"
                f" {', '.join(currency.upper() for currency in self.missing_currencies)}{until}"
            )
        return f"{name} is {self.verdict}{until}"


@dataclass(frozen=True)
class Reconciliation:
    """The state of all cases. If a source is missing or stale, matched cases do not prove that all match."""

    cases: int
    matched: int
    pending: int
    breaks: list[OpenBreaks]
    sources: list[SourceState]

    @property
    def gaps(self) -> list[SourceState]:
        """The sources that make the reconciliation incomplete."""
        return [source for source in self.sources if not source.is_complete]

    @property
    def is_needed(self) -> bool:
        """Whether there is anything to reconcile."""
        return bool(self.cases or self.sources)

    @property
    def headline(self) -> str:
        """The verdict and the counts as text."""
        broken = sum(group.cases for group in self.breaks)
        return headline_of("Reconciliation", self.gaps, self.cases, self.matched, broken, self.pending)


def reconciliation(path: Path) -> Reconciliation:
    """Return the reconciliation of a published warehouse."""
    with open_duckdb(path, read_only=True) as connection:
        return summarize(lambda query: connection.execute(query).fetchall())


def summarize(fetch: Fetch) -> Reconciliation:
    """Return the reconciliation of the published warehouse whose rows `fetch` returns."""
    cases, matched, pending = count_cases(fetch, "fct_reconciliation")
    breaks = fetch(
        f"""select
            priority,
            break_type,
            rail,
            {CURRENCY_AT_RISK} as currency,
            count(*) as cases,
            coalesce(sum({AMOUNT_AT_RISK}), 0) as amount,
            max(age_days) as oldest_days
        from marts.fct_reconciliation
        where status = 'break'
        group by all
        order by priority, count(*) desc, break_type, rail, currency"""
    )
    sources = fetch(
        """select rail, source, account_id, data_until, missing_currencies, verdict
        from marts.rpt_reconciliation_sources
        order by rail <> 'stripe', rail, source, account_id"""
    )
    failures = _failed_pulls(fetch)
    states = [replace(SourceState(*row), failure=failures.get(row[1])) for row in sources]
    # A failed pull may name a Stripe source before any record shows that Stripe is used.
    unknown = failures.keys() - {state.source for state in states}
    states += [
        SourceState("stripe", source, "default", None, [], "missing", failures[source])
        for source in sorted(unknown)
    ]
    return Reconciliation(cases, matched, pending, [OpenBreaks(*row) for row in breaks], states)


def _failed_pulls(fetch: Fetch) -> dict[Any, Any]:
    """Return the reason of each failed pull of payments by source; empty for a file of an earlier version."""
    try:
        # Sources with a mapping are pulled, too: their failures make the ledger incomplete, not the payments.
        return dict(fetch("select source, reason from ops.failed_pulls where source like 'stripe/%'"))
    except duckdb.CatalogException:
        return {}


def warnings_of(path: Path) -> list[str]:
    """Return the warnings of the checks before publication, with scope and values.

    The first warning of each check states what to do. Open breaks are not included, because they are reported
    separately.
    """
    with open_duckdb(path, read_only=True) as connection:
        rows = connection.execute(
            """select name, scope, expected, actual
            from ops.invariants
            where not passed
                and name not in ('priority_1_breaks', 'priority_1_cost_breaks')
                and run_id = (select run_id from ops.invariants order by rowid desc limit 1)
            order by name, scope"""
        ).fetchall()
    words = dict(INVARIANTS)
    return [
        f"{name} ({scope}): expected {exact_text(expected)}, actual {exact_text(actual)}."
        f" {words.pop(name, '')}".rstrip()
        for name, scope, expected, actual in rows
    ]


def open_breaks(path: Path, limit: int) -> list[Break]:
    """Return the first open breaks, by priority and then by age, the oldest first."""
    with open_duckdb(path, read_only=True) as connection:
        rows = connection.execute(
            """select
                case_id,
                break_type,
                priority,
                coalesce(paid_currency, ledger_currency),
                ledger_amount,
                paid_amount,
                age_days
            from marts.fct_reconciliation
            where status = 'break'
            order by priority, age_days desc, case_id
            limit ?""",
            [limit],
        ).fetchall()
    return [Break(*row) for row in rows]
