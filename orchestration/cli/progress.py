"""What a run in a terminal shows: Dagster's events and the steps' own words, a line each."""

import logging
import sys
import time
from typing import Any

import dagster as dg
import typer

from exports.datasets import DATASETS
from paywall_warehouse.quoting import printable_lines

TITLES = {
    "raw__ledger_entries": "ledger",
    "raw__webhook_events": "events",
    "raw__provider_rates": "prices",
    "raw__rail_payments": "payments",
    "stripe__balance_change_from_activity": "Stripe: activity",
    "stripe__payouts": "Stripe: payouts",
    "stripe__payout_reconciliation": "Stripe: payout items",
    "stripe__balance_summary": "Stripe: summaries",
    "stripe__checkout_sessions": "Stripe: sessions",
    "raw__stripe_balance_transactions": "load activity",
    "raw__stripe_payouts": "load payouts",
    "raw__stripe_payout_items": "load payout items",
    "raw__stripe_balance_summaries": "load summaries",
    "raw__stripe_checkout_sessions": "load sessions",
    "raw__price_book": "price book",
    "build__plan": "plan",
    "dbt_models": "build",
    "published__warehouse": "check, publish",
    **{f"exports__{name}": f"export {name.replace('_', ' ')}" for name in (*DATASETS, "catalog")},
}
# Steps that may take minutes, and say meanwhile how far they are.
LONG_STEPS = {"dbt_models", *(f"exports__{name}" for name in DATASETS)}
WIDTH = max(map(len, TITLES.values()))


class ProgressHandler(logging.Handler):
    """Prints a line for each step when it ends, and what a long step says meanwhile."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self._said: dict[str, str] = {}
        self._started: dict[str, float] = {}

    def emit(self, record: logging.LogRecord) -> None:
        """Takes Dagster's records; their own data is in `dagster_meta`."""
        meta: dict[str, Any] = getattr(record, "dagster_meta", {})
        step, event = meta.get("step_key"), meta.get("dagster_event")
        if event is not None:
            self._event(event)
        elif record.levelno >= logging.WARNING:
            self._warn(step, meta.get("orig_message", record.getMessage()))
        elif step and record.levelno == logging.INFO:
            if step in LONG_STEPS and step in self._said:
                self._line("·", None, step, self._said[step])
            self._said[step] = meta.get("orig_message", "")

    def _event(self, event: Any) -> None:
        step = event.step_key
        if event.event_type is dg.DagsterEventType.STEP_START:
            self._started[step] = time.monotonic()
        elif event.event_type is dg.DagsterEventType.STEP_SUCCESS:
            seconds = time.monotonic() - self._started.get(step, time.monotonic())
            # A step that has nothing to say, such as a pull without a key, is not worth a line.
            if said := self._said.get(step):
                self._line("✓", "green", step, f"{said} ({seconds:.1f} s)")
        elif event.event_type is dg.DagsterEventType.STEP_FAILURE:
            if step in LONG_STEPS and step in self._said:
                self._line("·", None, step, self._said[step])
            self._line("✗", "red", step, "failed")

    def _warn(self, step: str | None, words: str) -> None:
        # Dagster's own words for steps behind a failed one; the failure says enough.
        if not words.startswith("Dependencies for step"):
            self._line("!", "yellow", step, words.partition("\n")[0])

    def _line(self, mark: str, color: str | None, step: str | None, words: str) -> None:
        title = TITLES.get(step or "", step or "").ljust(WIDTH)
        typer.echo(
            f"{typer.style(mark, fg=color)} {title}  {printable_lines(words)}",
            file=sys.stderr,
            color=None if sys.stderr.isatty() else False,
        )


def terminal_logger() -> dg.LoggerDefinition:
    """A Dagster logger that shows a run's progress on stderr."""

    def progress(_: dg.InitLoggerContext) -> logging.Logger:
        logger = logging.Logger("paywall_warehouse.progress", logging.DEBUG)
        logger.addHandler(ProgressHandler())
        return logger

    return dg.LoggerDefinition(progress, description="Progress on stderr.")
