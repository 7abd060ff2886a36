"""One user's ledger of the last 30 days out of the published file, each user in a fresh process.

python -m benchmarks.lookup PUBLISHED_FILE USER DAY     one query, as JSON
"""

import json
import statistics
import sys
import time
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import duckdb
import pyarrow as pa

from benchmarks.measure import measure, scratch

QUERY = """
    select * from marts.fct_ledger_entries
    where user_id = $user and entry_date > $day::date - 30 and entry_date <= $day::date
    order by occurred_at, entry_id
"""
# By entries of those 30 days: the busiest, and those at 1 %, 10 %, 50 % and 90 % of all users.
RANKS = (0.0, 0.01, 0.1, 0.5, 0.9)


@dataclass(frozen=True)
class Lookup:
    """One user's query in a process of its own."""

    user: str
    rows: int
    connect_seconds: float
    query_seconds: float


def look_up(published: Path, user: str, day: date) -> Lookup:
    """Connect, and fetch every column of the user's rows as an Arrow table."""
    begin = time.perf_counter()
    with duckdb.connect(str(published), read_only=True) as connection:
        connected = time.perf_counter()
        rows: pa.Table = connection.sql(QUERY, params={"user": user, "day": day}).to_arrow_table()
        return Lookup(user, rows.num_rows, connected - begin, time.perf_counter() - connected)


def some_users(published: Path, day: date) -> list[str]:
    """Users from the busiest to the rarest of those with entries in the 30 days."""
    with duckdb.connect(str(published), read_only=True) as connection:
        users = connection.execute(
            """select user_id from marts.fct_ledger_entries
            where user_id is not null and entry_date > $day::date - 30 and entry_date <= $day::date
            group by user_id order by count(*) desc, user_id""",
            {"day": day},
        ).fetchall()
    return list(dict.fromkeys(users[int(rank * len(users))][0] for rank in RANKS))


def look_ups(published: Path, day: date) -> list[Lookup]:
    """Each of some users in a fresh process, the file as warm as the system's cache has it."""
    found = []
    for user in some_users(published, day):
        with scratch() as folder:
            command = [sys.executable, "-m", "benchmarks.lookup", str(published), user, day.isoformat()]
            done = measure(command, folder, {"PYTHONPATH": str(Path(__file__).parents[1])})
        found.append(Lookup(**done.as_dict()))
    return found


def median_query(found: list[Lookup]) -> float:
    """The query seconds of the user in the middle."""
    return statistics.median(one.query_seconds for one in found)


if __name__ == "__main__":
    print(json.dumps(vars(look_up(Path(sys.argv[1]), sys.argv[2], date.fromisoformat(sys.argv[3])))))
