"""Faults of the machine in the middle of a run: a full disk, a home that is not ours to write, a clock that
jumps back.
"""

import re
import resource
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime, timedelta, tzinfo
from pathlib import Path
from types import ModuleType
from typing import Any

import duckdb
import pytest

from exports import catalog
from ingestion.lake.batches import Lake
from ingestion.staging import write as write_module
from orchestration import resources as warehouse
from orchestration.assets import (
    exports as export_assets,
    models as model_assets,
    published as published_asset,
    raw as raw_assets,
)
from orchestration.cli.status import status_lines
from orchestration.instance import open_instance
from paywall_warehouse import settings as settings_module
from paywall_warehouse.home import Home
from paywall_warehouse.settings import load_settings
from tests.support.builders import charge, deposit, land, ledger_file
from tests.support.command import COMMAND, environment
from tests.support.crash_drill import differences, faults_of_readers, left_overs, outcome, undisturbed
from tests.support.harness import RunResult, run_pipeline
from tests.support.shared import read_only
from warehouse import publish
from warehouse.published import published_run
from warehouse.runs import read_runs

pytestmark = [pytest.mark.slow, pytest.mark.timeout(0)]

AS_OF = "2026-10-05T12:00:00Z"
NOON = "2026-10-01T12:00:00Z"
# `c1` is in the first publication too, updated at the same time.
MORE = ledger_file(
    "more.jsonl",
    [charge("c1", "2026-10-01T09:00:00Z", "2.5"), *(charge(f"n{number}", NOON) for number in range(3000))],
)


# ---- a full disk


def run(home: Path) -> RunResult:
    """With Dagster's history in the home, as the command has it."""
    with open_instance(Home(home)) as instance:
        return run_pipeline(home, by_dbt=True, exports=True, instance=instance, as_of=AS_OF)


