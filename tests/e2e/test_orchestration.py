"""Dagster's side: what it shows, when nothing may be published, what is tried again."""

import base64
import os
import shutil
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

import dagster as dg
import fsspec
import pytest
from fsspec.implementations.local import LocalFileSystem

from exports.export_checks import CATALOG_CHECKS, EXPORT_CHECKS
from ingestion.sources.stripe.reports import PULLED_REPORTS
from ingestion.staging.batch import LandingFileChangedError
from orchestration import retries
from orchestration.assets.landing import stripe_key
from orchestration.assets.published import PUBLISHED
from orchestration.assets.raw import RAW_TABLES
from orchestration.automation import new_files_sensor
from orchestration.definitions import build_defs
from orchestration.instance import open_instance
from orchestration.run_lock import HOST_TAG, PROCESS_TAG, WRITER_POOL, exclusive, own_tags, settle_dead_runs
from paywall_warehouse.duckdb_connections import open_duckdb
from paywall_warehouse.settings import Settings, load_settings
from tests.support.builders import LandedFile, Raw, charge, deposit, land, ledger_file
from tests.support.export_homes import BY_DEFAULT
from tests.support.harness import run_pipeline
from tests.support.shared import in_soak
from warehouse.checks.invariants import INVARIANTS
from warehouse.code_version import code_version
from warehouse.dbt_runner import PROJECT, Dbt, build_command, dbt_arguments
from warehouse.runs import read_runs

# One worker: the home is published once.
pytestmark = pytest.mark.slow

AS_OF = "2026-10-05T12:00:00Z"
GOOD = ledger_file(
    "good.jsonl",
    [
        deposit("d1", "2026-10-01T08:00:00Z", "20"),
        charge("c1", "2026-10-02T09:00:00Z", "1.5", model="gpt-4o", provider_cost="1.1"),
    ],
)
MORE = ledger_file(
    "more.jsonl", [charge("c2", "2026-10-02T09:00:00Z", "2.5", model="gpt-4o", provider_cost="1.1")]
)


def settings_of(home: Path, **settings: Any) -> Settings:
    return load_settings(_env_file=None, warehouse_home=home, as_of=AS_OF, **settings)


@pytest.fixture(scope="module")
def published_home(tmp_path_factory: pytest.TempPathFactory, instance: dg.DagsterInstance) -> Path:
    home = tmp_path_factory.mktemp("home")
    land(home, [GOOD])
    result = run_pipeline(home, exports=True, instance=instance, as_of=AS_OF)
    assert result.exit_code == 0, result
    return home


@pytest.fixture
def home(published_home: Path, tmp_path: Path) -> Path:
    """A copy of the published home, to work on."""
    return Path(shutil.copytree(published_home, tmp_path / "home"))


@pytest.fixture(scope="module")
def defs(published_home: Path) -> dg.Definitions:
    return build_defs(settings_of(published_home, reporting_timezone="Europe/Berlin"))


def published_bytes(home: Path) -> bytes:
    return (home / "published" / "warehouse.duckdb").read_bytes()


def blocking_checks(defs: dg.Definitions) -> dict[str, bool]:
    """Whether each check of a name stops what depends on its asset."""
    graph = defs.resolve_asset_graph()
    return {key.name: graph.get(key).blocking for key in graph.asset_check_keys}


def failure(instance: dg.DagsterInstance) -> tuple[str, dict[str, Any]]:
    """The description and the metadata that Dagster's page of the only run shows for its failed step."""
    (run,) = instance.get_runs()
    (record,) = instance.event_log_storage.get_logs_for_run(
        run.run_id, of_type=dg.DagsterEventType.STEP_FAILURE
    )
    assert record.dagster_event is not None
    shown = record.dagster_event.step_failure_data.user_failure_data
    assert shown is not None
    metadata = {
        name: [[record.data[column.name] for column in entry.schema.columns] for record in entry.records]
        if isinstance(entry, dg.TableMetadataValue)
        else entry.value
        for name, entry in shown.metadata.items()
    }
    return str(shown.description), metadata


def materialized(instance: dg.DagsterInstance) -> set[str]:
    """The first part of the key of every asset that has a materialization."""
    return {
        key.path[0] for key in instance.get_asset_keys() if instance.get_latest_materialization_event(key)
    }


