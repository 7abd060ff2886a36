"""The command as people start it: a process of its own, its exit code, what it prints."""

import csv
import importlib.util
import re
import shutil
import signal
import subprocess
from datetime import date
from decimal import Decimal
from pathlib import Path

import duckdb
import pytest

from orchestration.cli.server_commands import warn_of_exposure
from orchestration.definitions import build_defs
from paywall_warehouse.home import Home
from paywall_warehouse.settings import load_settings
from sample_data import SampleSummary, land_sample
from tests.support.builders import charge, land, ledger_file
from tests.support.command import COMMAND, command, command_here, environment, real_command
from tests.support.export_homes import AS_OF
from tests.support.harness import RunResult, run_pipeline
from tests.support.shared import in_soak, read_only
from tests.support.warm_start import WarmCommand
from warehouse.build import prepare_build
from warehouse.code_version import code_version

pytestmark = pytest.mark.slow
# With the padding of a table, which depends on their length.
AGO = re.compile(r", (just now|\d+ \w+ ago)| +")


def test_run_lands_the_sample_where_nothing_landed_and_publishes(
    first_run: tuple[Path, subprocess.CompletedProcess[str]],
) -> None:
    home, done = first_run
    assert done.returncode == 0, done.stderr
    assert "The landing area is empty: landing the sample data first." in done.stderr
    assert "Real: the prompt and completion tokens" in done.stderr
    for step in (
        "✓ ledger",
        "✓ events",
        "✓ markups",
        "✓ prices",
        "✓ mapped sources",
        "litellm_spend_logs: 1 new file, 300 records accepted, 1 rejected",
        "✓ price book",
        "✓ plan",
        "✓ build",
        "✓ check, publish",
        "✓ export ledger",
    ):
        assert step in done.stderr
    assert "marts.fct_ledger_entries (" in done.stderr
    assert "9 of them rejected" in done.stdout
    assert "events/sample-2026-11-01-shape-b-paywall.jsonl:" in done.stdout
    for kpi in ("Revenue", "Provider cost", "Profit", "Active payers", "ARPU"):
        assert f"usd           {kpi} " in done.stdout
        assert f"eur           {kpi} " in done.stdout
    assert done.stdout.endswith(
        f"Published: {home}/published/warehouse.duckdb\nExported: {home}/exports/v1\n"
    )
    with duckdb.connect(str(home / "published" / "warehouse.duckdb"), read_only=True) as connection:
        assert connection.execute("select count(*) > 28000 from marts.fct_ledger_entries").fetchone() == (
            True,
        )


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> SampleSummary:
    """What the sample says of itself."""
    return land_sample(tmp_path_factory.mktemp("sample"), date(2026, 11, 1))


def test_the_samples_breaks_are_those_that_were_planted_and_its_balances_close(
    first_run: tuple[Path, subprocess.CompletedProcess[str]], sample: SampleSummary
) -> None:
    home, done = first_run
    planted = sample.planted
    with duckdb.connect(str(home / "published" / "warehouse.duckdb"), read_only=True) as connection:
        breaks = connection.execute(
            "select break_type, case_id from marts.fct_reconciliation where status = 'break'"
        ).fetchall()
        balances = connection.execute(
            """select count(*), count(*) filter (where opening_balance + activity - payouts = closing_balance
                and activity = itemized_activity and payouts = itemized_payouts
                and coalesce(closing_before, opening_balance) = opening_balance)
            from marts.fct_stripe_balances"""
        ).fetchall()
    assert set(breaks) == {
        (break_type, case_id) for break_type, case_ids in planted.items() for case_id in case_ids
    }
    assert len(breaks) == 15
    # Two currencies, and the months from July to October.
    assert balances == [(8, 8)]
    assert "Reconciliation: complete." in done.stdout
    assert "3 ×  processor_only" in done.stdout


