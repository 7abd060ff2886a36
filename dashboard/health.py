"""The health line: whether the numbers are fresh, complete and sound, and what is at risk."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from html import escape
from typing import Literal

import streamlit as st

from dashboard import formats
from dashboard.context import Context, address
from dashboard.home import logged_runs
from dashboard.queries import (
    costs as costs_queries,
    reconciliation as reconciliation_queries,
    runs as runs_queries,
)
from dashboard.snapshot import Question, Row, Snapshot
from paywall_warehouse.ages import ago
from warehouse.runs import PUBLISHED, Run

Level = Literal["ok", "look", "bad"]
SIGNS: dict[Level, str] = {"ok": "✓", "look": "!", "bad": "✕"}
WORDS: dict[Level, str] = {"ok": "OK", "look": "Look here", "bad": "Problem"}
# After this time, a nightly run is missing.
OUTDATED_AFTER = timedelta(hours=36)
# More currencies would not fit into the line.
CURRENCIES = 4
RULES = 4
# For the head of the page, once. The sign and its words carry the meaning, the colour only supports it.
HEAD = """<style>
.health.health { display: flex; flex-wrap: wrap; gap: .5rem; list-style: none; margin: 0; padding: 0;
  font-size: .875rem; }
.health.health li { flex: 1 1 11rem; margin: 0; padding: .5rem .75rem; border-radius: .5rem;
  border-left: .3rem solid var(--level); background: color-mix(in srgb, var(--level) 12%, transparent); }