def materialization(instance: dg.DagsterInstance, *key: str) -> dg.AssetMaterialization:
    event = instance.get_latest_materialization_event(dg.AssetKey(list(key)))
    assert event is not None
    assert event.asset_materialization is not None
    return event.asset_materialization


# ---- what Dagster shows


def test_every_asset_says_what_it_is_and_whose(defs: dg.Definitions) -> None:
    graph = defs.resolve_asset_graph()
    for key in graph.get_all_asset_keys():
        node = graph.get(key)
        assert node.group_name != "default", key
        assert node.owners == ["team:finance-data"], key
        assert node.description, key
        assert node.kinds, key


def test_lineage_runs_from_landing_files_to_the_published_warehouse(defs: dg.Definitions) -> None:
    graph = defs.resolve_asset_graph()
    before = graph.get_ancestor_asset_keys(PUBLISHED)
    exports = {dg.AssetKey(["exports", name]) for name in (*BY_DEFAULT, "catalog")}
    assert before == graph.get_all_asset_keys() - {PUBLISHED} - exports
    assert PUBLISHED in graph.get_ancestor_asset_keys(dg.AssetKey(["exports", "catalog"]))
    assert {
        dg.AssetKey(["landing", name]) for name in ("ledger", "events", "prices")
    } <= graph.external_asset_keys


def test_every_invariant_and_every_dbt_test_is_an_asset_check(
    defs: dg.Definitions, published_home: Path
) -> None:
    checks = defs.resolve_asset_graph().asset_check_keys
    assert {key.name for key in checks if key.asset_key == PUBLISHED} == set(INVARIANTS)
    nodes = Dbt(settings_of(published_home)).prepare_manifest()["nodes"].values()
    tests = {node["name"] for node in nodes if node["resource_type"] == "test"}
    assert {key.name for key in checks if key.asset_key.path[0] not in ("published", "exports")} == tests
    for name in BY_DEFAULT:
        assert {key.name for key in checks if key.asset_key.path == ["exports", name]} == set(EXPORT_CHECKS)
    assert {key.name for key in checks if key.asset_key.path == ["exports", "catalog"]} == set(CATALOG_CHECKS)


def test_a_check_is_blocking_if_its_failure_stops_a_publication(
    defs: dg.Definitions, published_home: Path
) -> None:
    blocking = blocking_checks(defs)
    nodes = Dbt(settings_of(published_home)).prepare_manifest()["nodes"].values()
    warning_tests = {
        node["name"]
        for node in nodes
        if node["resource_type"] == "test" and node["config"]["severity"].lower() == "warn"
    }
    with open_duckdb(published_home / "published" / "warehouse.duckdb", read_only=True) as connection:
        warnings = connection.execute(
            "select distinct name from ops.invariants where severity = 'warn'"
        ).fetchall()
    assert {name for (name,) in warnings} == {
        "cached_tokens_are_part_of_prompt_tokens",
        "requests_are_logged_by_one_source",
        "deposit_keys_are_read",
        "priority_1_breaks",
        "stripe_returns_have_a_payment",
        "expiries_find_credit",
        "bill_statements_agree",
        "billed_models_are_known",
        "priority_1_cost_breaks",
    }
    assert warning_tests
    assert {name for name, is_blocking in blocking.items() if not is_blocking} == {
        *(name for (name,) in warnings),
        *warning_tests,
        "no_file_without_entry",
    }


def test_open_breaks_of_priority_1_are_blocking_if_the_settings_say_so(tmp_path: Path) -> None:
    strict = build_defs(settings_of(tmp_path, priority_1_breaks="fail"))
    assert blocking_checks(strict)["priority_1_breaks"]


def test_the_schedule_runs_at_night_in_reporting_time(defs: dg.Definitions) -> None:
    schedule = defs.resolve_schedule_def("daily")
    assert (schedule.cron_schedule, schedule.execution_timezone) == ("30 2 * * *", "Europe/Berlin")


def test_steps_that_write_share_one_pool(defs: dg.Definitions) -> None:
    job = defs.resolve_job_def("refresh")
    assert {node.definition.pool for node in job.nodes} == {"writer"}  # type: ignore[union-attr]


