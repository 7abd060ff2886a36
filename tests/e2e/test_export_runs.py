"""Exports as part of a run: what a failed one leaves, who completes it."""

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
from tests.support.builders import charge, land, ledger_file
from tests.support.export_homes import AS_OF
from tests.support.harness import RunResult, run_pipeline

pytestmark = pytest.mark.slow

LATE = ledger_file("b.jsonl", [charge("late", "2026-10-01T23:00:00Z", "0.5", model="m")])


@pytest.fixture
def home(published: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(published, tmp_path / "home"))


def settings_of(home: Path, **settings: Any) -> Settings:
    return load_settings(_env_file=None, warehouse_home=home, as_of=AS_OF, export_focus=True, **settings)


def run(home: Path, **settings: Any) -> RunResult:
    return run_pipeline(home, exports=True, as_of=AS_OF, export_focus=True, **settings)


def manifest(root: Path, dataset: str) -> Any:
    return json.loads((root / "v1" / dataset / "manifest.json").read_bytes())


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
        assert connection.execute("select count(*) from marts.fct_ledger_entries").fetchone() == (7,)
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
        # d1, d2 and c1, and now the late one.
        ("2026-10-01", 2, 4),
        ("2026-10-03", 1, 1),
        ("2026-10-04", 1, 2),
    ]
    # 1.25 of c1 and 0.5.
    assert partitions[0]["totals"]["usd"]["revenue"] == "1.750000000000"
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
