"""Runs, checks, rejected records and loaded files."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from dashboard.filters import any_of
from dashboard.queries.paging import PageRequest, count_rows
from dashboard.snapshot import Row, Snapshot
from exports.filters import all_of

REJECT_COLUMNS = ("first_seen_at", "source", "path", "line", "reason_code", "reason", "raw")
FILE_COLUMNS = ("loaded_at", "source", "path", "records", "accepted", "rejected", "bytes")


def runs(snapshot: Snapshot, limit: int) -> list[Row]:
    """Return the latest runs, up to the one that published this file."""
    return snapshot.rows(
        """select run_id, status, started_at, finished_at, as_of, new_records, rejected_records, code_version,
            reason
        from ops.runs order by ops.runs.rowid desc limit ?""",
        [limit],
    )


def invariants(snapshot: Snapshot) -> list[Row]:
    """Return the checks before this publication, failed ones first."""
    return snapshot.rows(
        """select name, scope, expected, actual, difference, passed, severity, checked_at from ops.invariants
        where run_id = (select run_id from ops.invariants order by rowid desc limit 1)
            order by passed, name, scope"""
    )


def open_alerts(snapshot: Snapshot) -> list[Row]:
    """Return the number of open alerts by rule; empty for a file of an earlier version."""
    found = snapshot.rows(
        "select 1 as found from duckdb_tables() where (schema_name, table_name) = ('ops', 'alerts')"
    )
    if not found:
        return []
    return snapshot.rows(
        """select rule, count(*) as alerts from ops.alerts where resolved_at is null
        group by rule order by rule"""
    )


def rejects_by_reason(snapshot: Snapshot) -> list[Row]:
    """Return the number of rejected records by source and reason."""
    return snapshot.rows(
        """select source, reason_code, count(*) as records, min(first_seen_at) as first_seen_at,
            max(first_seen_at) as last_seen_at
        from ops.rejected_records group by source, reason_code order by records desc, source, reason_code"""
    )


def _reject_conditions(reasons: Sequence[str]) -> tuple[str, list[Any]]:
    return all_of([any_of("reason_code", reasons)] if reasons else [])


def count_rejects(snapshot: Snapshot, reasons: Sequence[str]) -> int:
    """Return the number of rejected records."""
    where, values = _reject_conditions(reasons)
    return count_rows(snapshot, f"select count(*) as rows from ops.rejected_records where {where}", values)


def rejects(snapshot: Snapshot, reasons: Sequence[str], page: PageRequest) -> list[Row]:
    """Return a page of rejected records, with their raw text."""
    where, values = _reject_conditions(reasons)
    chosen = ", ".join(REJECT_COLUMNS)
    return snapshot.rows(
        f"select {chosen} from ops.rejected_records where {where} {page.sql(REJECT_COLUMNS, 'path, line')}",
        values,
    )


def count_files(snapshot: Snapshot) -> int:
    """Return the number of loaded files."""
    return count_rows(snapshot, "select count(*) as rows from ops.loaded_files", [])


def files(snapshot: Snapshot, page: PageRequest) -> list[Row]:
    """Return a page of the loaded files."""
    chosen = ", ".join(FILE_COLUMNS)
    return snapshot.rows(f"select {chosen} from ops.loaded_files {page.sql(FILE_COLUMNS, 'path, sha256')}")


def freshness(snapshot: Snapshot) -> list[Row]:
    """Return when the last file of each source was loaded."""
    return snapshot.rows(
        """select source, count(*) as files, sum(accepted) as records, max(loaded_at) as last_loaded_at
            from ops.loaded_files
        group by source order by source"""
    )


def last_entry_at(snapshot: Snapshot) -> datetime | None:
    """Return the time of the latest entry in the ledger."""
    at: datetime | None = snapshot.rows("select max(last_entry_at) as at from marts.fct_user_months")[0]["at"]
    return at