def test_the_published_asset_shows_kpis_a_plot_and_counts(
    published_home: Path, instance: dg.DagsterInstance
) -> None:
    shown = materialization(instance, "published", "warehouse").metadata
    assert "| usd | Revenue | 1.50 |" in str(shown["KPIs"].value)
    plots = str(shown["plots"].value)
    assert plots.startswith("![Revenue and cost coverage by day, money at risk](data:image/svg+xml;base64,")
    svg = base64.b64decode(plots.partition("base64,")[2].removesuffix(")")).decode()
    # The deposit names no payment.
    assert "20 usd in 1 case, 20 of it with priority 1" in svg
    assert [shown[name].value for name in ("breaks", "breaks of priority 1")] == [1, 1]
    assert (shown["new records"].value, shown["rejected"].value) == (2, 0)
    assert "| fct_ledger_entries | 2 |" in str(shown["rows"].value)


def test_tables_show_their_rows(published_home: Path, instance: dg.DagsterInstance) -> None:
    for key, rows in (
        (("raw", "ledger_entries"), 2),
        (("marts", "fct_ledger_entries"), 2),
        (("marts", "fct_wallet_days"), 2),
    ):
        assert materialization(instance, *key).metadata["dagster/row_count"].value == rows, key


def test_each_dataset_shows_rows_changes_bytes_and_its_manifest(
    published_home: Path, instance: dg.DagsterInstance
) -> None:
    shown = materialization(instance, "exports", "ledger").metadata
    assert shown["dagster/row_count"].value == 2
    # Two days in two formats.
    assert (shown["changed partitions"].value, shown["files written"].value) == (2, 4)
    files = list((published_home / "exports/v1/ledger").rglob("part-*"))
    assert shown["bytes"].value == sum(file.stat().st_size for file in files)
    assert shown["manifest"].value == str(published_home / "exports/v1/ledger/manifest.json")
    assert "| 2026-10-01 | 1 | 1 |" in str(shown["changed"].value)


def test_the_checks_of_every_export_have_results(published_home: Path, instance: dg.DagsterInstance) -> None:
    for name in BY_DEFAULT:
        for check in ("totals_equal_the_mart", "files_are_whole"):
            key = dg.AssetCheckKey(dg.AssetKey(["exports", name]), check)
            record = instance.event_log_storage.get_latest_asset_check_execution_by_key([key])[key]
            assert record.status.value == "SUCCEEDED", key


SOURCES_OF_FILES = sorted(table.name for table in RAW_TABLES)


def counts(instance: dg.DagsterInstance, table: str) -> list[Any]:
    shown = materialization(instance, "raw", table).metadata
    names = ("dagster/row_count", "new files", "new records", "rejected", "rejected in total")
    return [shown[name].value for name in names]


def test_every_source_states_its_counts_also_if_nothing_landed(
    published_home: Path, instance: dg.DagsterInstance
) -> None:
    assert {table: counts(instance, table) for table in SOURCES_OF_FILES} == {
        table: [2, 1, 2, 0, 0] if table == "ledger_entries" else [0] * 5 for table in SOURCES_OF_FILES
    }
    for stripe_report in PULLED_REPORTS:
        shown = materialization(instance, *stripe_key(stripe_report).path).metadata
        assert [shown[name].value for name in ("new files", "runs created")] == [0, 0]


# ---- when nothing may be published


def copied_project(place: Path) -> Path:
    """The dbt project without unit tests, which no build runs, and which take dbt seconds to parse."""
    ignored = shutil.ignore_patterns("*_unit_tests.yml", "target")
    return Path(shutil.copytree(PROJECT, place / "dbt_project", ignore=ignored))