@contextmanager
def no_file_grows() -> Iterator[None]:
    """What a quota does, and needs no mount: no file can be made larger than 8 kB."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (8192, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)


def during(
    module: ModuleType, name: str, fault: Callable[[], AbstractContextManager[None]]
) -> Callable[..., Any]:
    """A function of the product in which a fault of the machine lasts."""
    do = getattr(module, name)

    def faulty(*arguments: Any, **named: Any) -> Any:
        with fault():
            return do(*arguments, **named)

    return faulty


def test_where_no_file_can_grow_the_run_reports_it_and_readers_keep_what_they_had(
    published: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = Path(shutil.copytree(published, tmp_path / "home"))
    before = (home / "published" / "warehouse.duckdb").read_bytes()
    land(home, [MORE])
    monkeypatch.setattr(raw_assets, "load", during(raw_assets, "load", no_file_grows))
    result = run_pipeline(home, by_dbt=True, exports=True, as_of=AS_OF)
    assert result.exit_code == 1, result
    assert "File too large" in result.output
    assert "The disk is full, or a quota is used up" in result.output
    assert "Free some space, then run again" in result.output
    assert "Traceback" not in result.output
    assert (home / "published" / "warehouse.duckdb").read_bytes() == before
    assert len(Lake(Home(home)).manifests()) == len(Lake(Home(published)).manifests())
    assert not faults_of_readers(Home(home))


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 200 MB of its own."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=200m", "tmpfs", str(place)],
        capture_output=True,
        text=True,
        check=False,
    )
    if mounted.returncode:
        pytest.skip(f"no disk can be mounted here: {mounted.stderr.strip()}")
    try:
        yield place
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)


def fill(place: Path) -> None:
    """Leave no byte free."""
    with (place / "filler").open("ab", buffering=0) as filler:
        try:
            while True:
                filler.write(bytes(1 << 16))
        except OSError:
            pass
        try:
            while True:
                filler.write(bytes(512))
        except OSError:
            pass


@pytest.mark.soak
@pytest.mark.parametrize(
    ("module", "name", "publishes"),
    [
        (raw_assets, "load", False),
        (model_assets, "plan_build", False),
        (model_assets, "finish_build", False),
        (published_asset, "check_and_publish", False),
        (export_assets, "export_published", True),
    ],
)
def test_a_full_disk_fails_the_run_with_a_reason_and_the_next_run_completes_it(
    small_disk: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    module: ModuleType,
    name: str,
    publishes: bool,
) -> None:
    home = Home(small_disk / "home")
    land(
        home.root,
        [
            ledger_file(
                "first.jsonl", [deposit("d1", NOON, "20"), charge("c1", "2026-10-01T09:00:00Z", "1.25")]
            )
        ],
    )
    assert run(home.root).exit_code == 0
    before = home.published_file.read_bytes()
    land(home.root, [MORE])
    do = getattr(module, name)

    def on_a_full_disk(*arguments: Any, **named: Any) -> Any:
        fill(small_disk)
        return do(*arguments, **named)

    with monkeypatch.context() as patch:
        patch.setattr(module, name, on_a_full_disk)
        failed = run(home.root)
    assert failed.exit_code == 1, failed
    assert "The disk is full, or a quota is used up" in failed.output
    assert "Free some space, then run again" in failed.output
    assert (home.published_file.read_bytes() == before) is not publishes
    assert ("Not published." in failed.output) is not publishes
    assert not faults_of_readers(home)
    with pytest.raises(SystemExit, match="Free some space"), open_instance(home) as instance:
        raise SystemExit(
            "Free some space"
            if run_pipeline(home.root, by_dbt=True, exports=True, instance=instance, as_of=AS_OF).exit_code
            == 1
            else "ended"
        )
    (small_disk / "filler").unlink()
    then = run(home.root)
    assert then.exit_code == 0, then
    assert not left_overs(home)
    assert not faults_of_readers(home)
    other = undisturbed(home, tmp_path / "undisturbed")
    assert run(other.root).exit_code == 0
    assert differences(outcome(other), outcome(home)) == []


# ---- not ours to write


def test_a_home_that_cannot_be_written_is_reported_in_a_sentence(published: Path, tmp_path: Path) -> None:
    home = Path(shutil.copytree(published, tmp_path / "home"))
    (home / "dagster").mkdir(exist_ok=True)
    with read_only(home):
        settings = environment(home, EXPORT_URI=str(tmp_path / "exports"))
        done = subprocess.run([COMMAND, "run"], env=settings, capture_output=True, text=True, check=False)
    assert done.returncode in (1, 2), done
    assert "Traceback" not in done.stderr
    assert re.search("(Read-only file system|Permission denied|readonly database)", done.stderr), done.stderr
    assert re.search(
        rf"This user may not write there \(home: {home}\)|WAREHOUSE_HOME '{home}' cannot be used", done.stderr
    ), done.stderr


# ---- a clock that jumps


@pytest.mark.soak
def test_a_clock_that_jumps_back_loses_nothing_and_changes_no_order(
    published: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = Home(Path(shutil.copytree(published, tmp_path / "home")))
    (first,) = read_runs(home)
    # The first run was killed when it had published, before it logged itself, while it was replacing a small
    # file.
    home.runs_file.unlink()
    (home.root / "state" / ".exported.json.4194304.partial").touch()
    land(home.root, [MORE])

    class Instants(type):
        def __instancecheck__(cls, one: object) -> bool:
            return isinstance(one, datetime)

    class Behind(datetime, metaclass=Instants):
        """Two days behind the clock of the first run."""

        @classmethod
        def now(cls, tz: tzinfo | None = None) -> datetime:  # type: ignore[override]
            return datetime.now(tz) - timedelta(days=2)

    for module in (write_module, publish, warehouse, settings_module):
        monkeypatch.setattr(module, "datetime", Behind)
    monkeypatch.setattr(catalog, "READERS_GRACE_SECONDS", 0)
    result = run_pipeline(home.root, by_dbt=True, exports=True)
    assert result.exit_code == 0, result
    assert "3,001 new records, 0 of them rejected." in result.output
    with duckdb.connect(str(home.published_file), read_only=True) as connection:
        # The version that landed later wins the tie, though its file was loaded at an earlier time.
        tied = "select cast(amount as varchar) from marts.fct_ledger_entries where entry_id = 'c1'"
        assert connection.execute(tied).fetchall() == [("2.500000000000",)]
        assert connection.execute("select count(*) from marts.fct_ledger_entries").fetchall() == [(3006,)]
        runs = connection.execute("select run_id from ops.runs order by rowid").fetchall()
    batches = Lake(home).manifests()
    assert [file.path for file in batches[-1].files] == ["ledger/more.jsonl"]
    assert batches[-1].loaded_at < batches[0].loaded_at
    settings = load_settings(_env_file=None, warehouse_home=home.root)
    last = read_runs(home)[-1]
    assert [run for (run,) in runs] == [first.run_id, last.run_id]
    assert last.finished_at < first.finished_at
    assert published_run(settings) == last.run_id
    assert not faults_of_readers(home)
    assert not left_overs_but_dagsters(home)
    reported = "\n".join(status_lines(settings))
    assert "Last run: published" in reported
    assert "Failed checks: none" in reported
    assert f"Exported: {home.exports}/v1\n" in reported
    assert last.started_at.tzinfo is UTC


def left_overs_but_dagsters(home: Home) -> list[str]:
    """The run had Dagster's history in memory."""
    (home.dagster / "history").mkdir(parents=True, exist_ok=True)
    with open_instance(home):
        return left_overs(home)
