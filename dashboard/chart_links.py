"""Addresses that a click on a chart opens."""

from collections.abc import Iterable, Sequence
from datetime import date, timedelta

from dashboard.context import address, address_with, kept_parameters
from dashboard.controls import CUSTOM, PERIODS
from dashboard.steps import Step


def period_parameters(since: date, until: date) -> dict[str, str | list[str]]:
    """Return the parameters of the address for a half-open range of days.

    The address keeps the label of a choice, and the first and the last day, as Streamlit writes them: it
    writes two equal days once, and would add an entry to the browser's history to correct that.
    """
    days = [since.isoformat(), (until - timedelta(days=1)).isoformat()]
    return {"period": PERIODS[CUSTOM], "days": list(dict.fromkeys(days))}


def ledger_of(since: date, until: date, **filters: str | list[str]) -> str:
    """Return the address of the ledger for a range of days, with the other filters of this page."""
    return address("ledger", **period_parameters(since, until), **filters)


def ledger_of_days(days: Iterable[date], **filters: str | list[str]) -> dict[date, str]:
    """Return `ledger_of` for each of some days."""
    kept = kept_parameters()
    return {
        day: address_with(kept, "ledger", **period_parameters(day, day + timedelta(days=1)), **filters)
        for day in days
    }


def ledger_links(steps: Sequence[Step], **filters: str | list[str]) -> dict[date, str]:
    """Return the address of the ledger for each step, for the days of the period in it."""
    kept = kept_parameters()
    return {
        step.starts_on: address_with(kept, "ledger", **period_parameters(step.since, step.until), **filters)
        for step in steps
    }