@pytest.fixture(scope="module")
def doubting_project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The dbt project with a test on its last mart that never holds."""
    project = copied_project(tmp_path_factory.mktemp("dbt"))
    (project / "tests" / "revenue_is_doubted.sql").write_text(
        "select entry_id from {{ ref('fct_ledger_entries') }}", encoding="utf-8"
    )
    return project


def test_a_failed_dbt_test_publishes_nothing(home: Path, doubting_project: Path) -> None:
    before = published_bytes(home)
    land(home, [MORE])
    with dg.DagsterInstance.ephemeral() as instance:
        result = run_pipeline(
            home, exports=True, instance=instance, overrides={"project": doubting_project}, as_of=AS_OF
        )
        assert result.exit_code == 1
        description, metadata = failure(instance)
        assert description.startswith(
            "Nothing is published: 1 of dbt's models and tests failed: test revenue_is_doubted (3 rows).\n"
        )
        ((name, rows, message),) = metadata["failed models and tests"]
        assert (name, rows, message[:13]) == ("test revenue_is_doubted", "3", "Got 3 results")
        assert not {"published", "exports"} & materialized(instance)
        assert "test revenue_is_doubted: Got 3 results" in result.output
        assert "fct_ledger_entries" in result.output.partition("To look further")[2]
        assert "was not changed" in result.output
        assert instance.get_latest_materialization_event(PUBLISHED) is None
    assert published_bytes(home) == before
    assert [run.status for run in read_runs(settings_of(home).home)] == ["published", "failed"]


@pytest.mark.soak
def test_a_build_that_did_not_end_is_not_published_later_on_its_own(
    home: Path, doubting_project: Path
) -> None:
    before = published_bytes(home)
    land(home, [MORE])
    run_pipeline(home, by_dbt=True, overrides={"project": doubting_project}, as_of=AS_OF)
    job = build_defs(settings_of(home)).resolve_implicit_global_asset_job_def()
    result = job.execute_in_process(asset_selection=[PUBLISHED], raise_on_error=False)
    assert not result.success
    assert published_bytes(home) == before
    assert run_pipeline(home, by_dbt=True, as_of=AS_OF).exit_code == 0
    assert published_bytes(home) != before


@pytest.mark.soak
def test_a_model_that_cannot_be_built_publishes_nothing(home: Path, tmp_path: Path) -> None:
    project = copied_project(tmp_path)
    model = project / "models" / "marts" / "usage" / "dim_paywalls.sql"
    model.write_text(model.read_text(encoding="utf-8") + "\nwhere no_such_column", encoding="utf-8")
    before = published_bytes(home)
    land(home, [MORE])
    result = run_pipeline(home, by_dbt=True, overrides={"project": project}, as_of=AS_OF)
    assert result.exit_code == 1
    assert "model dim_paywalls" in result.output
    assert "no_such_column" in result.output
    assert published_bytes(home) == before


def test_an_invariant_that_does_not_hold_publishes_nothing(home: Path) -> None:
    before = published_bytes(home)
    land(home, [ledger_file("b|d.jsonl", [charge("c3", "2026-10-02T09:00:00Z"), Raw("{broken")])])
    with dg.DagsterInstance.ephemeral() as instance:
        result = run_pipeline(home, exports=True, instance=instance, as_of=AS_OF)
        assert result.exit_code == 1
        description, metadata = failure(instance)
        assert description.startswith(
            "Nothing is published: 1 of the 2 records that are not published yet were rejected (50 %, allowed"
            " 1 %): 1 of 2 records of ledger/b|d.jsonl (1 × invalid_json). First: ledger/b|d.jsonl:2: "
        )
        assert metadata["failed checks"] == [["reject_ratio", "all", "0.01", "0.5", "0.49"]]
        ((*cells, reason),) = metadata["rejected files"]
        assert cells == ["ledger/b|d.jsonl", "1", "2", "invalid_json", "2"]
        assert reason
        assert metadata["rejected records"] == 1
        assert counts(instance, "ledger_entries") == [3, 1, 2, 1, 1]
        assert not {"published", "exports"} & materialized(instance)
        assert "reject_ratio (all): expected 0.01, actual 0.5" in result.output
        assert "raw.rejected_records" in result.output
        assert instance.get_latest_materialization_event(PUBLISHED) is None
        (run,) = instance.get_runs()
        records = instance.event_log_storage.get_logs_for_run(
            run.run_id, of_type=dg.DagsterEventType.ASSET_CHECK_EVALUATION
        )
        evaluations = [
            record.dagster_event.asset_check_evaluation_data for record in records if record.dagster_event
        ]
        own = {one.check_name: one.passed for one in evaluations if one.asset_key == PUBLISHED}
    # The deposit names no payment, and none was landed: an open break, which only warns.
    assert own == {name: name not in ("reject_ratio", "priority_1_breaks") for name in INVARIANTS}
    assert published_bytes(home) == before


def test_a_run_with_nothing_new_builds_and_publishes_nothing_and_reports_that(
    home: Path, caplog: pytest.LogCaptureFixture
) -> None:
    before = published_bytes(home)
    with dg.DagsterInstance.ephemeral() as instance:
        result = run_pipeline(home, by_dbt=True, instance=instance, as_of=AS_OF)
        assert (result.exit_code, "Nothing new" in result.output) == (0, True)
        # Dagster warns about the blocking checks of the steps that it skips.
        assert "Blocking asset check" not in caplog.text + result.output
        assert {table: counts(instance, table) for table in SOURCES_OF_FILES} == {
            table: [2 if table == "ledger_entries" else 0, 0, 0, 0, 0] for table in SOURCES_OF_FILES
        }
        assert instance.get_latest_materialization_event(dg.AssetKey(["marts", "fct_ledger_entries"])) is None
        assert instance.get_latest_materialization_event(PUBLISHED) is None
    assert published_bytes(home) == before
    assert len(read_runs(settings_of(home).home)) == 1


# ---- what is tried again


class EndpointConnectionError(Exception):
    """As botocore's class of that name, which this project does not install."""


