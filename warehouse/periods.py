"""Closed months: which month may be closed or reopened, the lines that a close books, and `ops.periods`.

The rules are those of `docs/contract.md#5b4-periods`.
"""

from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Final

import duckdb

from ingestion.lake.period_acts import LINE_COLUMNS, month_after, month_text
from paywall_warehouse.duckdb_connections import open_duckdb

# A line is identified by these: each has its amount on one side.
ORDER: Final = "journal_date, journal, account, currency, relates_to_date, credit"

CLOSED: Final = "select min(month_start), max(month_start) from ops.periods where status = 'closed'"
ADJUSTMENTS: Final = """
select count(*) from marts.fct_journal_lines where journal_date = ? and relates_to_date < journal_date
"""
PERIODS: Final = """
create or replace table ops.periods as
with days as (
    select {first_day} as first_day, (select today from raw.settings) as today
),
closes as (select * from raw.period_acts where is_in_force),
bounds as (
    select
        date_trunc('month', least(first_day, (select min(month_start) from closes))) as first_month,
        greatest(today, (select max(month_start) from closes)) as last_day
    from days
),
months as (
    select cast(unnest(generate_series(first_month, last_day, interval 1 month)) as date) as month_start
    from bounds
    where first_month is not null
)
select
    months.month_start,
    -- Months before a closed one count as closed, also those whose lines landed later.
    case
        when months.month_start <= (select max(month_start) from closes) then 'closed' else 'open'
    end as status,
    closes.acted_at as closed_at,
    closes.acted_by as closed_by,
    closes.note,
    closes.digest
from months
left join closes on months.month_start = closes.month_start
order by months.month_start
"""


def periods_query(connection: duckdb.DuckDBPyConnection) -> str:
    """Return the statement that writes `ops.periods` from the schemas `raw` and `marts` of the build file."""
    # If the journal stayed on a cluster, the first closed month is the first one.
    first_day = "(select min(relates_to_date) from marts.fct_journal_lines)"
    return PERIODS.format(first_day=first_day if has_journal(connection) else "cast(null as date)")


def has_journal(connection: duckdb.DuckDBPyConnection) -> bool:
    """Check whether the rows of the journal are in this file, and not on a cluster."""
    found = connection.execute(
        """select 1 from duckdb_tables()
        where database_name = current_database() and schema_name = 'marts'
            and table_name = 'fct_journal_lines'"""
    ).fetchone()
    return found is not None


def first_line_day(connection: duckdb.DuckDBPyConnection) -> date | None:
    """Return the day of the first journal line; None if there is none."""
    row = connection.execute("select min(relates_to_date) from marts.fct_journal_lines").fetchone()
    return row[0] if row else None


def journal_lines(connection: duckdb.DuckDBPyConnection, month: date) -> Iterator[str]:
    """Yield the journal's lines of a month as texts, in the order in which they are booked."""
    rows = connection.execute(
        f"""select concat_ws(',', {", ".join(LINE_COLUMNS)})
        from marts.fct_journal_lines
        where journal_date >= ? and journal_date < ?
        order by {ORDER}""",
        [month, month_after(month)],
    ).fetchall()
    yield from (line for (line,) in rows)


def period_lines(published_file: Path) -> Iterator[str]:
    """Yield a line about the closed months and what has changed in them; nothing if none is closed."""
    if not published_file.exists():
        return
    with open_duckdb(published_file, read_only=True) as connection:
        try:
            row = connection.execute(CLOSED).fetchone()
        except duckdb.CatalogException:  # an earlier version wrote the file
            return
        if row is None or row[0] is None:
            return
        first, last = row
        adjustments = None
        if has_journal(connection):
            [(adjustments,)] = connection.execute(ADJUSTMENTS, [month_after(last)]).fetchall()
    months = month_text(last) if first == last else f"{month_text(first)} to {month_text(last)}"
    changed = "" if not adjustments else f"; changed since: {adjustments:,} lines on {month_after(last)}"
    yield f"Closed months: {months}{changed}"