.health .ok { --level: #158237; }
.health .look { --level: #b7791f; }
.health .bad { --level: #c53030; }
.health a { color: inherit; }
.health small { display: block; opacity: .85; overflow-wrap: anywhere; }
</style>"""


@dataclass(frozen=True)
class Item:
    """One answer of the health line. `page` is where its evidence is."""

    level: Level
    title: str
    text: str
    page: str


def health_line(context: Context) -> None:
    """Draw the health line."""
    items = "".join(map(_html, _items(context)))
    st.html(f'<ul class="health" aria-label="Health of the numbers">{items}</ul>')


def questions() -> list[Question]:
    """Return the queries of the health line."""
    return [
        runs_queries.last_entry_at,
        reconciliation_queries.at_risk,
        reconciliation_queries.state,
        _cost_rows,
        runs_queries.open_alerts,
        runs_queries.invariants,
        lambda snapshot: runs_queries.count_rejects(snapshot, ()),
    ]


def _html(item: Item) -> str:
    link = f'<a href="{escape(address(item.page))}" target="_self">{escape(item.title)}</a>'
    sign = f'<span role="img" aria-label="{WORDS[item.level]}">{SIGNS[item.level]}</span>'
    return f'<li class="{item.level}">{sign} <strong>{link}</strong><small>{escape(item.text)}</small></li>'


def _items(context: Context) -> Iterator[Item]:
    yield _freshness(context)
    yield last_run(later_runs(logged_runs(), context.about.run_id), context.timezone)
    costs = cost_breaks(_cost_rows(context.snapshot))
    yield _money_at_risk(context, of_payments=costs is not None)
    if costs is not None:
        yield costs
    yield _completeness(context)
    if alerts := open_alerts(runs_queries.open_alerts(context.snapshot)):
        yield alerts
    yield checks(runs_queries.invariants(context.snapshot), runs_queries.count_rejects(context.snapshot, ()))


def _freshness(context: Context) -> Item:
    about = context.about
    age = datetime.now(UTC) - about.published_at
    last = runs_queries.last_entry_at(context.snapshot)
    published, latest = (formats.instant(at, context.timezone) for at in (about.published_at, last))
    text = f"Published {ago(age)}, {published}. Latest entry: {latest}."
    if age <= OUTDATED_AFTER and last is not None and about.as_of - last > OUTDATED_AFTER:
        return Item("look", "No new entries", f"{text} Files may not arrive: check the sources.", "runs")
    if age <= OUTDATED_AFTER:
        return Item("ok", "Fresh", text, "runs")
    return Item("look", "Outdated", f"{text} A run may be missing: check Dagster's schedules.", "runs")


def later_runs(runs: Sequence[Run], published_run: str) -> list[Run] | None:
    """Return the runs after the one that published, the oldest first; None if the log lacks that one."""
    numbers = [number for number, run in enumerate(runs) if run.run_id == published_run]
    return list(runs[numbers[-1] + 1 :]) if numbers else None


def last_run(later: Sequence[Run] | None, timezone: str) -> Item:
    """Return whether the last run published. `later` are the runs after the publication that is shown."""
    if later is None:
        text = "The log of runs cannot be read here, so that a failed run would not show."
        return Item("look", "Later runs unknown", text, "runs")
    failed = [run for run in later if run.status != PUBLISHED]
    if not failed or later[-1].status == PUBLISHED:
        return Item("ok", "Last run published", "The numbers are those of the last run.", "runs")
    at = formats.instant(failed[-1].finished_at, timezone)
    since = f" {formats.counted(len(failed), 'run')} in a row failed." if len(failed) > 1 else ""
    reason = f" {failed[-1].reason}" if failed[-1].reason else ""
    return Item(
        "bad",
        "Last run failed",
        f"The run of {at} did not publish: the numbers are older.{since}{reason}",
        "runs",
    )


def _money_at_risk(context: Context, *, of_payments: bool) -> Item:
    """Return what the breaks of payments put at risk.

    `of_payments` makes the words say so, if costs have breaks as well.
    """
    kind = "open payment break" if of_payments else "open break"
    rows = reconciliation_queries.at_risk(context.snapshot)
    if not rows:
        if reconciliation_queries.state(context.snapshot).gaps:
            text = "None among the payments that were compared; some were not."
            return Item("look", f"No {kind}s so far", text, "reconciliation")
        return Item("ok", f"No {kind}s", "Every payment and every credit agree.", "reconciliation")
    listed = _amounts([(row["amount_at_risk"], row["currency_at_risk"]) for row in rows])
    cases, urgent = sum(row["cases"] for row in rows), sum(row["urgent_cases"] for row in rows)
    text = f"{formats.counted(cases, kind)}, {formats.whole(urgent)} of priority 1."
    return Item("bad" if urgent else "look", f"At risk: {listed}", text, "reconciliation")


def _cost_rows(snapshot: Snapshot) -> list[Row]:
    return costs_queries.at_risk(snapshot) if costs_queries.is_published(snapshot) else []


def cost_breaks(rows: Sequence[Row]) -> Item | None:
    """Return what the breaks between ledger and bills put at risk; None if none of them has priority 1.

    `rows` has a row for each currency, those with breaks of priority 1 first.
    """
    urgent = [row for row in rows if row["urgent_cases"]]
    if not urgent:
        return None
    listed = _amounts([(row["at_risk"], row["currency"]) for row in urgent])
    cases, of_priority_1 = (sum(row[name] for row in rows) for name in ("cases", "urgent_cases"))
    text = f"{formats.counted(cases, 'open cost break')}, {formats.whole(of_priority_1)} of priority 1."
    return Item("bad", f"Costs at risk: {listed}", text, "costs")


def _amounts(stated: Sequence[tuple[Decimal | None, str | None]]) -> str:
    """Return the known amounts with their currencies, as many as fit into the line."""
    amounts = [
        formats.short_with_currency(amount, currency or "")
        for amount, currency in stated
        if amount is not None
    ]
    more = f" and {formats.counted(len(amounts) - CURRENCIES, 'more currency', 'more currencies')}"
    return ", ".join(amounts[:CURRENCIES]) + (more if len(amounts) > CURRENCIES else "")


def _completeness(context: Context) -> Item:
    state = reconciliation_queries.state(context.snapshot)
    if not state.is_needed:
        return Item("ok", "Nothing to reconcile", "No deposit needs a payment.", "reconciliation")
    if state.gaps:
        text = "; ".join(source.describe() for source in state.gaps[:2]) + "."
        return Item("look", "Reconciliation is incomplete", text[0].upper() + text[1:], "reconciliation")
    return Item(
        "ok", "Reconciliation is complete", "Every source is there and reaches far enough.", "reconciliation"
    )


def open_alerts(rows: Sequence[Row]) -> Item | None:
    """Return which alerts were open at the publication; None if none was. `rows` has a row for each rule."""
    if not rows:
        return None
    count = sum(row["alerts"] for row in rows)
    listed = ", ".join(row["rule"] for row in rows[:RULES])
    more = f" and {formats.counted(len(rows) - RULES, 'more rule')}" if len(rows) > RULES else ""
    title = f"{formats.counted(count, 'alert')} open"
    return Item("look", title, f"{listed}{more}. `paywall-warehouse alerts status` lists them.", "runs")


def checks(rows: Sequence[Row], rejected: int) -> Item:
    """Return how many checks before publication gave a warning, and how many records were rejected."""
    failed = [row for row in rows if not row["passed"]]
    records = (
        f"{formats.counted(rejected, 'record')} rejected so far." if rejected else "No record was rejected."
    )
    if not failed:
        return Item("ok", f"{formats.counted(len(rows), 'check')} passed", records, "runs")
    names = ", ".join(sorted({row["name"] for row in failed}))
    verb = "warns" if len(failed) == 1 else "warn"
    title = f"{_part(len(failed), len(rows))} {verb}"
    return Item("look", title, f"{names}. {records}", "runs")


def _part(failed: int, count: int) -> str:
    return f"{formats.whole(failed)} of {formats.counted(count, 'check')}"