@pytest.mark.parametrize(
    ("error", "helps"),
    [
        (ConnectionResetError("reset"), True),
        (TimeoutError("too slow"), True),
        (OSError(101, "network is unreachable"), True),
        (EndpointConnectionError("no route"), True),
        (LandingFileChangedError("still being written"), True),
        (FileNotFoundError(2, "no such file"), False),
        (PermissionError(13, "permission denied"), False),
        (OSError(28, "no space left on device"), False),
        (ValueError("a broken rule"), False),
    ],
)
def test_only_what_passes_by_itself_is_tried_again(error: Exception, helps: bool) -> None:
    assert retries.is_transient(error) is helps


def test_waits_grow_and_end() -> None:
    assert [retries.seconds_to_wait(retry) for retry in range(retries.MAX_RETRIES)] == [5, 15, 45, 135]


class FlakyFileSystem(LocalFileSystem):
    """A landing area behind a network that fails as often as `failures` says."""

    protocol = "flaky"
    failures = 0

    def find(self, path: str, *args: Any, **options: Any) -> Any:
        if type(self).failures:
            type(self).failures -= 1
            raise ConnectionResetError("connection reset by peer")
        return super().find(path, *args, **options)


def flaky_run(home: Path, failures: int, monkeypatch: pytest.MonkeyPatch) -> Any:
    fsspec.register_implementation("flaky", FlakyFileSystem, clobber=True)
    monkeypatch.setattr(retries, "FIRST_WAIT_SECONDS", 0)
    FlakyFileSystem.failures = failures
    return run_pipeline(home, by_dbt=True, landing_uri=f"flaky://{home}/landing", as_of=AS_OF)


@pytest.mark.parametrize(("files", "words"), [([], "Nothing new"), *in_soak(([MORE], "1 new records"))])
def test_a_run_outlives_a_network_that_comes_back(
    home: Path, monkeypatch: pytest.MonkeyPatch, files: list[LandedFile], words: str
) -> None:
    land(home, files)
    result = flaky_run(home, 2, monkeypatch)
    assert FlakyFileSystem.failures == 0
    assert (result.exit_code, words in result.output) == (0, True), result


