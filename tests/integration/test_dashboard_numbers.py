"""The dashboard's numbers, from a small ledger whose sums fit in the head; `test_dashboard.py` reads them
from the screen.
"""

import os
import shutil
from dataclasses import replace
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest

from dashboard.filters import Filters
from dashboard.measures import MEASURES
from dashboard.queries import (
    ledger as ledger_queries,
    reconciliation as reconciliation_queries,
    usage as usage_queries,
    users as users_queries,
)
from dashboard.queries.ledger import LedgerSearch
from dashboard.queries.paging import PageRequest
from dashboard.queries.reconciliation import CaseSearch
from dashboard.snapshot import Publications, Snapshot, UnreadableError

BY_TIME = PageRequest("occurred_at", descending=True, offset=0, limit=50)
# Ledger and settings of `tests.support.export_homes.first_publication`: alice 20 − 1.25 + 0.25 − 1 usd, bob 5
# − 10⁻¹² eur.
OCTOBER = Filters(date(2026, 10, 1), date(2026, 10, 6), "usd", (date(2026, 9, 26), date(2026, 10, 1)))


@pytest.fixture(scope="module")
def snapshot(published: Path) -> Snapshot:
    found = publications(published).current()
    assert found is not None
    return found


def publications(home: Path) -> Publications:
    return Publications(home / "published" / "warehouse.duckdb", home / "tmp")


def ids(rows: list[dict[str, Any]]) -> list[str]:
    return [row["entry_id"] for row in rows]


# ---- numbers


def test_kpis_of_the_period(snapshot: Snapshot) -> None:
    kpis = usage_queries.kpis(snapshot, OCTOBER)
    assert {
        name: kpis[name]
        for name in ("revenue", "refunds", "provider_cost", "profit", "net_profit", "deposits")
    } == {
        "revenue": Decimal("1.25"),
        "refunds": Decimal("0.25"),
        "provider_cost": Decimal("1.1"),
        "profit": Decimal("0.15"),
        "net_profit": Decimal("-0.10"),
        "deposits": Decimal(20),
    }
    assert (
        kpis["active_payers"],
        kpis["new_payers"],
        kpis["arpu"],
        kpis["margin"],
        kpis["cost_coverage"],
    ) == (1, 1, 1.25, 0.12, 1)
    assert set(MEASURES) <= set(kpis)


def test_currencies_are_apart(snapshot: Snapshot) -> None:
    kpis = usage_queries.kpis(snapshot, replace(OCTOBER, currency="eur"))
    assert (kpis["revenue"], kpis["deposits"], kpis["active_payers"]) == (Decimal("0.000000000001"), 5, 1)


def test_a_type_of_entries_leaves_the_others_out(snapshot: Snapshot) -> None:
    kpis = usage_queries.kpis(snapshot, replace(OCTOBER, entry_types=("refund",)))
    assert (kpis["revenue"], kpis["refunds"], kpis["active_payers"], kpis["deposits"]) == (
        0,
        Decimal("0.25"),
        0,
        0,
    )


def test_days_without_usage_are_there_with_zeros(snapshot: Snapshot) -> None:
    days = usage_queries.usage_over_time(snapshot, OCTOBER, "day")
    assert [(row["starts_on"].day, row["revenue"]) for row in days] == [
        (1, Decimal("1.25")),
        (2, 0),
        (3, 0),
        (4, 0),
        (5, 0),
    ]
    (month,) = usage_queries.usage_over_time(snapshot, OCTOBER, "month")
    assert (month["starts_on"], month["revenue"], month["refunds"]) == (
        date(2026, 10, 1),
        Decimal("1.25"),
        Decimal("0.25"),
    )
    # 1 October 2026 is a Thursday.
    assert [row["starts_on"] for row in usage_queries.usage_over_time(snapshot, OCTOBER, "week")] == [
        date(2026, 9, 28),
        date(2026, 10, 5),
    ]