def test_the_samples_cost_breaks_are_those_that_were_planted(
    first_run: tuple[Path, subprocess.CompletedProcess[str]], sample: SampleSummary
) -> None:
    home, done = first_run
    planted = sample.planted_costs
    with duckdb.connect(str(home / "published" / "warehouse.duckdb"), read_only=True) as connection:
        breaks = connection.execute(
            "select break_type, case_id from marts.fct_cost_reconciliation where status = 'break'"
        ).fetchall()
        months = connection.execute(
            """select provider, currency, verdict, abs(invoice_difference) < 0.005
            from marts.rpt_cost_reconciliation_months where month_start = '2026-09-01'
            and provider in ('openai', 'mistral') order by all"""
        ).fetchall()
        warnings = connection.execute(
            """select name, count(*) from ops.invariants
            where run_id = (select max_by(run_id, finished_at) from ops.runs) and not passed
            and name in ('bill_statements_agree', 'billed_models_are_known',
                'priority_1_cost_breaks', 'bills_are_in_cases', 'charges_are_in_one_cost_case')
            group by name order by name"""
        ).fetchall()
        keys = connection.execute("select distinct key from marts.fct_bill_lines order by key").fetchall()
    assert sorted(breaks) == sorted(
        (break_type, case_id) for break_type, case_ids in planted.items() for case_id in case_ids
    )
    assert months == [
        ("mistral", "eur", "missing", None),
        ("mistral", "usd", "missing", None),
        ("openai", "eur", "complete", True),
        ("openai", "usd", "complete", True),
    ]
    # The bucket that grew, two models that nobody sells, and their lines with the calls that were not billed.
    assert warnings == [
        ("bill_statements_agree", 1),
        ("billed_models_are_known", 2),
        ("priority_1_cost_breaks", 1),
    ]
    assert keys == [("apikey_01Rk4production",), ("apikey_01Vd9lab",), (None,)]
    assert f"{len(breaks)} breaks, " in done.stdout


def test_the_samples_credit_expires_and_a_deposit_settles_an_overdraft(
    first_run: tuple[Path, subprocess.CompletedProcess[str]],
) -> None:
    home, _ = first_run
    with duckdb.connect(str(home / "published" / "warehouse.duckdb"), read_only=True) as connection:
        days = connection.execute(
            """select user_id, date_day::varchar, promo_expired, paid_expired, unfunded_returned,
                overdraft_settled_paid
            from marts.fct_credit_days where currency = 'eur'
                and promo_expired + paid_expired + unfunded_returned + overdraft_settled_paid > 0
            order by date_day"""
        ).fetchall()
        breakage = connection.execute(
            "select sum(credit - debit) from marts.fct_journal_lines where account = 'breakage_revenue'"
        ).fetchone()
    # A bonus of 0.1 less four charges, 0.0289818 together: a correction of -0.3 overdraws 0.2289818.
    overdraft = Decimal("0.2289818")
    # Another bonus less charges of 0.0089014464. Three deposits of 1, of which 1.3517937852 were used.
    promo, paid = Decimal("0.0910985536"), Decimal("1.6482062148")
    assert days == [
        ("usr_c0678ddd", "2026-08-08", 0, 0, overdraft, 0),
        ("usr_c0678ddd", "2026-08-15", 0, 0, 0, overdraft),
        ("usr_e13e3a1d", "2026-09-10", promo, 0, 0, 0),
        ("usr_c97f0a5d", "2026-10-23", 0, paid, 0, 0),
    ]
    assert breakage == (paid,)


