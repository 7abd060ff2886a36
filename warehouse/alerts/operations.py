"""The rules over runs, checks, reconciliations and balances."""

from collections.abc import Iterator
from decimal import Decimal
from typing import Final

from warehouse.alerts.definitions import PAYMENTS, Rule
from warehouse.alerts.findings import Evaluation, Finding, money, rounded, short
from warehouse.checks.invariant import WARN, exact_text
from warehouse.cost_summary import summarize_costs
from warehouse.reconciliation_summary import AMOUNT_AT_RISK, CURRENCY_AT_RISK, summarize
from warehouse.runs import PUBLISHED

# More alerts of one rule help nobody. The oldest breaks come first, so that the same ones stay listed.
MOST_BREAKS: Final = 1000
# Rules of their own are about breaks.
CHECKS_OF_BREAKS: Final = ("priority_1_breaks", "priority_1_cost_breaks")
FAILED_CHECKS: Final = "failed checks: "


def failed_runs(evaluation: Evaluation, rule: Rule) -> Iterator[Finding]:
    """Yield a finding while the last runs have failed."""
    failed = 0
    for run in reversed(evaluation.runs):
        if run.status == PUBLISHED:
            break
        failed += 1
    if failed < rule.options["in_a_row"]:
        return
    reason = evaluation.runs[-1].reason or ""
    # Other reasons may quote records.
    why = f": {reason}" if reason.startswith(FAILED_CHECKS) else ""
    times = "The last run" if failed == 1 else f"The last {failed} runs"
    yield Finding(
        "runs",
        f"{times} did not publish{why}. `paywall-warehouse status` and Dagster's UI have the reason.",
        Decimal(failed),
        Decimal(0),
    )


def many_rejects(evaluation: Evaluation, rule: Rule) -> Iterator[Finding]:
    """Yield a finding if too many records of the last run with new records were rejected."""
    last = next((run for run in reversed(evaluation.runs) if run.new_records), None)
    if last is None:
        return
    above: Decimal = rule.options["above"]
    if Decimal(last.rejected_records) <= above * last.new_records:
        return
    share = rounded(Decimal(last.rejected_records) / last.new_records)
    yield Finding(
        "records",
        f"{last.rejected_records:,} of {last.new_records:,} new records were rejected"
        f" (limit {exact_text(above * 100)}%). `paywall-warehouse status` names the reasons.",
        share,
        above,
    )


def warning_checks(evaluation: Evaluation, rule: Rule) -> Iterator[Finding]:
    """Yield the checks before publication that warn."""
    rows = evaluation.published.execute(
        """select name, scope, expected, actual from ops.invariants
        where
            not passed and severity = ?
            and run_id = (select run_id from ops.invariants order by rowid desc limit 1)
        order by name, scope""",
        [WARN],
    ).fetchall()
    for name, scope, expected, actual in rows:
        if name in CHECKS_OF_BREAKS or name in rule.options["ignore"]:
            continue
        yield Finding(
            f"{name} {short(scope)}",
            f"The check {name} ({short(scope)}) warns: expected {exact_text(expected)}, actual"
            f" {exact_text(actual)}.",
            actual,
            expected,
        )


def open_breaks(evaluation: Evaluation, rule: Rule) -> Iterator[Finding]:
    """Yield each open break of the priority of a rule or a higher one."""
    is_of_payments = rule.options["of"] == PAYMENTS
    columns = (
        f"rail, {AMOUNT_AT_RISK}, {CURRENCY_AT_RISK}, ledger_amount, paid_amount"
        if is_of_payments
        else "provider, abs(coalesce(difference, billed_cost)), currency, ledger_cost, billed_cost"
    )
    mart = "fct_reconciliation" if is_of_payments else "fct_cost_reconciliation"
    rows = evaluation.published.execute(
        f"""select case_id, break_type, priority, {columns} from marts.{mart}
        where status = 'break' and priority <= ?
        order by broken_since, case_id limit ?""",
        [rule.options["priority"], MOST_BREAKS],
    ).fetchall()
    for case_id, break_type, priority, party, amount, currency, ledger, other in rows:
        label = f"{break_type} {short(party or '')}".strip()
        yield Finding(
            scope=f"{break_type} {case_id}",
            summary=f"{label}, priority {priority}: {money(amount, currency)} at risk.",
            value=ledger,
            expected=other,
            label=label,
        )


def incomplete(evaluation: Evaluation, rule: Rule) -> Iterator[Finding]:
    """Yield the sources or months that make the verdict of a reconciliation incomplete."""

    def fetch(query: str) -> list[tuple[object, ...]]:
        return evaluation.published.execute(query).fetchall()

    days = rule.options["for_days"]
    if rule.options["of"] == PAYMENTS:
        for source in summarize(fetch).gaps:
            yield Finding(
                f"{source.rail} {source.source} {source.account}",
                f"The reconciliation of payments is incomplete: {short(source.describe())}.",
                for_days=days,
            )
        return
    for month in summarize_costs(fetch).gaps:
        yield Finding(
            f"{month.provider} {month.month_start:%Y-%m}",
            f"The reconciliation of costs is incomplete: {short(month.describe())}.",
            Decimal(month.days_compared),
            for_days=days,
        )


def low_balances(evaluation: Evaluation, rule: Rule) -> Iterator[Finding]:
    """Yield the currencies in which too many users with a wallet have a balance below the limit."""
    below, least, currency = (rule.options[name] for name in ("below", "least_users", "currency"))
    limited, values = ("and users.currency = ?", [currency]) if currency else ("", [])
    rows = evaluation.published.execute(
        f"""select users.currency, count(*) from marts.rpt_users as users
        semi join marts.fct_wallet_days as wallets using (user_id, currency)
        where users.balance < cast(? as decimal(38, 12)) {limited}
        group by users.currency having count(*) >= ? order by users.currency""",
        [f"{below:f}", *values, least],
    ).fetchall()
    for found, users in rows:
        yield Finding(
            found,
            f"{users:,} user{'s have' if users != 1 else ' has'} a balance below {money(below, found)}.",
            Decimal(users),
            Decimal(least - 1),
        )


def users_below(evaluation: Evaluation, rule: Rule, currency: str, limit: int) -> list[str]:
    """Return users of an alert about balances, the lowest balance first, for messages that may name them."""
    rows = evaluation.published.execute(
        """select users.user_id from marts.rpt_users as users
        semi join marts.fct_wallet_days as wallets using (user_id, currency)
        where users.balance < cast(? as decimal(38, 12)) and users.currency = ?
        order by users.balance, users.user_id limit ?""",
        [f"{rule.options['below']:f}", currency, limit],
    ).fetchall()
    return [user for (user,) in rows]
