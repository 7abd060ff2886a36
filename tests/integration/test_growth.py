"""Growth (docs/contract.md#5c-growth) of a ledger worked out by hand, and late data landed after a build."""

import shutil
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import duckdb
import pytest

from tests.support.books_oracle import growth_rows
from tests.support.builders import Record, charge, deposit, land, ledger_file, refund
from tests.support.harness import publish_home
from tests.support.random_books import AS_OF as BOOKS_AS_OF, LANDING_ENDS, ZONE, RandomBooks
from tests.support.shared import in_soak

# Thursday. Weeks begin on 10-26, 11-02 and 11-09, the blocks of 28 days on 10-05 and 11-02.
AS_OF = "2026-11-12T12:00:00Z"
GROWTH = """
    select period_kind, period_start::varchar, currency,
        users_new, users_retained, users_resurrected, users_churned,
        revenue, previous_revenue, new, resurrected, expansion, contraction, churned, is_complete
    from marts.fct_growth order by all
"""
MOVEMENTS = "select * from marts.fct_user_movements order by all"


def at(day: str) -> str:
    return f"2026-{day}T10:00:00Z"


ON_TIME = [
    deposit("d1", at("10-06"), "50", user="ann", currency="eur"),
    # ann pays in October on two paywalls, 10 + 0.5, and 12 in November.
    charge("c1", at("10-06"), "10", user="ann"),
    charge("c2", at("10-07"), "0.5", user="ann", paywall="other"),
    charge("c3", at("11-10"), "12", user="ann"),
    # bob pays once. Neither the free charge nor the failed one is revenue.
    charge("c4", at("10-20"), "4.000000000001", user="bob"),
    charge("c5", at("11-10"), "0", user="bob"),
    charge("c6", at("11-11"), "9", user="bob", status="failed"),
    # The day after today does not count yet.
    charge("c7", at("11-13"), "100", user="cleo"),
]
LATE = [
    # cleo paid in September, and pays again in November: nothing of it was new in November.
    charge("c8", at("09-30"), "3", user="cleo"),
    charge("c9", at("11-09"), "1", user="cleo"),
    # bob's only charge turns out to be 2, and a refund changes no revenue.
    charge("c4", at("10-20"), "2", user="bob", updated_at=at("11-12")),
    refund("r1", at("11-10"), "1", of="c3", user="ann"),
]
EXPECTED_ON_TIME = {
    ("month", "2026-10-01", "usd"): "2 0 0 0 14.500000000001 0 14.500000000001 0 0 0 0 true",
    ("month", "2026-11-01", "usd"): "0 1 0 1 12 14.500000000001 0 0 1.5 0 4.000000000001 false",
    ("days_28", "2026-10-05", "usd"): "2 0 0 0 14.500000000001 0 14.500000000001 0 0 0 0 true",
    ("days_28", "2026-11-02", "usd"): "0 1 0 1 12 14.500000000001 0 0 1.5 0 4.000000000001 false",
    ("week", "2026-10-05", "usd"): "1 0 0 0 10.5 0 10.5 0 0 0 0 true",
    ("week", "2026-10-12", "usd"): "0 0 0 1 0 10.5 0 0 0 0 10.5 true",
    ("week", "2026-10-19", "usd"): "1 0 0 0 4.000000000001 0 4.000000000001 0 0 0 0 true",
    ("week", "2026-10-26", "usd"): "0 0 0 1 0 4.000000000001 0 0 0 0 4.000000000001 true",
    ("week", "2026-11-02", "usd"): "0 0 0 0 0 0 0 0 0 0 0 true",
    ("week", "2026-11-09", "usd"): "0 0 1 0 12 0 0 12 0 0 0 false",
}
EXPECTED_WITH_LATE = {
    ("month", "2026-09-01", "usd"): "1 0 0 0 3 0 3 0 0 0 0 true",
    ("month", "2026-10-01", "usd"): "2 0 0 1 12.5 3 12.5 0 0 0 3 true",
    ("month", "2026-11-01", "usd"): "0 1 1 1 13 12.5 0 1 1.5 0 2 false",
    ("days_28", "2026-09-07", "usd"): "1 0 0 0 3 0 3 0 0 0 0 true",
    ("days_28", "2026-10-05", "usd"): "2 0 0 1 12.5 3 12.5 0 0 0 3 true",
    ("days_28", "2026-11-02", "usd"): "0 1 1 1 13 12.5 0 1 1.5 0 2 false",
    ("week", "2026-09-28", "usd"): "1 0 0 0 3 0 3 0 0 0 0 true",
    ("week", "2026-10-05", "usd"): "1 0 0 1 10.5 3 10.5 0 0 0 3 true",
    ("week", "2026-10-12", "usd"): "0 0 0 1 0 10.5 0 0 0 0 10.5 true",
    ("week", "2026-10-19", "usd"): "1 0 0 0 2 0 2 0 0 0 0 true",
    ("week", "2026-10-26", "usd"): "0 0 0 1 0 2 0 0 0 0 2 true",
    ("week", "2026-11-02", "usd"): "0 0 0 0 0 0 0 0 0 0 0 true",
    ("week", "2026-11-09", "usd"): "0 0 2 0 13 0 0 13 0 0 0 false",
}


def publish(home: Path, name: str, records: Sequence[Record], **settings: Any) -> None:
    land(home, [ledger_file(name, records)])
    publish_home(home, **{"as_of": AS_OF, **settings})


def rows(home: Path, query: str) -> list[tuple[Any, ...]]:
    with duckdb.connect(str(home / "published" / "warehouse.duckdb"), read_only=True) as connection:
        return connection.execute(query).fetchall()


