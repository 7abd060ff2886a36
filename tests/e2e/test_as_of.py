"""A bare date in `AS_OF` is that reporting day, whole: what happened on it has happened, and ages count to
its end.
"""

from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest

from tests.support.builders import charge, land, landed, ledger_file
from tests.support.harness import publish_home

ZONE = "America/Los_Angeles"
# 1 October in Los Angeles lasts from 07:00 UTC to 07:00 UTC of the next day.
CHARGES = [
    charge("first of the day", "2026-10-01T07:00:00Z", "1"),
    charge("last of the day", "2026-10-02T06:59:59.999999Z", "2"),
    charge("next day", "2026-10-02T07:00:00Z", "4"),
    charge("day before", "2026-10-01T06:59:59Z", "8"),
]
PAYMENTS = b"""rail,payment_id,paid_at,amount,currency,status
sepa,overdue,2026-09-29T06:59:59Z,10,usd,succeeded
sepa,of the evening,2026-09-29T07:30:00Z,10,usd,succeeded
sepa,of today,2026-10-02T05:00:00Z,10,usd,succeeded
"""


def rows(home: Path, query: str) -> list[Any]:
    with duckdb.connect(str(home / "published" / "warehouse.duckdb"), read_only=True) as connection:
        connection.execute("set TimeZone = 'UTC'")
        return connection.execute(query).fetchall()


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home: Path = tmp_path_factory.mktemp("home")
    land(home, [ledger_file("a.jsonl", CHARGES), landed("payments", "sepa.csv", PAYMENTS)])
    publish_home(home, as_of="2026-10-01", reporting_timezone=ZONE)
    return home


def test_today_is_that_reporting_day_with_all_that_happened_on_it(home: Path) -> None:
    kpis = "select cast(period_start as varchar), revenue from marts.fct_period_kpis where period = 'today'"
    assert rows(home, kpis) == [("2026-10-01", Decimal(3))]
    assert rows(home, "select revenue from marts.fct_period_kpis where period = 'all_time'") == [
        (Decimal(11),)
    ]


def test_ages_and_graces_count_to_the_end_of_the_day(home: Path) -> None:
    """Three times 24 hours before the end of the day, 06:59:59.999999 UTC of 2 October, is the end of 28
    September there.
    """
    cases = (
        "select payment_id, age_days, status, break_type from marts.fct_reconciliation order by"
        " first_event_at"
    )
    assert rows(home, cases) == [
        ("overdue", 3, "break", "processor_only"),
        ("of the evening", 2, "pending", None),
        ("of today", 0, "pending", None),
    ]
    assert rows(home, "select strftime(as_of, '%Y-%m-%d %H:%M:%S.%f') from ops.runs") == [
        ("2026-10-02 06:59:59.999999",)
    ]
