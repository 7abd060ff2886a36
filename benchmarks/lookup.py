"""A query of one user's ledger of the last 30 days, each user in a new process.

python -m benchmarks.lookup PUBLISHED_FILE USER DAY     one query, as JSON
"""

import json
import statistics
import sys
import time
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import pyarrow as pa

from benchmarks.measure import measure, scratch
from paywall_warehouse.duckdb_connections import open_duckdb

QUERY = """
    select * from marts.fct_ledger_entries
    where user_id = $user and entry_date > $day::date - 30 and entry_date <= $day::date
    order by occurred_at, entry_id
"""
# The ranks of the users by entries in those 30 days: the busiest, then 1 %, 10 %, 50 % and 90 %.
RANKS = (0.0, 0.01, 0.1, 0.5, 0.9)


@dataclass(frozen=True)
class Lookup:
    """The query of one user, in its own process."""

    user: str
    rows: int
    connect_seconds: float
    query_seconds: float


def look_up(published: Path, user: str, day: date) -> Lookup:
    """Connect, and fetch all columns of the user's rows as an Arrow table."""
    begin = time.perf_counter()
    with open_duckdb(published, read_only=True) as connection:
        connected = time.perf_counter()
        rows: pa.Table = connection.sql(QUERY, params={"user": user, "day": day}).to_arrow_table()
        return Lookup(user, rows.num_rows, connected - begin, time.perf_counter() - connected)


def some_users(published: Path, day: date) -> list[str]:
    """Return users from the busiest to the least active, of those with entries in the 30 days."""
    with open_duckdb(published, read_only=True) as connection:
        users = connection.execute(
            """select user_id from marts.fct_ledger_entries
            where user_id is not null and entry_date > $day::date - 30 and entry_date <= $day::date
            group by user_id order by count(*) desc, user_id""",
            {"day": day},
        ).fetchall()
    return list(dict.fromkeys(users[int(rank * len(users))][0] for rank in RANKS))


def look_ups(published: Path, day: date) -> list[Lookup]:
    """Measure each of some users in a new process. The file is in the system's cache as the run left it."""
    found = []
    for user in some_users(published, day):
        with scratch() as folder:
            command = [sys.executable, "-m", "benchmarks.lookup", str(published), user, day.isoformat()]
            done = measure(command, folder, {"PYTHONPATH": str(Path(__file__).parents[1])})
        found.append(Lookup(**done.as_dict()))
    return found


def median_query(found: list[Lookup]) -> float:
    """Return the median query time in seconds."""
    return statistics.median(one.query_seconds for one in found)


if __name__ == "__main__":
    print(json.dumps(vars(look_up(Path(sys.argv[1]), sys.argv[2], date.fromisoformat(sys.argv[3])))))
