"""Runs that find nothing new and end before Dagster and dbt are imported: what makes a run necessary, what
such a run leaves alone, and how it is recorded.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime
from importlib import resources
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from ingestion.lake.batches import DiscardedFile, Lake
from ingestion.lake.erasures import Registry, write_registry
from ingestion.lake.period_acts import CLOSE, Act, append_act, lines_digest
from ingestion.landing.area import Landing
from ingestion.pulls.failures import note_failure
from ingestion.sources.mappings import mapping
from ingestion.sources.registry import sources
from orchestration import idle
from orchestration.cli import idle_run
from orchestration.cli.idle_run import end_if_idle
from orchestration.cli.status import status_lines
from orchestration.idle import reason_to_run
from orchestration.idle_runs import IDLE_TAG, IdleRun, has_waiting, note_idle_run, read_idle_runs
from orchestration.instance import open_instance
from orchestration.run_lock import holder_file
from paywall_warehouse.home import Home
from paywall_warehouse.settings import Settings
from tests.support.builders import charge, land, ledger_file
from tests.support.command import environment
from tests.support.export_homes import AS_OF, settings_of
from tests.support.harness import run_pipeline
from warehouse.alerts.state import Alert, State, write_state
from warehouse.price_book import resolve_price_book


@pytest.fixture(scope="module")
def made(published: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A published and exported home with a history of Dagster's, as its last run left it."""
    home = tmp_path_factory.mktemp("idle") / "home"
    shutil.copytree(published, home)
    home.chmod(0o700)
    settings = settings_of(home, as_of=AS_OF)
    landing, lake = Landing.of(settings), Lake(settings.home)
    # The copies of the landed files have other inodes.
    here = {
        (name, file.path): file.fingerprint
        for name, source in sources(settings.home).items()
        for file in source.files(landing)
    }
    for manifest in lake.manifests():
        files = [replace(file, fingerprint=here[file.source, file.path]) for file in manifest.files]
        lake.restate(replace(manifest, files=files))
    resolve_price_book(settings)
    open_instance(settings.home).dispose()
    return home


@pytest.fixture
def home(made: Path, tmp_path: Path) -> Home:
    return copied(made, tmp_path)


def copied(made: Path, folder: Path) -> Home:
    return Home(Path(shutil.copytree(made, folder / "home", ignore=shutil.ignore_patterns("dbt", "tmp"))))


def reason(home: Home, **settings: Any) -> str | None:
    return reason_to_run(settings_of(home.root, **{"as_of": AS_OF} | settings))


def content_of(folder: Path) -> dict[str, tuple[bytes, int, int]]:
    """The files below a folder, with what would change if one of them were written again."""
    return {
        str(file.relative_to(folder)): (file.read_bytes(), file.stat().st_ino, file.stat().st_mtime_ns)
        for file in folder.rglob("*")
        if file.is_file()
    }


# ---- what makes a run necessary


def test_nothing_to_do_if_nothing_has_changed(made: Path) -> None:
    assert reason(Home(made)) is None


def another_name(home: Home) -> None:
    shutil.copyfile(home.landing / "ledger/a.jsonl", home.landing / "ledger/again.jsonl")


def removed_file(home: Home) -> None:
    (home.landing / "ledger/a.jsonl").unlink()


def unread_file(home: Home) -> None:
    """The summary of every run warns about it."""
    (home.landing / "leger").mkdir()
    (home.landing / "leger/a.jsonl").write_text("{}\n")


@pytest.mark.parametrize("change", [lambda _: None, another_name, removed_file, unread_file])
def test_no_reason_where_a_run_would_load_and_build_nothing(
    home: Home, change: Callable[[Home], None]
) -> None:
    """The home is a copy, so the landed files are known by their content only."""
    change(home)
    assert reason(home) is None


def new_file(home: Home) -> None:
    land(home.root, [ledger_file("b.jsonl", [charge("c9", "2026-10-02T09:00:00Z")])])


def same_size(home: Home) -> None:
    file = home.landing / "ledger/a.jsonl"
    text = file.read_text().replace('"1.25"', '"1.26"')
    assert text != file.read_text()
    file.write_text(text)


def open_segment(home: Home) -> None:
    segment = home.landing / "events/received/2026-10-05/20261005T110000.000000Z-00000000.jsonl.part"
    segment.parent.mkdir(parents=True)
    segment.write_text("{}\n")


def failed_pull(home: Home) -> None:
    note_failure(home, "stripe/payouts.itemized", datetime.now(UTC), "no answer")


