"""Closed months: their journal stays as it was booked, whatever lands, is rebuilt, erased or set anew."""

import hashlib
import os
import shutil
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from ingestion.lake.period_acts import CLOSE, DamagedActError, closed_months, read_acts
from ingestion.load import load
from paywall_warehouse.home import Home
from paywall_warehouse.settings import load_settings
from tests.support.builders import charge, deposit, land, ledger_file, prices_file
from tests.support.harness import RunResult, run_pipeline
from tests.support.ingestion import erase
from tests.support.killed_loads import is_close_killed
from tests.support.period_homes import (
    AS_OF,
    ExpectedJournal,
    RandomLedger,
    ask,
    booked_in_the_lake,
    close,
    closed_lines,
    journal,
    land_entries,
    month,
    nets,
    publish,
    reopen,
)
from tests.support.shared import in_soak
from warehouse.build import prepare_build
from warehouse.build_file import drop_build_file
from warehouse.closing import PeriodRefusedError, close_months
from warehouse.code_version import code_version

FIRST = [
    deposit("d1", "2026-09-10T08:00:00Z", "100"),
    charge("c1", "2026-09-20T08:00:00Z", "3.5"),
    charge("c2", "2026-10-02T08:00:00Z", "1"),
    charge("c3", "2026-11-03T08:00:00Z", "2"),
]
# The 20th of September is 0.5 less, and its 25th is new.
LATE = [
    charge("c1", "2026-09-20T08:00:00Z", "3", updated_at="2026-10-09T00:00:00Z"),
    charge("c4", "2026-09-25T23:30:00Z", "7"),
]
SEPTEMBER = [
    ("2026-09-10", "receipts", "clearing", "100", "0", "2026-09-10"),
    ("2026-09-10", "receipts", "deferred_revenue", "0", "100", "2026-09-10"),
    ("2026-09-20", "usage", "deferred_revenue", "3.5", "0", "2026-09-20"),
    ("2026-09-20", "usage", "usage_revenue", "0", "3.5", "2026-09-20"),
]
ADJUSTED_IN_OCTOBER = [
    ("2026-10-01", "usage", "deferred_revenue", "0", "0.5", "2026-09-20"),
    ("2026-10-01", "usage", "deferred_revenue", "7", "0", "2026-09-25"),
    ("2026-10-01", "usage", "usage_revenue", "0", "7", "2026-09-25"),
    ("2026-10-01", "usage", "usage_revenue", "0.5", "0", "2026-09-20"),
]
OCTOBER = [
    ("2026-10-02", "usage", "deferred_revenue", "1", "0", "2026-10-02"),
    ("2026-10-02", "usage", "usage_revenue", "0", "1", "2026-10-02"),
]
NOVEMBER = [
    ("2026-11-03", "usage", "deferred_revenue", "2", "0", "2026-11-03"),
    ("2026-11-03", "usage", "usage_revenue", "0", "2", "2026-11-03"),
]


@pytest.fixture(scope="module")
def open_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A published home without a closed month; not to be changed."""
    home = tmp_path_factory.mktemp("open") / "home"
    land_entries(home, "a", FIRST)
    publish(home)
    return home


@pytest.fixture(scope="module")
def closed_home(open_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """September is closed; not to be changed."""
    home = _copied(open_home, tmp_path_factory.mktemp("closed"))
    close(home, "2026-09", note="first quarter")
    publish(home)
    return home


@pytest.fixture(scope="module")
def late_home(closed_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Then entries of September landed; not to be changed."""
    home = _copied(closed_home, tmp_path_factory.mktemp("late"))
    land_entries(home, "b", LATE)
    publish(home)
    return home


