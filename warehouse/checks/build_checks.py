"""Reads the results of the check models (`dbt_project/models/checks/`) and applies the settings to them."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any, Final

import duckdb

from paywall_warehouse.settings import Settings
from warehouse.checks.booked_months import check_booked_months
from warehouse.checks.invariant import ERROR, WARN, Invariant, invariant
from warehouse.checks.invariants import INVARIANTS, PRIORITY_1_BREAKS
from warehouse.checks.reject_ratio import check_rejects

CHECK_MODELS: Final = (
    "chk_entries",
    "chk_marts_equal_entries",
    "chk_wallets",
    "chk_rollforward",
    "chk_credit",
    "chk_growth",
    "chk_stripe_rows",
    "chk_stripe_balances",
    "chk_reconciliation",
    "chk_costs",
    "chk_journal",
)
COLUMNS: Final = "name, scope, expected, actual, severity, query"

# Per row: name, scope, expected, actual, severity and query of a check.
CheckRows = Sequence[Sequence[Any]]
# Reads the rows of a check model, by its name.
ReadCheck = Callable[[str], CheckRows]


class ChecksNotBuiltError(Exception):
    """A build has no results of its checks. The message names the remedy."""


def check_query(model: str, prefix: str = "") -> str:
    """Return the query that reads a check model, in SQL that both engines accept.

    The names of a cluster build's schemas begin with `prefix`.
    """
    return f"select {COLUMNS} from {prefix}checks.{model} order by name, ordinal"


def check_build(
    connection: duckdb.DuckDBPyConnection, settings: Settings, read_check: ReadCheck
) -> list[Invariant]:
    """Return every invariant of a build, in the order of `INVARIANTS`.

    Comparisons of marts with entries have one invariant per currency, and none if there are no entries.

    `connection` is a connection to the build file, which has the rejected records. `read_check` reads a check
    model.
    """
    found = [
        *_checks(read_check, settings),
        check_rejects(connection, settings),
        check_booked_months(connection, settings.home),
    ]
    place = {name: number for number, name in enumerate(INVARIANTS)}
    return sorted(found, key=lambda one: place[one.name])


def _checks(read: ReadCheck, settings: Settings) -> Iterator[Invariant]:
    for model in CHECK_MODELS:
        for name, scope, expected, actual, severity, query in read(model):
            one = replace(invariant(name, scope, expected, actual, query), severity=severity)
            yield _allowed(one, settings) if name == PRIORITY_1_BREAKS else one


def _allowed(one: Invariant, settings: Settings) -> Invariant:
    """Return the check of open breaks with the limit and the severity of the settings."""
    return replace(
        one,
        expected=Decimal(settings.max_priority_1_breaks),
        passed=one.actual <= settings.max_priority_1_breaks,
        severity=ERROR if settings.priority_1_breaks == "fail" else WARN,
    )
