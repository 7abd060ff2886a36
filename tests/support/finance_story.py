"""A small ledger whose growth and books are worked out by hand: four users, four months, two of them closed.

In USD, ann pays 100 and uses 30, 20, 20 and 5 from September to December; 1.50 of hers expires in October.
bob pays 10, gets 4 promo, and uses 6 in September and 1 in November. cat uses 5 without credit in September,
pays 8 in October and uses 7 and a bit, and 9 without credit in November. dan pays 50 and uses 12.50 in
October, and gets 10 back in November. After September and October are closed, 7 of dan's of October lands.
"""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb

from paywall_warehouse.home import Home
from tests.support.builders import adjustment, charge, deposit, refund
from tests.support.period_homes import close, land_entries, publish


def at(day: str) -> str:
    return f"2026-{day}T10:00:00Z"


ON_TIME = [
    deposit("d1", at("09-01"), "100", user="ann"),
    deposit("d2", at("09-01"), "10", user="bob"),
    deposit("p1", at("09-02"), "4", user="bob", metadata={"funding": "promo"}),
    charge("c1", at("09-05"), "30", user="ann"),
    charge("c2", at("09-06"), "6", user="bob"),
    charge("c3", at("09-07"), "5", user="cat"),
    deposit("d3", at("10-02"), "8", user="cat"),
    deposit("d4", at("10-01"), "50", user="dan"),
    charge("c4", at("10-10"), "20", user="ann"),
    charge("c6", at("10-15"), "12.5", user="dan"),
    charge("c5", at("10-20"), "7.000000000001", user="cat"),
    adjustment("e1", at("10-25"), "-1.5", user="ann", metadata={"funding": "paid", "reason": "expired"}),
    charge("c7", at("11-03"), "1", user="bob"),
    charge("c8", at("11-12"), "20", user="ann"),
    charge("c9", at("11-20"), "9", user="cat"),
    refund("r1", at("11-25"), "10", "d4", user="dan"),
    charge("c10", at("12-02"), "5", user="ann"),
    # A currency without promo credit, overdrafts and breakage.
    deposit("d5", at("11-10"), "3", user="eve", currency="eur"),
    charge("c11", at("11-10"), "2", user="eve", currency="eur"),
]
LATE = [deposit("d6", at("10-30"), "7", user="dan")]


def closed_and_changed(home: Path) -> None:
    """Publish the story as of 5 December."""
    land_entries(home, "a", ON_TIME)
    publish(home)
    for month in ("2026-09", "2026-10"):
        close(home, month, by="Ann Lee", note="as <b>reported")
        publish(home)
    land_entries(home, "b", LATE)
    publish(home)


@contextmanager
def changed(home: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """A copy of what a home has published, to be changed, which then takes its place."""
    file = Home(home).published_file
    copy = file.with_suffix(".next")
    shutil.copy(file, copy)
    with duckdb.connect(str(copy)) as connection:
        yield connection
    os.replace(copy, file)
