"""The health line: a failed run is never green, and the open day is compared up to the same time."""

from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal

import pytest

from dashboard.health import Item, checks, cost_breaks, last_run, later_runs, open_alerts
from dashboard.queries.publication import About
from warehouse.runs import FAILED, PUBLISHED, Run

AT = datetime(2026, 11, 30, 9, 0, tzinfo=UTC)
ABOUT = About(
    "run-1",
    AT,
    AT,
    date(2026, 11, 30),
    "Europe/Berlin",
    "usd",
    ("usd",),
    (),
    date(2026, 9, 1),
    date(2026, 11, 30),
)


def run(run_id: str, status: str, reason: str | None = None) -> Run:
    return Run(run_id, AT, AT, AT, status, 1, 0, "1.0", reason)


def test_the_last_run_published() -> None:
    runs = [run("run-0", FAILED), run("run-1", PUBLISHED)]
    assert last_run(later_runs(runs, "run-1"), "UTC").level == "ok"


def test_without_a_log_nobody_says_that_the_last_run_published() -> None:
    assert last_run(later_runs([], "run-1"), "UTC").level == "look"


def test_a_failed_run_after_the_publication_is_a_problem_with_its_reason() -> None:
    runs = [
        run("run-1", PUBLISHED),
        run("run-2", FAILED),
        run("run-3", FAILED, "failed checks: reject_ratio"),
    ]
    item = last_run(later_runs(runs, "run-1"), "Europe/Berlin")
    assert (item.level, item.title) == ("bad", "Last run failed")
    assert "2026-11-30 10:00:00" in item.text
    assert "2 runs in a row failed." in item.text
    assert item.text.endswith("failed checks: reject_ratio")


def test_cost_breaks_of_priority_1_are_a_problem() -> None:
    rows = [
        {"currency": "usd", "cases": 3, "at_risk": Decimal("12.5"), "urgent_cases": 2},
        {"currency": "eur", "cases": 4, "at_risk": Decimal(7), "urgent_cases": 0},
    ]
    item = cost_breaks(rows)
    assert item is not None
    assert (item.level, item.page) == ("bad", "costs")
    assert item.title.startswith("Costs at risk: 12.5")
    assert "7" not in item.title
    # 3 + 4 breaks are open.
    assert item.text == "7 open cost breaks, 2 of priority 1."


def test_other_cost_breaks_are_left_to_the_page_of_costs() -> None:
    assert cost_breaks([{"currency": "eur", "cases": 4, "at_risk": Decimal(7), "urgent_cases": 0}]) is None
    assert cost_breaks([]) is None


def test_one_check_warns() -> None:
    rows = [
        {"name": "a", "passed": True},
        {"name": "b", "passed": False},
    ]
    item = checks(rows, 0)
    assert (item.level, item.title) == ("look", "1 of 2 checks warns")
    assert item.text == "b. No record was rejected."
    assert checks(rows[:1], 8) == Item("ok", "1 check passed", "8 records rejected so far.", "runs")


@pytest.mark.parametrize(
    ("as_of", "partial"),
    [
        (datetime(2026, 11, 30, 9, 0, tzinfo=UTC), date(2026, 11, 30)),
        (datetime(2026, 11, 30, 22, 59, 59, 999999, tzinfo=UTC), None),  # the last microsecond in Berlin
    ],
)
def test_today_is_partial_until_its_last_instant(as_of: datetime, partial: date | None) -> None:
    assert replace(ABOUT, as_of=as_of).partial_day == partial


def test_the_same_time_of_another_day_is_by_the_clock_of_the_reporting_zone() -> None:
    # 10:00 in Berlin is 09:00 UTC in winter, and 08:00 UTC in summer.
    assert ABOUT.same_time_on(date(2026, 11, 29)) == datetime(2026, 11, 29, 9, tzinfo=UTC)
    assert ABOUT.same_time_on(date(2026, 10, 24)) == datetime(2026, 10, 24, 8, tzinfo=UTC)


def test_open_alerts_are_counted_by_rule() -> None:
    assert open_alerts([]) is None
    rows = [{"rule": f"rule_{number}", "alerts": number} for number in range(1, 7)]
    item = open_alerts(rows)
    assert item is not None
    # 1 + 2 + 3 + 4 + 5 + 6
    assert (item.level, item.title) == ("look", "21 alerts open")
    assert item.text.startswith("rule_1, rule_2, rule_3, rule_4 and 2 more rules.")