def own_pull(home: Home) -> None:
    """A mapping that is not shipped pulls, or fails, even if its variable is not set."""
    home.mappings.mkdir()
    shipped = resources.files(mapping.__package__).joinpath(mapping.SHIPPED, "litellm_spend_logs.yml")
    (home.mappings / "ours.yml").write_text(shipped.read_text("utf-8"))


def begun_erasure(home: Home) -> None:
    registry = Registry("00" * 32)
    write_registry(home, registry.with_erasure(registry.begun("=bob")))


def other_yaml(home: Home) -> None:
    with (home.dagster / "dagster.yaml").open("a") as file:
        file.write("# changed\n")


def no_history(home: Home) -> None:
    (home.dagster / "history/runs.db").unlink()


def damaged_history(home: Home) -> None:
    (home.dagster / "history/runs.db").write_bytes(b"not a database" * 100)


def unfinished_run(home: Home) -> None:
    with open_instance(home) as instance:
        instance.run_storage.add_run(dg.DagsterRun("refresh", status=dg.DagsterRunStatus.STARTED))


def stale_mapping(home: Home) -> None:
    restate_first(home, source="litellm_spend_logs", mapping="of another text")


def waiting_rows(home: Home) -> None:
    lake = Lake(home)
    first = restate_first(home, source="stripe_credits", mapping=digest_of("stripe_credits"))
    lake.restate(replace(first, outside=1))


def restate_first(home: Home, **values: Any) -> Any:
    lake = Lake(home)
    first = lake.manifests()[0]
    changed = replace(first, files=[replace(first.files[0], **values), *first.files[1:]])
    lake.restate(changed)
    return changed


def digest_of(name: str) -> str:
    found = sources(None)[name].mapping
    assert found is not None
    return found.digest


def discarded_file(home: Home) -> None:
    lake, landing = Lake(home), Landing.of(settings_of(home.root))
    [file] = sources(home)["ledger"].files(landing)
    first = lake.manifests()[0]
    gone = DiscardedFile("ledger", file.path, None, file.fingerprint)
    lake.restate(replace(first, discarded=[gone]))


def touched_publication(home: Home) -> None:
    os.utime(home.published_file, ns=(1, 1))


def build_file(home: Home) -> None:
    shutil.copyfile(home.published_file, home.build_file)


def unfinished_build(home: Home) -> None:
    home.unfinished_build.touch()


def no_rates(home: Home) -> None:
    (Lake(home).price_book / "model_rates.parquet").unlink()


def other_rates(home: Home) -> None:
    (Lake(home).price_book / "inputs.sha256").write_text("of another version of genai-prices")


def other_limits(home: Home) -> None:
    lake = Lake(home)
    lake.restate(replace(lake.manifests()[0], limits="others"))
    # As if the price book had been resolved since.
    resolve_price_book(settings_of(home.root, as_of=AS_OF))


def closed_month(home: Home) -> None:
    act = Act(0, CLOSE, date(2026, 9, 1), datetime(2026, 10, 5, tzinfo=UTC), "a", None, lines_digest([]), 0)
    assert append_act(home, act)


def opened_alert(home: Home) -> None:
    opened_at = datetime(2026, 10, 5, 11, tzinfo=UTC)
    write_state(home, State((Alert("a1", 1, "rule", "scope", opened_at, opened_at, "opened", "scope"),)))


def lost_export(home: Home) -> None:
    next((home.exports / "v1/ledger").rglob("*.parquet")).unlink()


def no_catalog(home: Home) -> None:
    (home.exports / "v1/catalog.json").unlink()


OUTDATED = "the published file is not up to date"


