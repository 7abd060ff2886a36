"""Finance: deferred revenue and usage by month, the journal, and closed months with what changed in them."""

from collections.abc import Sequence
from datetime import date

from dashboard.snapshot import Row, Snapshot

TABLES = (
    ("marts", "fct_deferred_revenue"),
    ("marts", "fct_journal_lines"),
    ("ops", "periods"),
    ("ops", "period_events"),
)
MONTH = "cast(date_trunc('month', {}) as date)"
FLOWS = (
    "added",
    "used",
    "overdraft_settled",
    "returned",
    "expired",
    "revenue_paid",
    "revenue_promo",
    "revenue_unfunded",
)
CLOSINGS = ("closing", "promo_closing", "overdraft_closing", "booked_closing")


def is_published(snapshot: Snapshot) -> bool:
    """Return whether the published file has the tables of finance. Earlier versions wrote none."""
    marks = ", ".join("(?, ?)" for _ in TABLES)
    rows = snapshot.rows(
        f"select count(*) as tables from duckdb_tables() where (schema_name, table_name) in ({marks})",
        [name for table in TABLES for name in table],
    )
    return bool(rows[0]["tables"] == len(TABLES))


def months(snapshot: Snapshot, currency: str, today: date) -> list[Row]:
    """Return the roll-forward of deferred revenue by month through today, the latest month first.

    `opening` is that of the first day of the month, the closings are those of the last day.
    `booked_difference` is the booked closing minus the closing.
    """
    flows = ", ".join(f"sum({name}) as {name}" for name in FLOWS)
    closings = ", ".join(f"arg_max({name}, date_day) as {name}" for name in CLOSINGS)
    return snapshot.rows(
        f"""with months as (
            select {MONTH.format("date_day")} as starts_on, max(date_day) as last_day,
                arg_min(opening, date_day) as opening, {flows}, {closings}
            from marts.fct_deferred_revenue where currency = ? and date_day <= ? group by starts_on
        )
        select *, revenue_paid + revenue_promo + revenue_unfunded as usage,
            booked_closing - closing as booked_difference,
            last_day(starts_on) < ? as is_over
        from months order by starts_on desc""",
        [currency, today, today],
    )


def journal_months(snapshot: Snapshot, currency: str) -> list[date]:
    """Return the months with lines in the journal, by `journal_date`, the latest first."""
    rows = snapshot.rows(
        f"""select distinct {MONTH.format("journal_date")} as starts_on from marts.fct_journal_lines
        where currency = ? order by starts_on desc""",
        [currency],
    )
    return [row["starts_on"] for row in rows]


def journal(snapshot: Snapshot, currency: str, month: date) -> list[Row]:
    """Return debits and credits of a month by account and journal. `balance` is debit minus credit."""
    return snapshot.rows(
        f"""select account, journal, sum(debit) as debit, sum(credit) as credit,
            sum(debit - credit) as balance, count(*) as lines,
            count(*) filter (where relates_to_date <> journal_date) as adjustments
        from marts.fct_journal_lines
        where currency = ? and {MONTH.format("journal_date")} = ?
        group by account, journal order by account, journal""",
        [currency, month],
    )


def accounts(snapshot: Snapshot, currency: str, month: date) -> list[Row]:
    """Return debits and credits of a month by account, and the balance at its end over all months."""
    return snapshot.rows(
        f"""select account,
            coalesce(sum(debit) filter (where is_in_month), 0) as debit,
            coalesce(sum(credit) filter (where is_in_month), 0) as credit,
            coalesce(sum(debit - credit) filter (where is_in_month), 0) as movement,
            sum(debit - credit) as balance
        from (
            select *, {MONTH.format("journal_date")} = $2 as is_in_month from marts.fct_journal_lines
            where currency = $1 and {MONTH.format("journal_date")} <= $2
        ) group by account order by account""",
        [currency, month],
    )


def journal_total(snapshot: Snapshot, currency: str, month: date) -> Row:
    """Return all debits and all credits of a month."""
    return snapshot.rows(
        f"""select coalesce(sum(debit), 0) as debit, coalesce(sum(credit), 0) as credit, count(*) as lines
        from marts.fct_journal_lines where currency = ? and {MONTH.format("journal_date")} = ?""",
        [currency, month],
    )[0]


def periods(snapshot: Snapshot) -> list[Row]:
    """Return the months that are open and closed, the latest first."""
    return snapshot.rows(
        "select month_start, status, closed_at, closed_by, note, digest from ops.periods"
        " order by month_start desc"
    )


def period_events(snapshot: Snapshot) -> list[Row]:
    """Return every close and every reopening, the latest first."""
    return snapshot.rows("select * from ops.period_events order by acted_at desc, act_no desc")


def changes(snapshot: Snapshot, currency: str) -> list[Row]:
    """Return what changed in closed months after their close, by closed month and account.

    `journal_date` is the day under which the change is booked. `balance` is debit minus credit.
    """
    return snapshot.rows(
        f"""select {MONTH.format("relates_to_date")} as starts_on, account, journal, journal_date,
            sum(debit) as debit, sum(credit) as credit, sum(debit - credit) as balance,
            count(distinct relates_to_date) as days
        from marts.fct_journal_lines where currency = ? and relates_to_date <> journal_date
        group by starts_on, account, journal, journal_date
        order by starts_on desc, account, journal, journal_date""",
        [currency],
    )


def next_to_close(periods: Sequence[Row]) -> Row | None:
    """Return the first open month, None if all are closed or there is none."""
    return min(
        (row for row in periods if row["status"] == "open"), key=lambda row: row["month_start"], default=None
    )