def test_models_with_their_ratios(snapshot: Snapshot) -> None:
    whole, model, first, fourth = usage_queries.models(snapshot, OCTOBER, "day")
    assert (whole["starts_on"], whole["model_id"], whole["revenue"], whole["revenue_share"]) == (
        None, None, Decimal("1.25"), 1.0,
    )  # fmt: skip
    assert (
        model["starts_on"],
        model["model_id"],
        model["revenue"],
        model["margin"],
        model["revenue_share"],
        model["cost_to_serve"],
    ) == (
        None,
        "m",
        Decimal("1.25"),
        0.12,
        1.0,
        1.1,
    )
    assert [(row["starts_on"].day, row["revenue"], row["refunds"]) for row in (first, fourth)] == [
        (1, Decimal("1.25"), 0), (4, 0, Decimal("0.25")),
    ]  # fmt: skip
    # Nothing is known of what bob's charge cost.
    unknown = usage_queries.models(snapshot, replace(OCTOBER, currency="eur"), "week")[1]
    assert (
        unknown["model_id"],
        unknown["cost_coverage"],
        unknown["cost_to_serve"],
        unknown["provider_cost"],
    ) == ("unknown", 0, None, 0)


def test_top_spenders(snapshot: Snapshot) -> None:
    assert [(row["user_id"], row["revenue"]) for row in usage_queries.top_spenders(snapshot, OCTOBER, 5)] == [
        ("alice", Decimal("1.25"))
    ]


def test_what_is_owed_on_the_last_day_of_the_period(snapshot: Snapshot) -> None:
    today = date(2026, 10, 5)
    assert usage_queries.owed(snapshot, OCTOBER, today)["closing_balance"] == 18
    first_days = replace(OCTOBER, until=date(2026, 10, 4))
    assert usage_queries.owed(snapshot, first_days, today)["closing_balance"] == Decimal("18.75")
    assert (
        usage_queries.owed(snapshot, replace(OCTOBER, balance_bands=("low",)), today)["closing_balance"] == 0
    )


def test_the_rollforward_by_week_opens_with_what_closed(snapshot: Snapshot) -> None:
    first, second = reconciliation_queries.rollforward(snapshot, OCTOBER, "week")
    assert (
        first["opening_balance"],
        first["deposits"],
        first["charged"],
        first["adjustments"],
        first["closing_balance"],
    ) == (
        0,
        20,
        Decimal("1.25"),
        -1,
        18,
    )
    assert (second["opening_balance"], second["closing_balance"]) == (18, 18)


# ---- ledger


def test_the_ledger_within_the_filters(snapshot: Snapshot) -> None:
    def shown(**more: Any) -> list[str]:
        return ids(ledger_queries.ledger(snapshot, replace(OCTOBER, **more), LedgerSearch(), BY_TIME))

    assert shown() == ["a1", "r1", "c1", "d1"]
    assert shown(entry_types=("charge", "deposit")) == ["c1", "d1"]
    assert shown(models=("m",)) == ["r1", "c1"]
    assert shown(since=date(2026, 10, 2), until=date(2026, 10, 4)) == []
    assert shown(balance_bands=("low", "zero")) == []
    assert shown(balance_bands=("high",)) == ["a1", "r1", "c1", "d1"]


def test_pages_have_every_row_once(snapshot: Snapshot) -> None:
    found = [
        ids(ledger_queries.ledger(snapshot, OCTOBER, LedgerSearch(), PageRequest("status", True, offset, 1)))
        for offset in range(5)
    ]
    assert found == [["a1"], ["c1"], ["d1"], ["r1"], []]


def test_an_id_is_found_in_any_period_and_currency(snapshot: Snapshot) -> None:
    long_ago = replace(OCTOBER, since=date(2020, 1, 1), until=date(2020, 1, 2))
    for any_id, entries in {
        "pi_1": ["d1"],
        "c2": ["c2"],
        "=bob": ["c2", "d2"],
        "c1": ["r1", "c1"],
        "nobody": [],
    }.items():
        assert ids(ledger_queries.ledger(snapshot, long_ago, LedgerSearch(any_id=any_id), BY_TIME)) == entries