@pytest.fixture(scope="module")
def adjusted_home(late_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Then October was closed; not to be changed."""
    home = _copied(late_home, tmp_path_factory.mktemp("adjusted"))
    close(home, "2026-10", by="Bob")
    publish(home)
    return home


@pytest.fixture
def home(open_home: Path, tmp_path: Path) -> Path:
    return _copied(open_home, tmp_path)


@pytest.fixture
def adjusted(adjusted_home: Path, tmp_path: Path) -> Path:
    return _copied(adjusted_home, tmp_path)


def _copied(home: Path, place: Path) -> Path:
    """A copy with the times of its files, so that the published file counts as unchanged."""
    return Path(shutil.copytree(home, place / "home"))


def test_an_open_journal_is_the_restated_one(open_home: Path) -> None:
    assert journal(open_home) == sorted([*SEPTEMBER, *OCTOBER, *NOVEMBER])
    assert ask(open_home, "select month_start::varchar, status from ops.periods order by 1") == [
        (f"2026-{number:02d}-01", "open") for number in (9, 10, 11, 12)
    ]
    assert ask(open_home, "from ops.period_events") == []


def test_late_entries_of_a_closed_month_are_adjusted_in_the_first_open_one(
    closed_home: Path, late_home: Path
) -> None:
    [act] = read_acts(Home(closed_home))
    assert (act.line_count, len(act.lines)) == (4, 4)
    assert journal(closed_home) == sorted([*SEPTEMBER, *OCTOBER, *NOVEMBER]), "nothing has changed yet"
    assert journal(late_home) == sorted([*SEPTEMBER, *ADJUSTED_IN_OCTOBER, *OCTOBER, *NOVEMBER])
    assert ask(
        late_home, "select month_start::varchar, status, closed_by, note, digest from ops.periods order by 1"
    ) == [
        ("2026-09-01", "closed", "Ann", "first quarter", act.digest),
        *((f"2026-{number}-01", "open", None, None, None) for number in (10, 11, 12)),
    ]


def test_months_that_follow_each_other_are_closed_from_one_publication(home: Path) -> None:
    settings = load_settings(_env_file=None, warehouse_home=home, as_of=AS_OF)
    with pytest.raises(PeriodRefusedError, match="Months are closed in order"):
        close_months(settings, [month("2026-09"), month("2026-11")], "Ann", None)
    assert read_acts(Home(home)) == []
    acts = close_months(settings, [month("2026-09"), month("2026-10")], "Ann", None)
    assert [act.line_count for act in acts] == [4, 2]
    assert [act.month for act in read_acts(Home(home))] == [month("2026-09"), month("2026-10")]


@pytest.fixture(scope="module")
def closed_at_once_home(open_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """September and October were closed together, and an entry of July landed; not to be changed."""
    home = _copied(open_home, tmp_path_factory.mktemp("closed_at_once"))
    settings = load_settings(_env_file=None, warehouse_home=home, as_of=AS_OF)
    close_months(settings, [month("2026-09"), month("2026-10")], "Ann", None)
    land_entries(home, "b", [deposit("d0", "2026-07-31T12:00:00Z", "5")])
    publish(home)
    return home


def test_months_that_were_closed_together_are_both_closed(closed_at_once_home: Path) -> None:
    assert journal(closed_at_once_home, "relates_to_date >= '2026-09-01'") == sorted(
        [*SEPTEMBER, *OCTOBER, *NOVEMBER]
    )
    assert ask(
        closed_at_once_home,
        "select month_start::varchar from ops.periods where closed_by is not null order by 1",
    ) == [("2026-09-01",), ("2026-10-01",)]


def test_adjustments_are_booked_and_adjusted_again(adjusted: Path) -> None:
    # The 25th of September was adjusted by 7 in October. Now 7 becomes 9, and the 20th is as first booked.
    land_entries(
        adjusted,
        "c",
        [
            charge("c4", "2026-09-25T23:30:00Z", "9", updated_at="2026-11-01T00:00:00Z"),
            charge("c1", "2026-09-20T08:00:00Z", "3.5", updated_at="2026-11-01T00:00:00Z"),
            charge("c5", "2026-10-31T08:00:00Z", "0.25"),
        ],
    )
    publish(adjusted)
    assert journal(adjusted) == sorted(
        [
            *SEPTEMBER,
            *ADJUSTED_IN_OCTOBER,
            *OCTOBER,
            ("2026-11-01", "usage", "deferred_revenue", "0.5", "0", "2026-09-20"),
            ("2026-11-01", "usage", "usage_revenue", "0", "0.5", "2026-09-20"),
            ("2026-11-01", "usage", "deferred_revenue", "2", "0", "2026-09-25"),
            ("2026-11-01", "usage", "usage_revenue", "0", "2", "2026-09-25"),
            ("2026-11-01", "usage", "deferred_revenue", "0.25", "0", "2026-10-31"),
            ("2026-11-01", "usage", "usage_revenue", "0", "0.25", "2026-10-31"),
            *NOVEMBER,
        ]
    )


def test_months_before_a_closed_one_count_as_closed(closed_at_once_home: Path) -> None:
    assert journal(closed_at_once_home, "relates_to_date < '2026-09-01'") == [
        ("2026-11-01", "receipts", "clearing", "5", "0", "2026-07-31"),
        ("2026-11-01", "receipts", "deferred_revenue", "0", "5", "2026-07-31"),
    ]
    assert ask(
        closed_at_once_home, "select month_start::varchar, status, closed_by from ops.periods order by 1"
    ) == [
        ("2026-07-01", "closed", None),
        ("2026-08-01", "closed", None),
        ("2026-09-01", "closed", "Ann"),
        ("2026-10-01", "closed", "Ann"),
        *((f"2026-{number}-01", "open", None) for number in (11, 12)),
    ]
    with pytest.raises(PeriodRefusedError, match="2026-08 is before the first closed month, 2026-09"):
        close(closed_at_once_home, "2026-08")


def test_reopening_moves_adjustments_to_the_reopened_month(adjusted: Path) -> None:
    reopen(adjusted, "2026-10", by="Eve", reason="a bill was wrong")
    # October's lines are restated, and the adjustments of September are net of all later changes.
    land_entries(
        adjusted,
        "c",
        [
            charge("c4", "2026-09-25T23:30:00Z", "9", updated_at="2026-11-01T00:00:00Z"),
            charge("c2", "2026-10-02T08:00:00Z", "4", updated_at="2026-11-01T00:00:00Z"),
        ],
    )
    publish(adjusted)
    assert journal(adjusted) == sorted(
        [
            *SEPTEMBER,
            *NOVEMBER,
            ("2026-10-01", "usage", "deferred_revenue", "0", "0.5", "2026-09-20"),
            ("2026-10-01", "usage", "usage_revenue", "0.5", "0", "2026-09-20"),
            ("2026-10-01", "usage", "deferred_revenue", "9", "0", "2026-09-25"),
            ("2026-10-01", "usage", "usage_revenue", "0", "9", "2026-09-25"),
            ("2026-10-02", "usage", "deferred_revenue", "4", "0", "2026-10-02"),
            ("2026-10-02", "usage", "usage_revenue", "0", "4", "2026-10-02"),
        ]
    )
    events = ask(
        adjusted,
        "select act_no, action, month_start::varchar, acted_by, note, lines from ops.period_events",
    )
    assert events == [
        (0, "close", "2026-09-01", "Ann", "first quarter", 4),
        (1, "close", "2026-10-01", "Bob", None, 6),
        (2, "reopen", "2026-10-01", "Eve", "a bill was wrong", 6),
    ]
    # Then the month before can be reopened: `test_close_commands.py` publishes such an act.
    act = reopen(adjusted, "2026-09")
    assert (act.number, act.action, act.acted_by, act.note, act.line_count) == (
        3,
        "reopen",
        "Ann",
        "late bill",
        4,
    )


def _full_refresh(home: Path) -> dict[str, Any]:
    return {"full_refresh": True}


def _time_zone(home: Path) -> dict[str, Any]:
    return {"reporting_timezone": "Asia/Tokyo"}  # 23:30 is the next day there


def _price_book(home: Path) -> dict[str, Any]:
    land(home, [prices_file("p.csv", [("acme/x", "2020-01-01", "", "5", "5", "5", "0.01", "usd")])])
    return {}


def _erased(home: Path) -> dict[str, Any]:
    [(user,)] = ask(home, "select min(user_id) from marts.dim_users")
    erase(load_settings(_env_file=None, warehouse_home=home), user)
    return {}


def _another_machine(home: Path) -> dict[str, Any]:
    for name in ("published", "state", "dagster", "dbt"):
        shutil.rmtree(home / name, ignore_errors=True)
    return {}


# Debits less credits of all entries, by account and the day that they are about, as if no month were closed.
NETS = {
    ("clearing", "usd", "2026-09-10"): Decimal(100),
    ("deferred_revenue", "usd", "2026-09-10"): Decimal(-100),
    ("deferred_revenue", "usd", "2026-09-20"): Decimal(3),
    ("usage_revenue", "usd", "2026-09-20"): Decimal(-3),
    ("deferred_revenue", "usd", "2026-10-02"): Decimal(1),
    ("usage_revenue", "usd", "2026-10-02"): Decimal(-1),
    ("deferred_revenue", "usd", "2026-11-03"): Decimal(2),
    ("usage_revenue", "usd", "2026-11-03"): Decimal(-2),
}


def _nets(late_day: str) -> dict[tuple[str, str, str], Decimal]:
    """`NETS` and the 7 that were used at 23:30 UTC of the 25th, on the day that this is in some time zone."""
    return {
        **NETS,
        ("deferred_revenue", "usd", late_day): Decimal(7),
        ("usage_revenue", "usd", late_day): Decimal(-7),
    }


# A machine without the published file builds everything anew, as `_full_refresh` does; so do rates that land.
@pytest.mark.parametrize(
    "change", [_time_zone, _erased, _another_machine, *in_soak(_full_refresh, _price_book)]
)
def test_nothing_changes_closed_months(adjusted: Path, change: Callable[[Path], dict[str, Any]]) -> None:
    before = closed_lines(adjusted)
    lake = {file.name: file.read_bytes() for file in (adjusted / "lake" / "periods").iterdir()}
    settings = change(adjusted)
    publish(adjusted, **settings)
    assert len(before) == 10
    assert closed_lines(adjusted) == before == booked_in_the_lake(adjusted)
    assert {file.name: file.read_bytes() for file in (adjusted / "lake" / "periods").iterdir()} == lake
    # As booked + adjustments = the journal of a home that was never closed.
    is_utc = settings.get("reporting_timezone", "UTC") == "UTC"
    assert nets(adjusted) == _nets("2026-09-25" if is_utc else "2026-09-26")
    if is_utc:
        return
    # 7 were used on the 25th in UTC, and on the 26th in Tokyo.
    assert journal(adjusted, "journal_date = '2026-11-01'") == [
        ("2026-11-01", "usage", "deferred_revenue", "0", "7", "2026-09-25"),
        ("2026-11-01", "usage", "deferred_revenue", "7", "0", "2026-09-26"),
        ("2026-11-01", "usage", "usage_revenue", "0", "7", "2026-09-26"),
        ("2026-11-01", "usage", "usage_revenue", "7", "0", "2026-09-25"),
    ]


def test_the_digest_can_be_computed_from_the_published_file(adjusted_home: Path) -> None:
    published = ask(
        adjusted_home,
        """select digest, (
            select sha256(string_agg(
                concat_ws(',', journal_date, journal, account, debit, credit, currency, relates_to_date),
                chr(10)
                order by journal_date, journal, account, currency, relates_to_date, credit
            ))
            from marts.fct_journal_lines
            where date_trunc('month', journal_date) = month_start
        ) from ops.periods where status = 'closed' order by month_start""",
    )
    acts = read_acts(Home(adjusted_home))
    by_hand = [hashlib.sha256("\n".join(act.lines).encode()).hexdigest() for act in acts]
    assert published == [(digest, digest) for digest in by_hand]


def _unchanged(home: Path) -> object:
    return (
        [(file.name, file.read_bytes()) for file in sorted((home / "lake" / "periods").glob("*"))],
        (home / "published" / "warehouse.duckdb").stat().st_mtime_ns,
    )


@pytest.mark.parametrize(
    ("text", "settings", "message"),
    [
        (
            "2026-10",
            {},
            "The first close is that of the month of the first journal line: 2026-09, not 2026-10",
        ),
        (
            "2026-08",
            {},
            "The first close is that of the month of the first journal line: 2026-09, not 2026-08",
        ),
        ("2026-09", {"as_of": "2026-09-30"}, r"2026-09 has not ended: today is 2026-09-30 in UTC"),
        (
            "2026-09",
            {"as_of": "2026-10-01T03:00:00Z", "reporting_timezone": "America/New_York"},
            "2026-09 has not ended: today is 2026-09-30 in America/New_York",
        ),
    ],
)
def test_a_first_close_is_refused(home: Path, text: str, settings: dict[str, Any], message: str) -> None:
    before = _unchanged(home)
    with pytest.raises(PeriodRefusedError, match=message):
        close(home, text, **settings)
    assert _unchanged(home) == before


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("2026-09", "2026-09 is closed already, by Ann on"),
        ("2026-10", "2026-10 is closed already, by Bob on"),
        ("2026-12", "Months are closed in order: the next one is 2026-11, not 2026-12"),
    ],
)
def test_a_later_close_is_refused(adjusted: Path, text: str, message: str) -> None:
    before = _unchanged(adjusted)
    with pytest.raises(PeriodRefusedError, match=message):
        close(adjusted, text)
    assert _unchanged(adjusted) == before


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("2026-09", "2026-09 is not the latest closed month. Only the latest one can be reopened: 2026-10"),
        ("2026-11", "2026-11 is not closed. Only the latest one can be reopened: 2026-10"),
    ],
)
def test_only_the_latest_closed_month_can_be_reopened(adjusted: Path, text: str, message: str) -> None:
    before = _unchanged(adjusted)
    with pytest.raises(PeriodRefusedError, match=message):
        reopen(adjusted, text)
    assert _unchanged(adjusted) == before


def test_without_a_closed_month_nothing_can_be_reopened(home: Path) -> None:
    with pytest.raises(PeriodRefusedError, match="No month is closed"):
        reopen(home, "2026-09")


def test_a_close_waits_for_landed_files(home: Path) -> None:
    land_entries(home, "b", LATE)
    with pytest.raises(
        PeriodRefusedError, match=r"not loaded yet: ledger/b\.jsonl\. .*`paywall-warehouse run`"
    ):
        close(home, "2026-09")
    # Loaded, but not published; a build that the checks refused lies there.
    settings = load_settings(_env_file=None, warehouse_home=home, as_of=AS_OF)
    load(settings, "ledger", drop_build=drop_build_file)
    shutil.copyfile(home / "published" / "warehouse.duckdb", Home(home).build_file)
    with pytest.raises(PeriodRefusedError, match="loaded that are not published yet"):
        close(home, "2026-09")


@pytest.fixture
def late_open(late_open_home: Path, tmp_path: Path) -> Path:
    return _copied(late_open_home, tmp_path)


@pytest.fixture(scope="module")
def late_open_home(open_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """No month is closed, and the first file was replaced by one with the late entries; not to be changed."""
    home = _copied(open_home, tmp_path_factory.mktemp("late_open"))
    land_entries(home, "a", [*FIRST, *LATE])
    publish(home)
    return home


def test_the_same_content_under_another_name_is_loaded(late_open: Path) -> None:
    land(late_open, [ledger_file("the_same_again.jsonl", [*FIRST, *LATE])])
    assert close(late_open, "2026-09").line_count == 6


def test_a_name_that_gets_back_its_former_content_waits(late_open: Path) -> None:
    land_entries(late_open, "a", FIRST)
    with pytest.raises(PeriodRefusedError, match=r"not loaded yet: ledger/a\.jsonl"):
        close(late_open, "2026-09")


def test_a_close_needs_a_published_file_as_it_was_published(home: Path) -> None:
    published = home / "published" / "warehouse.duckdb"
    os.utime(published)
    with pytest.raises(PeriodRefusedError, match="was changed after it was published"):
        close(home, "2026-09")
    published.unlink()
    with pytest.raises(PeriodRefusedError, match="Nothing is published yet"):
        close(home, "2026-09")


def test_an_empty_journal_has_no_month_to_close(empty_run: tuple[Path, RunResult], tmp_path: Path) -> None:
    home = _copied(empty_run[0], tmp_path)
    with pytest.raises(PeriodRefusedError, match="has no lines yet"):
        close(home, "2026-09")


def test_an_act_that_is_not_published_is_published_by_the_next_run(home: Path, closed_home: Path) -> None:
    close(home, "2026-09")
    with pytest.raises(PeriodRefusedError, match="2026-09 was closed, and that is not published yet"):
        close(home, "2026-10")
    # Nothing else was new in this home.
    assert ask(closed_home, "select month_start::varchar from ops.periods where status = 'closed'") == [
        ("2026-09-01",)
    ]


def _change_a_line(periods: Path) -> None:
    file = periods / "00000001.txt"
    file.write_text(file.read_text().replace("7.000000000000", "8.000000000000", 1))


def _remove_a_line(periods: Path) -> None:
    file = periods / "00000001.txt"
    file.write_text("".join(file.read_text().splitlines(keepends=True)[:-1]))


def _cut_a_line(periods: Path) -> None:
    file = periods / "00000001.txt"
    file.write_bytes(file.read_bytes()[:-40])


def _change_the_name(periods: Path) -> None:
    file = periods / "00000001.txt"
    file.write_text(file.read_text().replace('"Bob"', '"Eve"'))


def _remove_the_last(periods: Path) -> None:
    (periods / "00000001.txt").unlink()


def _remove_the_first(periods: Path) -> None:
    (periods / "00000000.txt").unlink()


def _exchange_bytes(periods: Path) -> None:
    file = periods / "00000000.txt"
    content = bytearray(file.read_bytes())
    content[-30] = 0xFF
    file.write_bytes(bytes(content))


def _exchange_files(periods: Path) -> None:
    (periods / "00000000.txt").rename(periods / "x")
    (periods / "00000001.txt").rename(periods / "00000000.txt")
    (periods / "x").rename(periods / "00000001.txt")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (
            _change_a_line,
            "2026-10 is closed with 6 booked lines, and booked line 2 was changed: '2026-10-01,usage,",
        ),
        (_remove_a_line, "2026-10 is closed with 6 booked lines, but lake/periods/00000001.txt ends after 5"),
        (_cut_a_line, "2026-10 is closed with 6 booked lines, but lake/periods/00000001.txt ends after 5"),
        (_exchange_bytes, "2026-09 is closed with 4 booked lines, and booked line 4 was changed"),
        (_change_the_name, "lake/periods/00000001.txt: line 1, which states the act, was changed"),
        (_exchange_files, "lake/periods/00000000.txt: line 1, which states the act, was changed"),
        (_remove_the_first, "lake/periods/00000000.txt is missing: later acts exist"),
        (
            _remove_the_last,
            "lake/periods/00000001.txt is missing: the published file lists this act about 2026-10",
        ),
    ],
)
def test_a_damaged_act_is_named_and_nothing_is_built(
    adjusted: Path, tmp_path: Path, damage: Callable[[Path], None], message: str
) -> None:
    periods = adjusted / "lake" / "periods"
    backup = shutil.copytree(periods, tmp_path / "backup")
    damage(periods)
    settings = load_settings(_env_file=None, warehouse_home=adjusted, as_of=AS_OF)
    with pytest.raises(DamagedActError, match="Restore this file of the lake from a backup") as refused:
        prepare_build(settings, code_version(), full_refresh=True)
    assert message in str(refused.value)
    assert not settings.home.build_file.exists(), "there is nothing to publish"
    shutil.rmtree(periods)
    shutil.copytree(backup, periods)
    assert not prepare_build(settings, code_version()).needed
    assert closed_lines(adjusted) == booked_in_the_lake(adjusted)


def test_a_run_reports_a_damaged_act_and_publishes_nothing(adjusted: Path) -> None:
    before = (adjusted / "published" / "warehouse.duckdb").stat().st_mtime_ns
    _change_a_line(adjusted / "lake" / "periods")
    result = run_pipeline(adjusted, as_of=AS_OF)
    assert result.exit_code == 1
    assert "2026-10 is closed with 6 booked lines, and booked line 2 was changed" in result.output
    assert "Restore this file of the lake from a backup" in result.output
    assert (adjusted / "published" / "warehouse.duckdb").stat().st_mtime_ns == before


def test_damage_while_a_build_runs_is_noticed_before_publication(
    adjusted: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = (adjusted / "published" / "warehouse.duckdb").stat().st_mtime_ns

    def damage_after_the_build(*_: Any, **__: Any) -> Any:
        _change_a_line(adjusted / "lake" / "periods")
        return read_acts(Home(adjusted))

    monkeypatch.setattr("warehouse.checks.booked_months.read_acts", damage_after_the_build)
    with pytest.raises(DamagedActError, match="booked line 2 was changed"):
        publish(adjusted, full_refresh=True)
    assert (adjusted / "published" / "warehouse.duckdb").stat().st_mtime_ns == before


def test_a_killed_close_is_done_or_not_done(open_home: Path, tmp_path: Path) -> None:
    outcomes = set()
    for change in range(1, 40):
        home = _copied(open_home, tmp_path / str(change))
        killed = is_close_killed(home, month("2026-09"), change)
        acts = read_acts(Home(home))
        assert [act.action for act in acts] in ([], [CLOSE])
        assert all(len(act.lines) == 4 for act in acts)
        outcomes.add((killed, len(acts)))
        if not acts:
            assert close(home, "2026-09").number == 0, "the next attempt closes it"
        if not killed:
            break
    else:
        pytest.fail("a close does not end within 40 changes")
    assert outcomes == {(True, 0), (True, 1), (False, 1)}
    assert list((home / "tmp").iterdir()) == []


def test_two_processes_cannot_take_the_same_number(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    known = read_acts(Home(home))
    close(home, "2026-09")
    monkeypatch.setattr("warehouse.closing.read_acts", lambda _: known)
    with pytest.raises(PeriodRefusedError, match="Another process has closed or reopened a month"):
        close(home, "2026-09")
    assert len(read_acts(Home(home))) == 1


def test_act_files_are_numbered_without_gaps(home: Path) -> None:
    close(home, "2026-09")
    shutil.copyfile(home / "lake/periods/00000000.txt", home / "lake/periods/00000002.txt")
    with pytest.raises(DamagedActError, match=r"00000001\.txt is missing"):
        read_acts(Home(home))


def test_editors_files_beside_the_acts_are_ignored(home: Path) -> None:
    close(home, "2026-09")
    (home / "lake/periods/notes.txt").write_text("mine")
    (home / "lake/periods/00000000.txt~").write_text("old")
    assert len(read_acts(Home(home))) == 1


# A close, late entries with a rebuild, which are adjusted in the next month, and a reopening.
@pytest.mark.parametrize(("seed", "steps"), [(18, 3), *in_soak((1, 14), (2, 14))])
def test_random_acts_keep_the_identities(tmp_path: Path, seed: int, steps: int) -> None:
    home, expected = tmp_path / "home", ExpectedJournal()
    ledger = RandomLedger(seed, expected)
    land_entries(home, "0", ledger.first())
    publish(home)
    done: list[str] = []
    for step in range(1, steps + 1):
        can_close = expected.next_month() <= month("2026-11")
        act = ledger.chance.choice(["land", "land", "close", "close", "reopen", "rebuild"])
        refresh = act == "rebuild"
        if act == "close" and can_close:
            close(home, f"{expected.close():%Y-%m}")
        elif act == "reopen" and expected.booked:
            reopen(home, f"{expected.reopen():%Y-%m}")
        else:
            land_entries(home, str(step), ledger.more())
        done.append(act)
        publish(home, full_refresh=refresh)
        assert journal(home) == expected.lines(), done
        assert closed_lines(home) == booked_in_the_lake(home) if expected.booked else True
        assert [act.month for act in closed_months(read_acts(Home(home)))] == sorted(expected.booked)


def test_a_close_while_a_run_is_at_work_is_refused(home: Path) -> None:
    from tests.support.command import command_here

    lock: FileLock = Home(home).run_lock
    with lock:
        done = command_here(home, "close", "2026-09", "--by", "Ann", AS_OF=AS_OF)
    assert done.returncode == 2
    assert "is in use by another process" in done.stderr
    assert "Nothing was changed." in done.stderr
    assert read_acts(Home(home)) == []
