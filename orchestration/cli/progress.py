"""The progress of a run in a terminal: one line for each of Dagster's events and the steps' messages."""

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
    "raw__markups": "markups",
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
    "raw__stripe_unified_payments": "load Stripe payments",
    "bill_pulls": "pull bills",
    "landing__mapped_sources": "pull from Postgres",
    "raw__mapped_entries": "mapped sources",
    "raw__price_book": "price book",
    "build__plan": "plan",
    "dbt_models": "build",
    "published__warehouse": "check, publish",
    **{f"exports__{name}": f"export {name.replace('_', ' ')}" for name in (*DATASETS, "catalog")},
}
# Steps that may take minutes and report how far they are.
LONG_STEPS = {"dbt_models", *(f"exports__{name}" for name in DATASETS)}
WIDTH = max(map(len, TITLES.values()))


class ProgressHandler(logging.Handler):
    """A log handler that prints a line when a step ends, and the messages of long steps while they run."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self._messages: dict[str, str] = {}
        self._started: dict[str, float] = {}

    def emit(self, record: logging.LogRecord) -> None:
        """Handle a record of Dagster, which keeps its data in the attribute `dagster_meta`."""
        meta: dict[str, Any] = getattr(record, "dagster_meta", {})
        step, event = meta.get("step_key"), meta.get("dagster_event")
        if event is not None:
            self._event(event)
        elif record.levelno >= logging.WARNING:
            self._warn(step, meta.get("orig_message", record.getMessage()))
        elif step and record.levelno == logging.INFO:
            if step in LONG_STEPS and step in self._messages:
                self._line("·", None, step, self._messages[step])
            self._messages[step] = meta.get("orig_message", "")

    def _event(self, event: Any) -> None:
        step = event.step_key
        if event.event_type is dg.DagsterEventType.STEP_START:
            self._started[step] = time.monotonic()
        elif event.event_type is dg.DagsterEventType.STEP_SUCCESS:
            seconds = time.monotonic() - self._started.get(step, time.monotonic())
            # A step without a message, such as a pull without a key, gets no line.
            if message := self._messages.get(step):
                self._line("✓", "green", step, f"{message} ({seconds:.1f} s)")
        elif event.event_type is dg.DagsterEventType.STEP_FAILURE:
            if step in LONG_STEPS and step in self._messages:
                self._line("·", None, step, self._messages[step])
            self._line("✗", "red", step, "failed")

    def _warn(self, step: str | None, message: str) -> None:
        # Dagster warns about every step downstream of a failed one. The failure itself is enough.
        if not message.startswith("Dependencies for step"):
            self._line("!", "yellow", step, message.partition("\n")[0])

    def _line(self, mark: str, color: str | None, step: str | None, message: str) -> None:
        title = TITLES.get(step or "", (step or "").removeprefix("raw__").replace("_", " ")).ljust(WIDTH)
        typer.echo(
            f"{typer.style(mark, fg=color)} {title}  {printable_lines(message)}",
            file=sys.stderr,
            color=None if sys.stderr.isatty() else False,
        )


def terminal_logger() -> dg.LoggerDefinition:
    """Return a Dagster logger that prints a run's progress to stderr."""

    def progress(_: dg.InitLoggerContext) -> logging.Logger:
        logger = logging.Logger("paywall_warehouse.progress", logging.DEBUG)
        logger.addHandler(ProgressHandler())
        return logger

    return dg.LoggerDefinition(progress, description="Prints progress to stderr.")