def test_the_samples_first_two_months_are_closed_and_an_entry_lands_late(
    first_run: tuple[Path, subprocess.CompletedProcess[str]],
) -> None:
    home, done = first_run
    assert "2026-07 and 2026-08 of the sample are closed." in done.stderr
    with duckdb.connect(str(home / "published" / "warehouse.duckdb"), read_only=True) as connection:
        months = connection.execute(
            "select month_start::varchar, status from ops.periods order by month_start"
        ).fetchall()
        adjustments = connection.execute(
            """select journal_date::varchar, journal, account, debit, credit, currency,
                relates_to_date::varchar
            from marts.fct_journal_lines where relates_to_date <> journal_date order by account"""
        ).fetchall()
    assert months == [
        ("2026-07-01", "closed"),
        ("2026-08-01", "closed"),
        *((f"2026-{month}-01", "open") for month in ("09", "10", "11")),
    ]
    half = Decimal("0.5")
    assert adjustments == [
        ("2026-09-01", "receipts", "adjustments", half, 0, "eur", "2026-08-31"),
        ("2026-09-01", "receipts", "deferred_revenue", 0, half, "eur", "2026-08-31"),
    ]
    assert "Closed months: 2026-07 to 2026-08; changed since: 2 lines on 2026-09-01" in done.stdout


def test_the_samples_gateway_charges_postpaid_customers_by_its_markups(
    first_run: tuple[Path, subprocess.CompletedProcess[str]],
) -> None:
    """The log and the markups, calculated by hand: 1.3, from 19 October 1.35; claude-sonnet-4-5 always 1.3,
    and 0.002 for each request.
    """
    home, _ = first_run
    expected = {}
    with (home / "landing" / "litellm_spend_logs" / "sample-2026-11-01.csv").open(encoding="utf-8") as file:
        for row in csv.DictReader(file):
            spend, start = Decimal(row["spend"]), row["startTime"]
            dear = "1.35" if start >= "2026-10-19" else "1.3"
            sonnet = row["model"].endswith("claude-sonnet-4-5")
            price = spend * Decimal("1.3") + Decimal("0.002") if sonnet else spend * Decimal(dear)
            if row["status"] == "success" and start.startswith("2026-"):
                expected[f"litellm:{row['request_id']}"] = (row["end_user"], spend, price)
    with duckdb.connect(str(home / "published" / "warehouse.duckdb"), read_only=True) as connection:
        charged = connection.execute(
            """select entry_id, user_id, provider_cost, revenue from marts.fct_ledger_entries
            where source = 'litellm_spend_logs' and status = 'settled'"""
        ).fetchall()
        moved = connection.execute(
            "select count(*) from marts.fct_wallet_days where user_id like 'cust!_%' escape '!'"
        ).fetchone()
        file_row = connection.execute(
            """select records, accepted, filtered, rejected, rounded_amounts, cost_stated
            from ops.loaded_files where source = 'litellm_spend_logs'"""
        ).fetchone()
        unmapped = connection.execute("select count(*) from ops.unmapped_columns").fetchone()
    assert {entry_id: (user, cost, revenue) for entry_id, user, cost, revenue in charged} == expected
    assert len(expected) == 291
    assert moved == unmapped == (0,)
    assert file_row == (301, 300, 0, 1, 0, sum(cost for _, cost, _ in expected.values()))


@pytest.mark.soak
def test_a_second_run_finds_nothing_new_and_leaves_the_file(
    first_run: tuple[Path, subprocess.CompletedProcess[str]],
) -> None:
    home, _ = first_run
    file = home / "published" / "warehouse.duckdb"
    before = (file.read_bytes(), file.stat().st_ino, file.stat().st_mtime_ns)
    done = command(home, "run", "--sample", AS_OF="2026-11-01T12:00:00Z")
    assert (done.returncode, done.stdout.strip().startswith("Nothing new: ")) == (0, True), done.stderr
    assert (file.read_bytes(), file.stat().st_ino, file.stat().st_mtime_ns) == before


def test_status_shows_the_last_run_sources_checks_and_rejects(
    first_run: tuple[Path, subprocess.CompletedProcess[str]],
) -> None:
    home, _ = first_run
    done = real_command(home, "status")
    assert done.returncode == 0, done.stderr
    for words in (
        "Last run: published",
        "Published: ",
        f"Exported: {home}/exports/v1\n",
        "ledger",
        "events",
        "prices",
        "Failed checks: none",
        "Rejected records: 9",
    ):
        assert words in done.stdout