@pytest.mark.parametrize(
    ("change", "settings", "words"),
    [
        (new_file, {}, "a landed file is new"),
        (same_size, {}, "a landed file is new or has changed"),
        (open_segment, {}, "not sealed"),
        (failed_pull, {}, "a pull has failed"),
        (own_pull, {}, "a pull is configured"),
        (None, {"stripe_api_key": "rk_test_1"}, "a pull is configured"),
        (None, {"openai_admin_key": "key"}, "a pull is configured"),
        (None, {"anthropic_admin_key": "key"}, "a pull is configured"),
        (None, {"openrouter_management_key": "key"}, "a pull is configured"),
        (None, {"warehouse_target": "spark"}, "on a cluster"),
        (begun_erasure, {}, "an erasure was interrupted"),
        (other_yaml, {}, "dagster.yaml was changed"),
        (no_history, {}, "a run that has not ended"),
        (damaged_history, {}, "Dagster's home cannot be read"),
        (unfinished_run, {}, "a run that has not ended"),
        (stale_mapping, {}, "the mapping litellm_spend_logs has changed"),
        (waiting_rows, {}, "may wait for the user"),
        (discarded_file, {}, "a discarded file"),
        (touched_publication, {}, OUTDATED),
        (build_file, {}, OUTDATED),
        (unfinished_build, {}, OUTDATED),
        (no_rates, {}, OUTDATED),
        (other_rates, {}, OUTDATED),
        (other_limits, {}, OUTDATED),
        (closed_month, {}, OUTDATED),
        (opened_alert, {}, OUTDATED),
        (None, {"as_of": "2026-10-06T00:00:00Z"}, OUTDATED),
        (None, {"low_balance": "2"}, OUTDATED),
        (None, {"reporting_timezone": "Asia/Tokyo"}, OUTDATED),
        (None, {"promo_first": False}, OUTDATED),
        (None, {"default_currency": "eur"}, OUTDATED),
        (None, {"earliest_entry": "2026-10-02"}, OUTDATED),
        (None, {"cost_grace_days": 5}, OUTDATED),
        (None, {"focus_provider_name": "Ours"}, OUTDATED),
        (lost_export, {}, "not exported completely"),
        (no_catalog, {}, "not exported completely"),
        (None, {"export_formats": "parquet"}, "not exported completely"),
        (None, {"export_uri": "elsewhere"}, "not exported completely"),
        (None, {"export_focus": False}, "not exported completely"),
    ],
)
def test_a_reason_to_run(
    made: Path, tmp_path: Path, change: Callable[[Home], None] | None, settings: dict[str, Any], words: str
) -> None:
    home = Home(made)
    if change is not None:
        home = copied(made, tmp_path)
        change(home)
    found = reason(home, **settings)
    assert found is not None
    assert words in found


