"""Webhook events: what was loaded of them, what was rejected, and which errors they report."""

from dashboard.filters import Filters, any_of, of_chosen_users
from dashboard.snapshot import Row, Snapshot
from exports.filters import Filter, all_of


def loaded_events(snapshot: Snapshot) -> Row:
    """Return how many files and records of webhook events were loaded, and when the last file was."""
    return snapshot.rows(
        """select count(*) as files, coalesce(sum(accepted), 0) as accepted, max(loaded_at) as last_loaded_at
        from ops.loaded_files where source = 'events'"""
    )[0]


def last_event(snapshot: Snapshot) -> Row | None:
    """Return the latest event about any user, None without events."""
    # A file of an earlier version lacks these columns until the next run.
    columns = snapshot.rows("describe marts.dim_users")
    if not any(column["column_name"] == "last_event_at" for column in columns):
        return None
    rows = snapshot.rows(
        """select user_id, last_event_type, last_event_at from marts.dim_users where last_event_at is not null
        order by last_event_at desc, user_id limit 1"""
    )
    return next(iter(rows), None)


def rejected_events(snapshot: Snapshot) -> list[Row]:
    """Return the number of rejected event records by reason."""
    return snapshot.rows(
        """select reason_code, count(*) as records, min(first_seen_at) as first_seen_at,
            max(first_seen_at) as last_seen_at
        from ops.rejected_records where source = 'events' group by reason_code
        order by records desc, reason_code"""
    )


def errors_by_code(snapshot: Snapshot, filters: Filters, limit: int, user_id: str | None = None) -> list[Row]:
    """Return the errors of the period by kind and code, of one user if `user_id` is given."""
    conditions = [
        Filter("error_date >= ? and error_date < ?", (filters.since, filters.until)),
        *of_chosen_users(filters),
    ]
    if user_id is not None:
        conditions.append(Filter("user_id = ?", (user_id,)))
    for column, values in (("paywall_id", filters.paywalls), ("model_id", filters.models)):
        if values:
            conditions.append(any_of(column, values))
    where, parameters = all_of(conditions)
    return snapshot.rows(
        f"""select error_kind, error_code, count(*) as errors, count(distinct user_id) as users,
            max(occurred_at) as last_at
        from marts.fct_usage_errors where {where} group by error_kind, error_code
        order by errors desc, error_kind, error_code limit {int(limit)}""",
        parameters,
    )
