"""Nothing is published unless the books agree; readers see the old file until then, and never half a file."""

import shutil
import struct
import subprocess
import sys
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest

from paywall_warehouse.duckdb_connections import open_duckdb
from paywall_warehouse.settings import load_settings
from tests.support.builders import adjustment, charge, deposit, jsonl, refund
from tests.support.harness import build_unchecked, publish_home, run_pipeline
from warehouse.build import prepare_build
from warehouse.checks.build_checks import CHECK_MODELS, ChecksNotBuiltError
from warehouse.checks.invariant import describe_failure
from warehouse.checks.invariants import INVARIANTS
from warehouse.code_version import code_version
from warehouse.dbt_runner import PROJECT
from warehouse.duckdb_engine import DuckdbCandidate
from warehouse.publish import Publication, check_and_publish
from warehouse.runs import read_runs

AS_OF = "2026-10-05T12:00:00Z"
READER = """
import sys, time, duckdb
file, stop = sys.argv[1], sys.argv[2]
from pathlib import Path
while not Path(stop).exists():
    with duckdb.connect(file, read_only=True) as connection:
        print(connection.execute("select sum(revenue) from marts.fct_daily_revenue").fetchone()[0],
            flush=True)
    time.sleep(0.2)
"""


def land(home: Path, name: str, records: list[dict[str, object]]) -> None:
    file = home / "landing" / "ledger" / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(jsonl(records))


@pytest.fixture(scope="module")
def published_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("published")
    records = [
        deposit("d1", "2026-10-01T08:00:00Z", "20"),
        charge("c1", "2026-10-01T09:00:00Z", "1.5", model="m", provider_cost="1.1", prompt_tokens=10),
        charge(
            "c1",
            "2026-10-01T09:00:00Z",
            "1.25",
            updated_at="2026-10-01T09:01:00Z",
            model="m",
            provider_cost="1.1",
            prompt_tokens=10,
        ),
        charge("c2", "2026-10-03T09:00:00Z", "0.000000000001", user="bob"),
        refund("r1", "2026-10-04T09:00:00Z", "0.25", of="c1"),
        adjustment("a1", "2026-10-04T10:00:00Z", "-1"),
    ]
    land(home, "a.jsonl", records)
    publish_home(home, as_of=AS_OF)
    assert not (home / "warehouse.duckdb").exists(), "what is published is not kept twice"
    build_unchecked(home, as_of=AS_OF)
    return home


@pytest.fixture
def home(published_home: Path, tmp_path: Path) -> Path:
    """A published home, to be spoiled: with the same built once more, and not checked yet."""
    return Path(shutil.copytree(published_home, tmp_path / "home"))


def check_and_replace(home: Path, **settings: Any) -> Publication:
    now = datetime.now(UTC)
    return check_and_publish(
        load_settings(warehouse_home=home, **settings), "run-2", now, now, "test", DuckdbCandidate()
    )


def spoil(home: Path, statement: str, check: str) -> None:
    """Change the build, then run dbt's query of a check again, as if it had built the marts that way."""
    [query] = (home / "dbt").glob(f"target/compiled/*/models/checks/{check}.sql")
    with open_duckdb(home / "warehouse.duckdb") as connection:
        connection.execute(statement)
        connection.execute(f"truncate checks.{check}")
        connection.execute(f"insert into checks.{check} by name {query.read_text(encoding='utf-8')}")