def test_no_column_but_those_that_are_shown_orders_a_page(snapshot: Snapshot) -> None:
    with pytest.raises(ValueError, match="1; drop table"):
        ledger_queries.ledger(snapshot, OCTOBER, LedgerSearch(), PageRequest("1; drop table x", True, 0, 50))


def test_an_entry_with_what_it_hangs_together_with(snapshot: Snapshot) -> None:
    charge = ledger_queries.entry(snapshot, "c1")
    assert charge is not None
    assert [
        (row["connection"], row["entry_id"]) for row in ledger_queries.related_entries(snapshot, charge)
    ] == [("relates to this entry", "r1")]
    refund = ledger_queries.entry(snapshot, "r1")
    assert refund is not None
    assert [row["entry_id"] for row in ledger_queries.related_entries(snapshot, refund)] == ["c1"]
    assert [row["case_id"] for row in ledger_queries.cases_of_entry(snapshot, "d1")] == ["stripe:pi_1"]
    assert ledger_queries.entry(snapshot, "no such entry") is None


# ---- users and payments


def test_users_are_found_by_a_part_of_their_id_as_it_is_written(snapshot: Snapshot) -> None:
    euro = replace(OCTOBER, currency="eur")
    assert [
        users_queries.count_users(snapshot, euro, search) for search in ("", "=BO", "bob", "%", "_", "alice")
    ] == [1, 1, 1, 0, 0, 0]


def test_cases_of_a_paywall(snapshot: Snapshot) -> None:
    def count(**more: Any) -> int:
        search = CaseSearch(("matched",), in_period=True)
        counts = reconciliation_queries.case_counts(snapshot, replace(OCTOBER, **more), search)
        return sum(counts.values())

    assert [
        count(),
        count(paywalls=("pw",)),
        count(paywalls=("another",)),
        count(until=date(2026, 10, 1)),
    ] == [1, 1, 0, 0]


# ---- publications


def test_a_page_keeps_its_publication_while_another_one_is_published(published: Path, tmp_path: Path) -> None:
    folder = tmp_path / "published"
    folder.mkdir()
    file, new = folder / "warehouse.duckdb", folder / "new"
    shutil.copy(published / "published" / "warehouse.duckdb", file)
    shutil.copy(file, new)
    with duckdb.connect(str(new)) as connection:
        connection.execute(
            "update marts.fct_daily_revenue set revenue = 99 where charges = 1 and model_id = 'm'"
        )
    here = publications(tmp_path)
    before = here.current()
    os.replace(new, file)
    after = here.current()
    assert before is not None
    assert after is not None
    assert usage_queries.models(before, OCTOBER, "day")[0]["revenue"] == Decimal("1.25")
    assert usage_queries.models(after, OCTOBER, "day")[0]["revenue"] == 99
    assert here.current() is after


def test_before_the_first_publication_there_is_nothing(tmp_path: Path) -> None:
    assert publications(tmp_path).current() is None


def test_a_file_that_is_no_database_is_reported(tmp_path: Path) -> None:
    (tmp_path / "published").mkdir()
    (tmp_path / "published" / "warehouse.duckdb").write_text("no database")
    with pytest.raises(UnreadableError, match=r"warehouse\.duckdb cannot be opened"):
        publications(tmp_path).current()


def test_a_file_of_an_earlier_version_is_reported(tmp_path: Path) -> None:
    (tmp_path / "published").mkdir()
    with duckdb.connect(str(tmp_path / "published" / "warehouse.duckdb")) as connection:
        connection.execute("create schema marts")
    with pytest.raises(UnreadableError, match="earlier version"):
        publications(tmp_path).current()