@pytest.mark.skipif(importlib.util.find_spec("pyhive") is not None, reason="the extra `spark` is installed")
@pytest.mark.parametrize("words", [["run"], ["ui"], ["erase", "somebody"]])
def test_builds_on_a_cluster_need_the_extra(tmp_path: Path, words: list[str]) -> None:
    done = command(tmp_path / "home", *words, WAREHOUSE_TARGET="spark")
    assert done.returncode == 2
    assert "needs the extra `spark`" in done.stderr
    assert not (tmp_path / "home").exists()


def test_a_second_sample_is_refused_with_a_reason(
    first_run: tuple[Path, subprocess.CompletedProcess[str]],
) -> None:
    done = command(first_run[0], "sample", AS_OF="2026-12-01")
    assert done.returncode == 2
    assert "another sample" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_empty_landing_area_gives_an_empty_warehouse_and_says_where_files_go(
    empty_run: tuple[Path, RunResult],
) -> None:
    home, done = empty_run
    assert done.exit_code == 0, done
    assert f"put ledger files into {home}/landing/ledger" in done.output
    with duckdb.connect(str(home / "published" / "warehouse.duckdb"), read_only=True) as connection:
        assert connection.execute("select count(*) from marts.fct_ledger_entries").fetchone() == (0,)
        assert connection.execute(
            "select count(*) from marts.kpis(date '2026-01-01', date '2026-02-01')"
        ).fetchone() == (0,)


def test_a_setting_that_is_not_allowed_stops_everything_before_it_starts(tmp_path: Path) -> None:
    home = tmp_path / "home"
    for name in ("run", "ui", "sample", "status"):
        call = command if name == "run" else command_here
        done = call(home, name, REPORTING_TIMEZONE="Berlin", MAX_REJECT_RATIO="2")
        assert done.returncode == 2
        assert "REPORTING_TIMEZONE 'Berlin' is not allowed: allowed: an IANA time zone name" in done.stderr
        assert "MAX_REJECT_RATIO '2' is not allowed" in done.stderr
        assert "Traceback" not in done.stderr
    assert not home.exists()


def test_wrong_usage_is_exit_code_2(tmp_path: Path) -> None:
    assert real_command(tmp_path / "home", "run", "--no-such-option").returncode == 2
    assert command_here(tmp_path / "home", "publish").returncode == 2