def test_a_shipped_mapping_pulls_once_its_variable_is_set(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LITELLM_DATABASE_URL", "postgresql://nobody@127.0.0.1:1/none")
    assert reason(home) == "a pull is configured"


def test_other_code_is_a_reason(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(idle, "code_version", lambda: "another")
    assert reason(home) == OUTDATED


def test_more_than_a_run_reads_twice_is_not_read(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """The home is a copy, so the content of its files would have to be read."""
    monkeypatch.setattr(idle, "MOST_BYTES_READ", 1)
    assert reason(home) == "too much would have to be read to know whether it is new"


# ---- what a run with nothing new does


def test_it_changes_nothing_and_prints_what_a_run_with_dagster_prints(
    home: Home, capsys: pytest.CaptureFixture[str]
) -> None:
    unread_file(home)
    settings = settings_of(home.root, as_of=AS_OF)
    kept = (home.published_file.parent, home.exports, home.lake)
    before = [content_of(folder) for folder in kept]
    assert end_if_idle(settings)
    summary = capsys.readouterr().out
    assert "Nothing new: " in summary
    assert "nothing reads leger/a.jsonl" in summary
    assert [content_of(folder) for folder in kept] == before
    with dg.DagsterInstance.ephemeral() as instance:
        slow = run_pipeline(home.root, exports=True, export_focus=True, instance=instance, as_of=AS_OF)
        [run] = [one for one in instance.get_runs() if IDLE_TAG not in one.tags]
    assert (slow.exit_code, slow.output.endswith(summary)) == (0, True), slow
    assert [content_of(folder) for folder in kept] == before
    # The run with Dagster is the last one that found nothing new.
    noted = read_idle_runs(home)
    assert noted is not None
    assert (noted.last.run_id, noted.waiting) == (run.run_id, 0)


def test_it_removes_what_killed_processes_left(home: Home) -> None:
    left = home.lake / "ledger_entries/batch=00000099"
    left.mkdir()
    assert end_if_idle(settings_of(home.root, as_of=AS_OF))
    assert not left.exists()


def test_alerts_are_evaluated_after_the_lock_is_released(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[bool] = []

    def notify(settings: Settings) -> None:
        with settings.home.between_runs() as is_free:
            seen.append(is_free)

    monkeypatch.setattr("orchestration.alert_delivery.deliver.notify_idle_run", notify)
    assert end_if_idle(settings_of(home.root, as_of=AS_OF))
    assert seen == []
    home.alerts_file.write_text("version: 1\n")
    assert end_if_idle(settings_of(home.root, as_of=AS_OF))
    assert seen == [True]


def test_while_another_run_is_at_work_the_command_leaves_it_to_dagster(home: Home) -> None:
    with home.run_lock.acquire(blocking=False):
        assert not end_if_idle(settings_of(home.root, as_of=AS_OF))
    assert read_idle_runs(home) is None


def test_the_command_imports_neither_dagster_nor_dbt(made: Path) -> None:
    script = (
        "import atexit, sys\n"
        "heavy = ('dagster', 'dbt', 'pandas', 'numpy', 'pyarrow', 'genai_prices', 'requests', 'stripe')\n"
        "atexit.register(lambda: print('imported:', *(name for name in heavy if name in sys.modules)))\n"
        "from orchestration.cli.main import main\n"
        "main()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, "run", "--no-wait"],
        cwd=made.parent,
        env=environment(made, AS_OF=AS_OF, EXPORT_FOCUS="true", PYTHONPATH=str(Path(__file__).parents[2])),
        capture_output=True,
        text=True,
        check=False,
    )
    Home(made).idle_runs_file.unlink()
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("\nNothing new: ")
    assert done.stdout.endswith("\nimported:\n")


# ---- how it is recorded


def idle_runs_in_dagster(instance: dg.DagsterInstance) -> list[tuple[str, str, str]]:
    """Job, status and number of runs of each run in Dagster's history that stands for others."""
    runs = [record.dagster_run for record in instance.get_run_records()]
    return [(run.job_name, run.status.value, run.tags[IDLE_TAG]) for run in runs if IDLE_TAG in run.tags]


def test_status_and_dagster_show_it(home: Home) -> None:
    settings = settings_of(home.root, as_of=AS_OF)
    assert not any("nothing new" in line for line in status_lines(settings))
    assert end_if_idle(settings)
    assert end_if_idle(settings)
    assert any(line.startswith("Last run with nothing new: ") for line in status_lines(settings))
    with open_instance(home) as instance:
        assert idle_runs_in_dagster(instance) == [("refresh", "SUCCESS", "2")]
        noted = read_idle_runs(home)
        assert noted is not None
        record = instance.get_run_record_by_id(noted.last.run_id)
        assert record is not None
        assert (record.start_time, record.end_time) == (
            noted.last.started_at.timestamp(),
            noted.last.finished_at.timestamp(),
        )
        messages = [entry.get_dagster_event().message for entry in instance.all_logs(noted.last.run_id)]
        assert "This run stands for 2 such runs" in messages[-1]
    # Once in the history, it is not added again, and `status` still shows it.
    assert not has_waiting(home)
    assert end_if_idle(settings)
    with open_instance(home) as instance:
        assert sorted(idle_runs_in_dagster(instance)) == [
            ("refresh", "SUCCESS", "1"),
            ("refresh", "SUCCESS", "2"),
        ]
    assert any(line.startswith("Last run with nothing new: ") for line in status_lines(settings))


class KilledError(BaseException):
    """The process ends here."""


def test_a_process_killed_before_it_is_recorded_leaves_a_run_to_dagster(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = settings_of(home.root, as_of=AS_OF)

    def kill(*_: Any, **__: Any) -> None:
        raise KilledError

    with monkeypatch.context() as patched:
        patched.setattr(idle_run, "note_idle_run", kill)
        with pytest.raises(KilledError):
            end_if_idle(settings)
    assert holder_file(home).exists()
    assert not end_if_idle(settings), "Dagster settles what the killed process left"
    open_instance(home).dispose()
    assert not holder_file(home).exists()
    assert end_if_idle(settings)


@pytest.mark.parametrize("events", [0, 1, 2])
def test_a_process_killed_while_it_adds_the_runs_to_the_history_adds_them_once(
    home: Home, monkeypatch: pytest.MonkeyPatch, events: int
) -> None:
    now = datetime.now(UTC)
    note_idle_run(home, IdleRun("0a3f1a52-0000-4000-8000-000000000001", now, now), is_in_history=False)
    report, left = dg.DagsterInstance.report_dagster_event, [events]

    def killed(self: dg.DagsterInstance, *arguments: Any, **options: Any) -> Any:
        if not left[0]:
            raise KilledError
        left[0] -= 1
        done = report(self, *arguments, **options)
        if not left[0]:
            raise KilledError
        return done

    with monkeypatch.context() as patched:
        patched.setattr(dg.DagsterInstance, "report_dagster_event", killed)
        with pytest.raises(KilledError):
            open_instance(home)
    assert has_waiting(home)
    with open_instance(home) as instance:
        assert idle_runs_in_dagster(instance) == [("refresh", "SUCCESS", "1")]
    assert not has_waiting(home)


def test_a_damaged_note_is_replaced(home: Home) -> None:
    home.idle_runs_file.write_text("{")
    assert read_idle_runs(home) is None
    assert end_if_idle(settings_of(home.root, as_of=AS_OF))
    noted = read_idle_runs(home)
    assert noted is not None
    assert noted.waiting == 1