@pytest.mark.parametrize(
    ("statement", "check", "name"),
    [
        (
            "delete from marts.fct_ledger_entries where entry_id = 'c1'",
            "chk_entries",
            "records_are_accounted_for",
        ),
        (
            "insert into marts.fct_ledger_entries from marts.fct_ledger_entries where entry_id = 'c2'",
            "chk_entries",
            "entry_ids_are_unique",
        ),
        (
            "update marts.fct_daily_revenue set revenue = revenue + 0.000000000001 where model_id = 'm'",
            "chk_marts_equal_entries",
            "daily_revenue_equals_entries",
        ),
        (
            "update marts.fct_user_days set provider_cost = provider_cost + 1 where provider_cost > 0",
            "chk_marts_equal_entries",
            "user_days_equal_entries",
        ),
        (
            "update marts.fct_wallet_days set closing_balance = closing_balance + 1 where valid_to is null",
            "chk_marts_equal_entries",
            "wallets_equal_entries",
        ),
        (
            "update marts.fct_wallet_days set opening_balance = opening_balance + 1",
            "chk_wallets",
            "wallet_days_balance",
        ),
        (
            "update marts.fct_balance_rollforward set refunds = refunds + 1 where refunds > 0",
            "chk_rollforward",
            "rollforward_equals_wallets",
        ),
        (
            "delete from marts.fct_balance_rollforward where date_day = '2026-10-02'",
            "chk_rollforward",
            "rollforward_has_no_gaps",
        ),
        (
            "update marts.fct_period_kpis set revenue = revenue + 1 where period = 'all_time'",
            "chk_marts_equal_entries",
            "all_time_kpis_equal_entries",
        ),
        (
            "update marts.fct_credit_days set paid_closing = paid_closing + 1, paid_added = paid_added + 1",
            "chk_credit",
            "credit_equals_wallet_days",
        ),
        (
            "update marts.fct_credit_days set paid_used_to_date = paid_used_to_date + 1",
            "chk_credit",
            "credit_is_carried_from_day_to_day",
        ),
        (
            "update marts.fct_deferred_revenue set closing = closing + 1",
            "chk_credit",
            "deferred_revenue_equal_the_wallets",
        ),
        (
            "update marts.fct_journal_lines set credit = credit + 1 where account = 'deferred_revenue'",
            "chk_credit",
            "deferred_account_equals_deferred_revenue",
        ),
        (
            "update marts.fct_growth set expansion = expansion + 0.000000000001 where period_kind = 'week'",
            "chk_growth",
            "growth_adds_up",
        ),
        (
            "update marts.fct_growth set previous_revenue = previous_revenue + 1, churned = churned + 1"
            " where period_kind = 'days_28' and period_start = '2026-10-05'",
            "chk_growth",
            "growth_periods_follow_each_other",
        ),
        (
            "update marts.fct_user_movements set movement = 'resurrected' where user_id = 'bob'",
            "chk_growth",
            "user_movements_equal_growth",
        ),
        (
            "delete from marts.fct_user_movements where period_kind = 'month'",
            "chk_growth",
            "user_movements_equal_growth",
        ),
        (
            "update marts.fct_user_days set revenue = revenue + 0.000000000001 where user_id = 'bob'",
            "chk_growth",
            "growth_equals_user_days",
        ),
    ],
)
def test_books_that_disagree_are_not_published(home: Path, statement: str, check: str, name: str) -> None:
    file = home / "published" / "warehouse.duckdb"
    before = file.read_bytes()
    spoil(home, statement, check)
    publication = check_and_replace(home)
    assert not publication.published
    assert name in {failure.name for failure in publication.failures}
    assert file.read_bytes() == before
    assert read_runs(load_settings(warehouse_home=home).home)[-1].status == "failed"


def test_a_failure_names_check_expected_actual_and_query(home: Path) -> None:
    change = "update marts.fct_daily_revenue set revenue = revenue + 0.000000000001 where revenue > 1"
    spoil(home, change, "chk_marts_equal_entries")
    (failure,) = check_and_replace(home).failures
    # 1.25 of c1 and 0.000000000001 of c2 were charged.
    assert (failure.expected, failure.actual) == (Decimal("1.250000000001"), Decimal("1.250000000002"))
    words = describe_failure(failure, INVARIANTS)
    assert words.startswith(
        "daily_revenue_equals_entries (usd revenue): expected 1.250000000001, actual 1.250000000002,"
        " difference 0.000000000001."
    )
    assert "select * from marts.fct_daily_revenue where currency = 'usd'" in words


def test_every_check_is_reported_with_a_query_that_runs_on_the_build(home: Path) -> None:
    shutil.copy(home / "warehouse.duckdb", home / "build.duckdb")
    publication = check_and_replace(home)
    assert {one.name for one in publication.invariants} == set(INVARIANTS)
    with duckdb.connect(str(home / "build.duckdb")) as connection:
        # A build that has ended knows that.
        connection.execute("update ops.build_state set full_refresh = true")
        for query in {one.query for one in publication.invariants}:
            connection.execute(query)


def test_open_breaks_of_priority_1_are_not_published_if_the_settings_say_so(home: Path) -> None:
    """The deposit of the home names no payment, and none was landed."""
    file = home / "published" / "warehouse.duckdb"
    before = file.read_bytes()
    (failure,) = check_and_replace(home, priority_1_breaks="fail").failures
    assert (failure.name, failure.expected, failure.actual) == ("priority_1_breaks", 0, 1)
    assert file.read_bytes() == before
    assert check_and_replace(home, priority_1_breaks="fail", max_priority_1_breaks=1).published


def test_a_build_without_results_of_its_checks_is_not_published(home: Path) -> None:
    file = home / "published" / "warehouse.duckdb"
    before = file.read_bytes()
    with duckdb.connect(str(home / "warehouse.duckdb")) as connection:
        connection.execute("drop table checks.chk_wallets")
    with pytest.raises(ChecksNotBuiltError, match=r"no table checks\.chk_wallets.*`refresh`"):
        check_and_replace(home)
    assert file.read_bytes() == before