def test_a_network_that_stays_away_fails_the_run(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    land(home, [MORE])
    result = flaky_run(home, 99, monkeypatch)
    assert FlakyFileSystem.failures == 99 - (1 + retries.MAX_RETRIES)
    assert (result.exit_code, "connection reset by peer" in result.output) == (1, True)


# ---- who works when


def evaluate_sensor(home: Path) -> Any:
    with dg.DagsterInstance.ephemeral() as instance:
        return new_files_sensor(settings_of(home))(dg.build_sensor_context(instance=instance))


def test_new_files_start_one_run_and_known_ones_none(home: Path) -> None:
    assert isinstance(evaluate_sensor(home), dg.SkipReason)
    land(home, [MORE])
    first = evaluate_sensor(home)
    assert isinstance(first, dg.RunRequest)
    assert evaluate_sensor(home).run_key == first.run_key
    land(home, [ledger_file("third.jsonl", [charge("c9", "2026-10-03T09:00:00Z")])])
    assert evaluate_sensor(home).run_key != first.run_key


def test_a_run_waits_for_the_one_before(tmp_path: Path) -> None:
    home, order = settings_of(tmp_path).home, []
    holding, leave = threading.Event(), threading.Event()

    def first() -> None:
        with exclusive(home, "first", None, dg.get_dagster_logger()):
            holding.set()
            leave.wait(10)
            order.append("first")

    def second() -> None:
        with exclusive(home, "second", None, dg.get_dagster_logger()):
            order.append("second")

    threads = [threading.Thread(target=first), threading.Thread(target=second)]
    threads[0].start()
    holding.wait(10)
    threads[1].start()
    leave.set()
    for thread in threads:
        thread.join(10)
    assert order == ["first", "second"]


def test_a_run_whose_process_died_does_not_count_as_running(tmp_path: Path) -> None:
    home = settings_of(tmp_path).home
    with dg.DagsterInstance.ephemeral() as instance:
        run = instance.create_run_for_job(dg.GraphDefinition(name="nothing").to_job())
        instance.report_run_canceling(run)
        (home.root / "state").mkdir()
        (home.root / "state" / "running.json").write_text(f'{{"run_id": "{run.run_id}"}}', encoding="utf-8")
        settle_dead_runs(home, instance)
        settled = instance.get_run_by_id(run.run_id)
        assert settled is not None
        assert settled.status is dg.DagsterRunStatus.FAILURE
    assert not (home.root / "state" / "running.json").exists()


def test_a_run_whose_process_died_before_it_held_the_lock_does_not_count_as_running(tmp_path: Path) -> None:
    home = settings_of(tmp_path).home
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    job = dg.GraphDefinition(name="nothing").to_job()
    with open_instance(home) as instance:
        died, lives = (own_tags() | {PROCESS_TAG: str(number)} for number in (dead.pid, os.getppid()))
        # In another container the number is that of another process.
        tags_of_runs = (died, lives, died | {HOST_TAG: "another"}, {})
        runs = [instance.create_run_for_job(job, tags=tags) for tags in tags_of_runs]
    with open_instance(home) as instance:
        found = [run.status.value for one in runs if (run := instance.get_run_by_id(one.run_id))]
    assert found == ["FAILURE", "NOT_STARTED", "NOT_STARTED", "NOT_STARTED"]


def test_a_slot_of_a_dead_run_delays_no_other_run(tmp_path: Path) -> None:
    """Dagster's own storage breaks down where the disk is full: nobody says any more that the run has
    ended.
    """
    home = settings_of(tmp_path).home
    with open_instance(home) as instance:
        storage = instance.event_log_storage
        storage.set_concurrency_slots(WRITER_POOL, 1)
        storage.claim_concurrency_slot(WRITER_POOL, "a run that nobody remembers", "a step")
        run = instance.create_run_for_job(dg.GraphDefinition(name="nothing").to_job())
        instance.report_run_canceling(run)
        with suppress(OSError), exclusive(home, run.run_id, instance, dg.get_dagster_logger()):
            assert storage.claim_concurrency_slot(WRITER_POOL, run.run_id, "a step").is_claimed
            raise OSError("disk is full")
        with exclusive(home, "next", instance, dg.get_dagster_logger()):
            assert storage.claim_concurrency_slot(WRITER_POOL, "next", "a step").is_claimed
            settled = instance.get_run_by_id(run.run_id)
            assert settled is not None
            assert settled.status is dg.DagsterRunStatus.FAILURE


# ---- arguments


def test_dbt_writes_under_the_home_only(tmp_path: Path) -> None:
    arguments = dbt_arguments(
        Path("/project"), settings_of(tmp_path).home, "duckdb", *build_command(full_refresh=True)
    )
    assert arguments[:4] == ["build", "--exclude-resource-type", "unit_test", "--full-refresh"]
    assert arguments[arguments.index("--target-path") + 1] == f"{tmp_path}/dbt/target"
    assert arguments[arguments.index("--log-path") + 1] == f"{tmp_path}/dbt/logs"


def test_the_code_version_names_the_distribution_and_the_code() -> None:
    distribution, _, digest = code_version().partition("+")
    assert distribution.count(".") == 2
    assert len(digest) == 12