def expected(of: dict[tuple[str, str, str], str]) -> list[tuple[Any, ...]]:
    """Return the rows of fct_growth. eur, in which the ledger has a deposit only, has zeros everywhere."""
    with_euros = of | {
        (kind, start, "eur"): " ".join(["0"] * 11 + values.split()[-1:])
        for (kind, start, _), values in of.items()
    }
    return [
        (*key, *map(int, values[:4]), *map(Decimal, values[4:-1]), values[-1] == "true")
        for key, values in sorted((key, text.split()) for key, text in with_euros.items())
    ]


@pytest.fixture(scope="module")
def in_one_landing(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("in_one_landing")
    publish(home, "all.jsonl", ON_TIME + LATE)
    return home


def test_growth_is_as_worked_out_by_hand(in_one_landing: Path) -> None:
    assert rows(in_one_landing, GROWTH) == expected(EXPECTED_WITH_LATE)


def test_the_movement_of_each_user_is_listed(in_one_landing: Path) -> None:
    found = rows(
        in_one_landing,
        """select user_id, movement, revenue, previous_revenue, amount from marts.fct_user_movements
        where period_kind = 'month' and period_start = '2026-11-01' order by all""",
    )
    assert found == [
        ("ann", "expansion", Decimal(12), Decimal("10.5"), Decimal("1.5")),
        ("bob", "churned", Decimal(0), Decimal(2), Decimal(2)),
        ("cleo", "resurrected", Decimal(1), Decimal(0), Decimal(1)),
    ]


def test_the_ratios_are_null_where_they_have_no_divisor(in_one_landing: Path) -> None:
    found = rows(
        in_one_landing,
        """select period_start::varchar, gross_retention, net_retention, quick_ratio from marts.fct_growth
        where period_kind = 'month' and currency = 'usd' order by period_start""",
    )
    assert found == [
        ("2026-09-01", None, None, None),
        # All of September's 3 was lost, and 12.5 was won.
        ("2026-10-01", 0.0, 0.0, 12.5 / 3),
        # Of October's 12.5, 2 were lost and 1.5 gained; 1 came back.
        ("2026-11-01", 10.5 / 12.5, 12 / 12.5, 2.5 / 2),
    ]


def test_late_data_restates_periods_as_if_it_had_landed_at_once(tmp_path: Path, in_one_landing: Path) -> None:
    publish(tmp_path, "on-time.jsonl", ON_TIME)
    assert rows(tmp_path, GROWTH) == expected(EXPECTED_ON_TIME)
    publish(tmp_path, "late.jsonl", LATE)
    assert rows(tmp_path, GROWTH) == rows(in_one_landing, GROWTH)
    assert rows(tmp_path, MOVEMENTS) == rows(in_one_landing, MOVEMENTS)


@pytest.mark.parametrize(
    "as_of", ["2026-12-07T12:00:00Z", "2026-11-08T12:00:00Z", *in_soak("2026-11-13T12:00:00Z")]
)
def test_another_today_gives_the_periods_of_a_rebuild(
    tmp_path: Path, in_one_landing: Path, as_of: str
) -> None:
    """An incremental build on a later or an earlier day equals one from nothing on that day."""
    one_more = [charge("c10", at("10-08"), "7", user="dora")]
    moved, rebuilt = tmp_path / "moved", tmp_path / "rebuilt"
    shutil.copytree(in_one_landing, moved)
    publish(moved, "more.jsonl", one_more, as_of=as_of)
    publish(rebuilt, "all.jsonl", ON_TIME + LATE + one_more, as_of=as_of)
    assert rows(moved, GROWTH) == rows(rebuilt, GROWTH)
    assert rows(moved, MOVEMENTS) == rows(rebuilt, MOVEMENTS)


@pytest.mark.soak
def test_random_books_in_three_landings_equal_a_sequential_computation(tmp_path: Path) -> None:
    """Each landing brings late and restated entries, and today moves on by months."""
    landings = RandomBooks(1, entries=300).landings()
    for file, as_of in zip(landings, (*LANDING_ENDS, BOOKS_AS_OF), strict=True):
        land(tmp_path, [file])
        publish_home(tmp_path, as_of=as_of, reporting_timezone=ZONE)
        movements, growth = growth_rows(
            records(tmp_path, "select * from marts.fct_ledger_entries"),
            as_of.astimezone(ZoneInfo(ZONE)).date(),
        )
        grain = "period_kind, period_start, currency"
        assert (
            records(tmp_path, f"select * from marts.fct_user_movements order by {grain}, user_id")
            == movements
        )
        found = records(tmp_path, f"select * from marts.fct_growth order by {grain}")
        # Both sides round ratios once, from numbers that were rounded differently.
        assert ratios(found) == pytest.approx(ratios(growth), rel=1e-14, abs=0)
        assert found == growth
    assert len({one["movement"] for one in movements}) == 6, "every movement occurs"


def ratios(growth: list[dict[str, Any]]) -> list[float]:
    """Take the ratios out of the rows and return them in order, -1 for NULL."""
    found = [one.pop(name) for one in growth for name in ("gross_retention", "net_retention", "quick_ratio")]
    return [-1.0 if one is None else one for one in found]


def records(home: Path, query: str) -> list[dict[str, Any]]:
    with duckdb.connect(str(home / "published" / "warehouse.duckdb"), read_only=True) as connection:
        found = connection.execute(query)
        columns = [column[0] for column in found.description or ()]
        return [dict(zip(columns, row, strict=True)) for row in found.fetchall()]