def test_a_home_that_cannot_be_used_is_reported(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way", encoding="utf-8")
    done = command(tmp_path / "file" / "home", "run", cwd=tmp_path)
    assert done.returncode == 2
    assert "Not a directory" in done.stderr
    assert "Traceback" not in done.stderr


def test_status_works_before_the_first_run(tmp_path: Path) -> None:
    land(tmp_path / "home", [ledger_file("a.jsonl", [charge("c1", "2026-10-01T09:00:00Z")])])
    done = command(tmp_path / "home", "status")
    assert done.returncode == 0, done.stderr
    assert "No run has finished yet" in done.stdout
    assert re.search(r"^ledger +0 +never +1$", done.stdout, re.MULTILINE)


@pytest.mark.soak
def test_an_interrupted_run_publishes_nothing_and_the_next_one_does(tmp_path: Path) -> None:
    home = tmp_path / "home"
    land(
        home,
        [ledger_file("a.jsonl", [charge(f"c{number}", "2026-10-01T09:00:00Z") for number in range(1000)])],
    )
    running = subprocess.Popen([COMMAND, "run"], env=environment(home), stderr=subprocess.PIPE, text=True)
    assert running.stderr is not None
    for line in running.stderr:
        if "int_touched__entries" in line:
            running.send_signal(signal.SIGINT)
            break
    rest = running.stderr.read()
    assert running.wait() == 1
    assert "Traceback" not in rest
    assert "Not published." in rest
    assert not (home / "published" / "warehouse.duckdb").exists()
    then = run_pipeline(home, by_dbt=True)
    assert (then.exit_code, "1,000 new records" in then.output) == (0, True), then


def test_a_home_is_its_owners_alone_and_stays_so_inside_where_the_owner_opens_it(
    first_run: tuple[Path, subprocess.CompletedProcess[str]],
) -> None:
    home, _ = first_run
    modes = {path.name: oct(path.stat().st_mode & 0o777) for path in (home, *home.iterdir()) if path.is_dir()}
    assert modes.pop("landing") == modes.pop("published") == modes.pop("exports") == "0o755"
    assert modes == dict.fromkeys((home.name, "lake", "state", "dagster", "dbt", "tmp"), "0o700")


@pytest.mark.parametrize(
    "words",
    [["receive", "--host", "192.0.2.1"], ["ui", "--host", "192.0.2.1"], *in_soak((["sample"],))],
)
def test_whichever_command_comes_first_makes_the_home_its_owners_alone(
    tmp_path: Path, words: list[str]
) -> None:
    home = tmp_path / "some" / "home"
    command(home, *words, cwd=tmp_path, PAYWALLS_WEBHOOK_SECRET="whsec_0123456789abcdef")
    assert modes_of(home) == {0o700}


def test_dagster_and_runs_of_the_library_make_the_home_its_owners_alone(tmp_path: Path) -> None:
    settings = load_settings(_env_file=None, warehouse_home=tmp_path / "served" / "home")
    build_defs(settings)
    assert modes_of(settings.home.root) == {0o700}
    for number, hold in enumerate((Home.writing, Home.working)):
        home = Home(tmp_path / str(number) / "home")
        with hold(home):
            assert modes_of(home.root) == {0o700}


def modes_of(home: Path) -> set[int]:
    """The permissions of the home and of what is in it for nobody else."""
    return {folder.stat().st_mode & 0o777 for folder in Home(home).private_folders}


def test_a_home_that_others_may_look_into_is_warned_about(tmp_path: Path) -> None:
    home = tmp_path / "home"
    (home / "landing" / "ledger").mkdir(parents=True)
    home.chmod(0o755)
    warning = (
        f"Warning: other users of this machine may look into {home} (mode 755). To close it: chmod go-rw"
        f" {home}\n"
    )
    receive = ["receive", "--host", "192.0.2.1"]
    assert warning in command(home, *receive, PAYWALLS_WEBHOOK_SECRET="whsec_0123456789abcdef").stderr
    assert warning in command_here(home, "status").stdout
    home.chmod(0o701)  # as the docs say, for readers of what is published
    assert "Warning" not in command_here(home, "status").stdout
    (home / "lake").chmod(0o755)
    assert f"(mode 701). To close it: chmod go= {home}/lake\n" in command_here(home, "status").stdout
    home.chmod(0o700)
    assert "Warning" not in command_here(home, "status").stdout


def test_status_on_a_home_that_can_only_be_read_says_what_it_can(
    first_run: tuple[Path, subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    home = Path(shutil.copytree(first_run[0], tmp_path / "home"))
    writable = command_here(home, "status")
    with read_only(home):
        done = command(home, "status")
        assert (done.returncode, done.stderr) == (0, "")
        assert AGO.sub("", done.stdout) == AGO.sub("", writable.stdout)
    # A run that did not publish left a build file, whose checks are reported.
    shutil.copy(home / "published" / "warehouse.duckdb", home / "warehouse.duckdb")
    (home / ".run.lock").unlink()
    with read_only(home):
        done = command(home, "status")
        assert (done.returncode, done.stderr) == (0, "")
        assert "Failed checks: none" in done.stdout
        assert not (home / ".run.lock").exists()


def test_status_says_which_part_of_a_home_it_cannot_read(
    first_run: tuple[Path, subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    home = Path(shutil.copytree(first_run[0], tmp_path / "home"))
    (home / "published" / "warehouse.duckdb").write_bytes(b"half a file")
    shutil.rmtree(home / "lake" / "_manifests")
    (home / "lake" / "_manifests").write_text("no folder", encoding="utf-8")
    done = command(home, "status")
    assert (done.returncode, done.stderr) == (0, "")
    assert "Last run: published" in done.stdout
    assert re.search(r"^Failed checks: cannot be read: .*not a valid DuckDB", done.stdout, re.MULTILINE)


def test_a_status_while_a_run_is_at_work_does_not_wait(
    first_run: tuple[Path, subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    home = Path(shutil.copytree(first_run[0], tmp_path / "home"))
    with Home(home).run_lock:
        assert "Failed checks: a run is at work" in command(home, "status").stdout


def test_a_second_run_is_refused_at_once_or_waits_as_asked(
    first_run: tuple[Path, subprocess.CompletedProcess[str]],
) -> None:
    home, _ = first_run
    running = home / "state" / "running.json"
    lock = Home(home).run_lock
    with lock:
        running.write_text(
            '{"run_id": "r-1", "process": 4711, "host": "books", "since": "2026-11-01 12:00:00 UTC"}'
        )
        refused = command(home, "run", "--no-wait", AS_OF="2026-11-01T12:00:00Z")
        waiting = WarmCommand(
            ["run"],
            cwd=home.parent,
            env=environment(home, AS_OF="2026-11-01T12:00:00Z"),
            stderr=subprocess.PIPE,
            text=True,
        )
        assert waiting.stderr is not None
        said = waiting.stderr.readline()
        assert waiting.poll() is None
    _, rest = waiting.communicate(timeout=60)
    held = f"{home} is in use by run r-1, process 4711 on books, since 2026-11-01 12:00:00 UTC"
    assert refused.returncode == 1
    assert f"{held}. Without --no-wait this one would wait for its end." in refused.stderr
    assert "Traceback" not in refused.stderr
    assert f"{held}; this one waits for its end" in said
    assert (waiting.returncode, "✓ plan" in rest) == (0, True), rest
    # What was left of the process that is gone held nobody up.
    assert not running.exists()


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])
def test_what_others_may_reach_is_reported(host: str, capsys: pytest.CaptureFixture[str]) -> None:
    warn_of_exposure(host, "Mind that.")
    warn_of_exposure("127.0.0.1", "Mind that.")
    assert (
        capsys.readouterr().err
        == f"Warning: listening on {host}, which other machines may reach. Mind that.\n"
    )


def test_dbt_by_hand_works_on_a_copy_and_the_next_run_rebuilds(published: Path, tmp_path: Path) -> None:
    home = Path(shutil.copytree(published, tmp_path / "home"))
    file = home / "published" / "warehouse.duckdb"
    before = file.read_bytes()
    assert command_here(home, "dbt").returncode == 2
    nothing = command_here(home, "dbt", "test", "--select", "no_such_model")
    assert (nothing.returncode, nothing.stdout) == (0, "dbt selected no model and no test.\n")
    failed = command_here(home, "dbt", "build", "--vars", "{")
    assert failed.returncode == 1
    assert "Traceback" not in failed.stderr
    built = command_here(home, "dbt", "run", "--select", "stg_run__settings", AS_OF=AS_OF)
    assert built.returncode == 0, built.stderr
    assert built.stdout == "1 models built, 0 tests passed\n"
    assert file.read_bytes() == before
    again = prepare_build(load_settings(_env_file=None, warehouse_home=home, as_of=AS_OF), code_version())
    assert (again.full_refresh, again.why) == (True, "full refresh: there is no finished build yet")
