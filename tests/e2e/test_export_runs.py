"""Exports as part of a run: what Dagster shows of them, what a failed one leaves, who completes it."""

import json
import shutil
from pathlib import Path
from typing import Any

import dagster as dg
import duckdb
import pytest

from exports.export_records import is_exported
from orchestration.automation import unfinished_exports_sensor
from paywall_warehouse.settings import Settings, load_settings
from tests.support.builders import charge, deposit, land, ledger_file
from tests.support.export_homes import BY_DEFAULT
from tests.support.harness import RunResult, run_pipeline

pytestmark = pytest.mark.slow

AS_OF = "2026-10-05T12:00:00Z"
FIRST = ledger_file(
    "a.jsonl",
    [deposit("d1", "2026-10-01T08:00:00Z", "20"), charge("c1", "2026-10-02T09:00:00Z", "1.5", model="m")],
)
LATE = ledger_file("b.jsonl", [charge("late", "2026-10-01T23:00:00Z", "0.5", model="m")])


@pytest.fixture(scope="module")
def exported_home(tmp_path_factory: pytest.TempPathFactory, instance: dg.DagsterInstance) -> Path:
    home = tmp_path_factory.mktemp("exported") / "home"
    land(home, [FIRST])
    done = run_pipeline(home, exports=True, instance=instance, as_of=AS_OF)
    assert done.exit_code == 0, done
    return home


@pytest.fixture
def home(exported_home: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(exported_home, tmp_path / "home"))


def settings_of(home: Path, **settings: Any) -> Settings:
    return load_settings(_env_file=None, warehouse_home=home, as_of=AS_OF, **settings)


def run(home: Path, **settings: Any) -> RunResult:
    return run_pipeline(home, exports=True, as_of=AS_OF, **settings)


def manifest(root: Path, dataset: str) -> Any:
    return json.loads((root / "v1" / dataset / "manifest.json").read_bytes())


def test_each_dataset_shows_rows_changes_bytes_and_its_manifest(
    exported_home: Path, instance: dg.DagsterInstance
) -> None:
    event = instance.get_latest_materialization_event(dg.AssetKey(["exports", "ledger"]))
    assert event is not None
    assert event.asset_materialization is not None
    shown = event.asset_materialization.metadata
    assert shown["dagster/row_count"].value == 2
    # Two days in two formats.
    assert (shown["changed partitions"].value, shown["files written"].value) == (2, 4)
    files = list((exported_home / "exports/v1/ledger").rglob("part-*"))
    assert shown["bytes"].value == sum(file.stat().st_size for file in files)
    assert shown["manifest"].value == str(exported_home / "exports/v1/ledger/manifest.json")
    assert "| 2026-10-01 | 1 | 1 |" in str(shown["changed"].value)


def test_the_checks_of_every_export_have_results(exported_home: Path, instance: dg.DagsterInstance) -> None:
    for name in BY_DEFAULT:
        for check in ("totals_equal_the_mart", "files_are_whole"):
            key = dg.AssetCheckKey(dg.AssetKey(["exports", name]), check)
            record = instance.event_log_storage.get_latest_asset_check_execution_by_key([key])[key]
            assert record.status.value == "SUCCEEDED", key


def test_an_export_that_fails_leaves_the_publication_and_the_next_run_completes_it(
    home: Path, tmp_path: Path
) -> None:
    in_the_way = tmp_path / "in the way"
    in_the_way.write_text("a file, no folder", encoding="utf-8")
    land(home, [LATE])
    failed = run(home, export_uri=str(in_the_way / "exports"))
    assert failed.exit_code == 1
    assert "Not a directory" in failed.output
    assert (
        f"Published: {home}/published/warehouse.duckdb.\nNot exported completely: consumers of"
        f" {in_the_way}/exports" in failed.output
    )
    with duckdb.connect(str(home / "published" / "warehouse.duckdb"), read_only=True) as connection:
        assert connection.execute("select count(*) from marts.fct_ledger_entries").fetchone() == (3,)
    # A late entry restates its own day, and the run says so.
    before = (home / "exports/v1/usage_errors/manifest.json").read_bytes()
    then = run(home)
    assert (
        then.exit_code,
        "Nothing new: " in then.output,
        f"Exported: {home}/exports/v1" in then.output,
    ) == (0, True, True), then
    assert "2026-10-01 changed, 2 files" in then.output
    partitions = manifest(home / "exports", "ledger")["partitions"]
    assert [(one["date"], one["revision"], one["rows"]) for one in partitions] == [
        ("2026-10-01", 2, 2),
        ("2026-10-02", 1, 1),
    ]
    assert partitions[0]["totals"]["usd"]["revenue"] == "0.500000000000"
    assert (home / "exports/v1/usage_errors/manifest.json").read_bytes() == before


@pytest.mark.soak
def test_a_run_that_may_not_publish_exports_nothing(home: Path) -> None:
    before = {file: file.stat().st_mtime_ns for file in (home / "exports").rglob("*")}
    land(home, [ledger_file("bad.jsonl", [charge("c9", "2026-10-02T09:00:00Z", "no amount")])])
    done = run(home)
    assert (done.exit_code, "reject_ratio" in done.output) == (1, True)
    assert {file: file.stat().st_mtime_ns for file in (home / "exports").rglob("*")} == before


def test_a_sensor_completes_an_export_that_was_cut_short(home: Path) -> None:
    settings = settings_of(home)
    with dg.DagsterInstance.ephemeral() as instance, dg.build_sensor_context(instance) as context:
        assert isinstance(unfinished_exports_sensor(settings)(context), dg.SkipReason)
        # As a run leaves it that was killed after it had published.
        settings.home.exported_file.unlink()
        assert not is_exported(settings)
        request = unfinished_exports_sensor(settings)(context)
        assert isinstance(request, dg.RunRequest)
        with settings.home.run_lock.acquire(blocking=False):
            assert isinstance(unfinished_exports_sensor(settings)(context), dg.SkipReason)


@pytest.mark.soak
def test_removed_exports_are_rebuilt_by_a_run_with_nothing_new(home: Path) -> None:
    before = {
        file.relative_to(home): file.read_bytes() for file in (home / "exports").rglob("*") if file.is_file()
    }
    shutil.rmtree(home / "exports")
    assert run(home).exit_code == 0
    assert {
        file.relative_to(home): file.read_bytes() for file in (home / "exports").rglob("*") if file.is_file()
    } == before