def test_every_check_model_is_read() -> None:
    folder = PROJECT / "models" / "checks"
    assert {file.stem for file in folder.glob("*.sql")} == set(CHECK_MODELS)


@pytest.mark.soak
def test_too_many_rejects_are_not_published_until_the_ratio_is_raised(home: Path) -> None:
    file = home / "published" / "warehouse.duckdb"
    before = file.read_bytes()
    land(
        home,
        "b.jsonl",
        [charge(f"new{number}", "2026-10-05T09:00:00Z") for number in range(9)] + [{"id": "bad"}],
    )
    assert run_pipeline(home, as_of=AS_OF).exit_code == 1
    assert run_pipeline(home, as_of=AS_OF).exit_code == 1, (
        "a refused batch does not slip in with the next run"
    )
    assert file.read_bytes() == before
    assert run_pipeline(home, as_of=AS_OF, max_reject_ratio="0.1").exit_code == 0
    with duckdb.connect(str(file), read_only=True) as connection:
        assert connection.execute("select count(*) from marts.fct_ledger_entries").fetchall() == [(14,)]


def test_the_published_file_holds_marts_and_ops_only(home: Path) -> None:
    with duckdb.connect(str(home / "published" / "warehouse.duckdb"), read_only=True) as connection:
        schemas = connection.execute(
            "select distinct table_schema from information_schema.tables order by 1"
        ).fetchall()
        runs = connection.execute("select status, new_records, rejected_records from ops.runs").fetchall()
        # The deposit names no payment, and none was landed: an open break, which warns.
        checks = connection.execute(
            "select count(*), bool_and(passed = (name <> 'priority_1_breaks')) from ops.invariants"
        ).fetchall()
    assert schemas == [("marts",), ("ops",)]
    assert runs == [("published", 6, 0)]
    assert checks[0][0] > 20
    assert checks[0][1]
    assert not list((home / "published").glob("*.wal"))


def test_duckdb_1_5_can_open_the_published_file(home: Path, tmp_path: Path) -> None:
    """A file's header says which release's storage it is written in."""
    with duckdb.connect() as connection:
        connection.execute(f"attach '{tmp_path / 'v1.5.duckdb'}' as old (storage_version 'v1.5.0')")
        connection.execute("create table old.t as select 1")
    assert storage_version(home / "published" / "warehouse.duckdb") == storage_version(
        tmp_path / "v1.5.duckdb"
    )


def storage_version(file: Path) -> int:
    """The version number behind checksum and magic bytes of DuckDB's main header."""
    with file.open("rb") as opened:
        header = opened.read(20)
    assert header[8:12] == b"DUCK"
    return int(struct.unpack("<Q", header[12:20])[0])


def test_readers_see_old_numbers_until_new_ones_are_checked(home: Path, tmp_path: Path) -> None:
    file, stop = home / "published" / "warehouse.duckdb", tmp_path / "stop"
    reader = subprocess.Popen(
        [sys.executable, "-c", READER, str(file), str(stop)], stdout=subprocess.PIPE, text=True
    )
    try:
        land(home, "b.jsonl", [charge("c3", "2026-10-05T09:00:00Z", "2")])
        publish_home(home, as_of=AS_OF)
    finally:
        stop.touch()
        seen, _ = reader.communicate(timeout=60)
    assert reader.returncode == 0, "no lock error, no half file"
    values = [Decimal(line) for line in seen.split()]
    assert set(values) <= {Decimal("1.250000000001"), Decimal("3.250000000001")}
    assert values == sorted(values)
    assert values[0] == Decimal("1.250000000001")


def test_a_build_that_was_not_published_is_done_again(home: Path) -> None:
    """Of the same batches and day, so that only the file shows it: a check may have failed after rates
    had changed.
    """
    settings = load_settings(warehouse_home=home, as_of=AS_OF)
    assert prepare_build(settings, code_version()).needed
    settings.home.build_file.unlink()
    assert not prepare_build(settings, code_version()).needed


def test_a_rebuild_that_was_cut_short_is_followed_by_another(home: Path) -> None:
    """Else some tables would be in the one time zone and some in the other."""
    utc = load_settings(warehouse_home=home, as_of=AS_OF)
    berlin = load_settings(warehouse_home=home, as_of=AS_OF, reporting_timezone="Europe/Berlin")
    assert not prepare_build(utc, code_version()).full_refresh
    assert prepare_build(berlin, code_version()).full_refresh  # and here the process is killed
    assert prepare_build(utc, code_version()).full_refresh
