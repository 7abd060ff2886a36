"""What a published warehouse says of its payments in a few lines: how many cases tie, which breaks are open,
what is not known.
"""

from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from pathlib import Path

import duckdb

from paywall_warehouse.duckdb_connections import open_duckdb
from warehouse.checks.invariant import exact_text
from warehouse.checks.invariants import INVARIANTS

COMPLETE = "complete"


@dataclass(frozen=True)
class OpenBreaks:
    """All open breaks of one type, rail and currency."""

    priority: int
    break_type: str
    rail: str
    currency: str
    cases: int
    amount: Decimal
    """What was paid; where nothing was, what was credited."""
    oldest_days: int


@dataclass(frozen=True)
class Break:
    """One open break, for a table that a person works through."""

    case_id: str
    break_type: str
    priority: int
    currency: str
    ledger_amount: Decimal | None
    paid_amount: Decimal | None
    age_days: int


@dataclass(frozen=True)
class SourceState:
    """A source that the reconciliation needs, with its verdict: `complete`, `missing`, `stale`, `gaps` or
    `partial`.
    """

    rail: str
    source: str
    account: str
    """The Stripe account; `default` where files name none, and for other rails."""
    data_until: datetime | None
    missing_currencies: list[str]
    """Currencies of credits that no file of the account covers."""
    verdict: str
    failure: str | None = None
    """Why the last run could not pull it."""

    @property
    def is_complete(self) -> bool:
        """Whether nothing is missing, as far as the source itself and the last pull tell."""
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
    """The state of all cases. Where a source is missing or stale, what matches is no proof that all does."""

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
        """Verdict and counts in a sentence."""
        broken = sum(group.cases for group in self.breaks)
        verdict = "incomplete" if self.gaps else COMPLETE
        return (
            f"Reconciliation: {verdict}. {self.cases:,} cases: {self.matched:,} matched, {broken:,} breaks,"
            f" {self.pending:,} pending."
        )


def reconciliation(path: Path) -> Reconciliation:
    """The reconciliation that a published warehouse shows."""
    with open_duckdb(path, read_only=True) as connection:
        cases, matched, pending = connection.execute(
            """select count(*), count(*) filter (where status = 'matched'),
                count(*) filter (where status = 'pending')
            from marts.fct_reconciliation"""
        ).fetchall()[0]
        breaks = connection.execute(
            """select priority, break_type, rail, coalesce(paid_currency, ledger_currency) as currency,
                count(*),
                sum(coalesce(paid_amount, ledger_amount)), max(age_days)
            from marts.fct_reconciliation where status = 'break'
            group by all order by priority, count(*) desc, break_type, rail, currency"""
        ).fetchall()
        sources = connection.execute(
            """select rail, source, account_id, data_until, missing_currencies, verdict
                from marts.rpt_reconciliation_sources
            order by rail <> 'stripe', rail, source, account_id"""
        ).fetchall()
        failures = _failed_pulls(connection)
    states = [replace(SourceState(*row), failure=failures.get(row[1])) for row in sources]
    # Stripe may be asked where nothing shows yet that it is used.
    unknown = failures.keys() - {state.source for state in states}
    states += [
        SourceState("stripe", source, "default", None, [], "missing", failures[source])
        for source in sorted(unknown)
    ]
    return Reconciliation(cases, matched, pending, [OpenBreaks(*row) for row in breaks], states)


def _failed_pulls(connection: duckdb.DuckDBPyConnection) -> dict[str, str]:
    """Return why sources could not be pulled; a file of an earlier version does not tell."""
    try:
        return dict(connection.execute("select source, reason from ops.failed_pulls").fetchall())
    except duckdb.CatalogException:
        return {}


def warnings_of(path: Path) -> list[str]:
    """Return the checks that warned before a warehouse was published, with scope and values; of each name the
    first says what to do.

    Open breaks are reported on their own.
    """
    with open_duckdb(path, read_only=True) as connection:
        rows = connection.execute("""select name, scope, expected, actual from ops.invariants
            where not passed and name <> 'priority_1_breaks' and run_id = (select run_id from ops.invariants
                order by rowid desc limit 1)
            order by name, scope""").fetchall()
    words = dict(INVARIANTS)
    return [
        f"{name} ({scope}): expected {exact_text(expected)}, actual {exact_text(actual)}."
        f" {words.pop(name, '')}".rstrip()
        for name, scope, expected, actual in rows
    ]


def open_breaks(path: Path, limit: int) -> list[Break]:
    """The open breaks that come first: by priority, then the oldest."""
    with open_duckdb(path, read_only=True) as connection:
        rows = connection.execute(
            """select case_id, break_type, priority, coalesce(paid_currency, ledger_currency), ledger_amount,
                paid_amount, age_days
            from marts.fct_reconciliation where status = 'break' order by priority, age_days desc, case_id
                limit ?""",
            [limit],
        ).fetchall()
    return [Break(*row) for row in rows]
