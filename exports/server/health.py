"""The health of the warehouse for whoever asks: times and states, no numbers of the ledger."""

from datetime import UTC, datetime
from typing import Any

import duckdb

from exports.server.publications import Publications
from paywall_warehouse.home import Home
from warehouse.published import NotPublishedError
from warehouse.runs import read_runs

BREAKS = ("fct_reconciliation", "fct_cost_reconciliation")


def health(home: Home, publications: Publications, now: datetime) -> tuple[dict[str, Any], int]:
    """Return freshness, last run and whether breaks are open, and the status: 503 if nothing can be read.

    It is a yes or no: the number of breaks is a number of the ledger.
    """
    runs = read_runs(home)
    last_run = {"status": runs[-1].status, "finished_at": runs[-1].finished_at.isoformat()} if runs else None
    try:
        publication = publications.current()
    except NotPublishedError:
        return {"status": "nothing is published", "last_run": last_run}, 503
    published_at = publication.published.published_at.astimezone(UTC)
    with publication.cursor() as cursor:
        has_breaks = publication.kept("breaks", lambda: _has_breaks(cursor))
    return {
        "status": "ok",
        "published_at": published_at.isoformat(),
        "age_seconds": max(int((now - published_at).total_seconds()), 0),
        "as_of": publication.published.as_of.astimezone(UTC).isoformat(),
        "last_run": last_run,
        "open_breaks": has_breaks,
    }, 200


def _has_breaks(cursor: duckdb.DuckDBPyConnection) -> bool | None:
    """Check whether a case is open; return None for a file of an earlier version."""
    try:
        return any(
            cursor.execute(f"select 1 from marts.{mart} where status = 'break' limit 1").fetchall()
            for mart in BREAKS
        )
    except duckdb.CatalogException:
        return None
