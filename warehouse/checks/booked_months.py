"""The check of the journal's lines of closed months against the digests that they were booked with.

The lake is read again for it, so that a change during the build is noticed, too.
"""

from typing import Any, Final

import duckdb

from ingestion.lake.period_acts import Act, closed_months, lines_digest, read_acts
from paywall_warehouse.home import Home
from warehouse.checks.invariant import Invariant, invariant
from warehouse.periods import has_journal, journal_lines

NAME: Final = "closed_months_keep_their_digest"
QUERY: Final = (
    "select * from marts.fct_journal_lines where journal_date < (select max(month_start) + interval 1 month"
    " from raw.period_acts where is_in_force)"
)


def check_booked_months(connection: duckdb.DuckDBPyConnection, home: Home) -> Invariant:
    """Check how many closed months of the build file have the digest of their close.

    The journal of a build on a cluster may have stayed there. The check models compare it there.
    """
    closed = closed_months(read_acts(home))
    if closed and not has_journal(connection):
        closed = []
    faults = [act for act in closed if _digest(connection, act) != act.digest]
    one: Invariant = invariant(NAME, _scope(faults), len(closed), len(closed) - len(faults), QUERY)
    return one


def _scope(faults: list[Act]) -> str:
    return ", ".join(act.month_text for act in faults) or "all"


def _digest(connection: Any, act: Act) -> str:
    return lines_digest(journal_lines(connection, act.month))
