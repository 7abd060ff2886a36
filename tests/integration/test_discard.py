"""Refused once is not refused for ever: a bad file is put right, removed, or discarded, and the next run
publishes.
"""

import json
import shutil
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import dagster as dg
import duckdb
import pytest

from ingestion import discard as discard_module
from ingestion.discard import DiscardError
from ingestion.erasure.erase import files_naming, rewrite_landed
from ingestion.lake import batches as lake_module
from ingestion.lake.batches import Lake
from ingestion.lake.schemas import LAKE_TABLES
from ingestion.landing.area import Landing
from ingestion.parallel import commit_groups, plan_groups, prepare
from ingestion.sources.registry import landed_files, sources
from ingestion.unloaded_files import unloaded_files
from orchestration.assets.published import PUBLISHED
from orchestration.cli.discard import discard_files
from orchestration.cli.status import status_lines
from orchestration.instance import open_instance
from paywall_warehouse.settings import Settings, load_settings
from tests.support.builders import charge, csv_text, deposit, jsonl, land, prices_file
from tests.support.command import command, command_here
from tests.support.crash_drill import differences, outcome
from tests.support.harness import RunResult, publish_home, run_pipeline
from tests.support.ingestion import discard, erase, load
from warehouse.build_file import drop_build_file
from warehouse.build_inputs import loaded_files
from warehouse.price_book import resolve_price_book
from warehouse.spark.lake_copy import copy_lake

AS_OF = "2026-10-05T12:00:00Z"
GOOD = [
    deposit("d1", "2026-10-01T08:00:00Z", "20"),
    charge("c1", "2026-10-01T09:00:00Z", "1.25", model="openai/gpt-4o-mini"),
]
# Of four records one is bad: 25 % of this file.
BAD = [
    charge("b1", "2026-10-02T09:00:00Z", "2", user="bob", model="acme/unheard-of"),
    charge("b2", "2026-10-02T10:00:00Z", "3", user="bob"),
    charge("b3", "2026-10-02T11:00:00Z", "4", user="bob"),
    charge("b4", "2026-10-02T12:00:00Z", "12,50", user="bob"),
]
RIGHT = [*BAD[:3], charge("b4", "2026-10-02T12:00:00Z", "12.50", user="bob")]


@cache
def settings_of(home: Path, **more: Any) -> Settings:
    return load_settings(_env_file=None, warehouse_home=home, as_of=AS_OF, duckdb_threads=1, **more)


def put(home: Path, path: str, content: bytes) -> Path:
    file = home / "landing" / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content)
    return file


def run(home: Path, **more: Any) -> RunResult:
    return run_pipeline(home, as_of=AS_OF, **more)


def drop(home: Path, *paths: str) -> list[str]:
    return discard_files(settings_of(home), list(paths))


def standing(home: Path) -> list[tuple[str, int, str | None]]:
    """Of every file with rejects behind the first batch, which is published: name, records, and where it
    counts.
    """
    settings = settings_of(home)
    files = loaded_files(settings, Lake(settings.home).manifests(), 0)
    return [(file["path"], file["records"], file["standing_path"]) for file in files if file["rejected"]]


@pytest.fixture(scope="module")
def published_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with a publication; not to be changed."""
    home = tmp_path_factory.mktemp("published") / "home"
    put(home, "ledger/good.jsonl", jsonl(GOOD))
    publish_home(home, as_of=AS_OF)
    # Dagster's files are made here once: that costs more CPU than all else that a discard does.
    open_instance(settings_of(home).home).dispose()
    return home


@pytest.fixture(scope="module")
def refused_once(published_once: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, RunResult]:
    """The same, then a bad file and a good one land together, in one batch, and the run refuses; not to be
    changed.
    """
    home = tmp_path_factory.mktemp("refused") / "home"
    shutil.copytree(published_once, home)
    put(home, "ledger/bad.jsonl", jsonl(BAD))
    put(home, "ledger/fine.jsonl", jsonl([charge("f1", "2026-10-03T09:00:00Z", "5", user="carol")]))
    result = run(home)
    assert result.exit_code == 1, result
    return home, result


@pytest.fixture
def refused(refused_once: tuple[Path, RunResult], tmp_path: Path) -> Path:
    home = tmp_path / "home"
    shutil.copytree(refused_once[0], home)
    return home


@pytest.fixture(scope="module")
def never_saw(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """What a home shows in which the bad file never landed."""
    home = tmp_path_factory.mktemp("never") / "home"
    put(home, "ledger/good.jsonl", jsonl(GOOD))
    put(home, "ledger/fine.jsonl", jsonl([charge("f1", "2026-10-03T09:00:00Z", "5", user="carol")]))
    publish_home(home, as_of=AS_OF)
    return shown(home)


def shown(home: Path) -> dict[str, list[str]]:
    return outcome(settings_of(home).home)


def numbers(home: Path, query: str) -> list[tuple[Any, ...]]:
    with duckdb.connect(str(home / "published" / "warehouse.duckdb"), read_only=True) as connection:
        return connection.execute(query).fetchall()


# ---- what the refusal says


def test_the_refusal_names_file_reason_line_and_the_ways_out(refused_once: tuple[Path, RunResult]) -> None:
    home, result = refused_once
    # 4 records of bad.jsonl and 1 of fine.jsonl are new; good.jsonl is published.
    assert "reject_ratio (all): expected 0.01, actual 0.2" in result.output
    for words in (
        f"1 of the 5 records that are not published yet were rejected, in 1 file below {home}/landing:",
        "ledger/bad.jsonl: 1 of 4 records",
        '1 × bad_amount, line 4: field "amount" is not a decimal number: 12,50',
        "1. Correct the file and land it under the same name",
        (
            "Its accepted records (3) stay, unless you drop them too: `paywall-warehouse"
            " discard ledger/bad.jsonl`"
        ),
        "`MAX_REJECT_RATIO=0.2 paywall-warehouse run`",
    ):
        assert words in result.output


@pytest.mark.soak
def test_dagster_shows_what_the_command_shows(refused: Path) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        result = run(refused, instance=instance)
        assert result.exit_code == 1
        (record,) = instance.get_runs()
        events = instance.event_log_storage.get_logs_for_run(
            record.run_id, of_type=dg.DagsterEventType.ASSET_CHECK_EVALUATION
        )
        evaluations = [
            event.dagster_event.asset_check_evaluation_data for event in events if event.dagster_event
        ]
    (description,) = [
        one.description
        for one in evaluations
        if one.asset_key == PUBLISHED and one.check_name == "reject_ratio"
    ]
    assert description is not None
    assert "paywall-warehouse discard ledger/bad.jsonl" in description
    assert description in result.output


def test_status_shows_the_ways_out_of_a_refusal(refused: Path) -> None:
    lines = list(status_lines(settings_of(refused)))
    assert any("paywall-warehouse discard ledger/bad.jsonl" in line for line in lines), lines


# ---- put right, removed


def test_a_file_put_right_under_its_name_is_published(refused: Path) -> None:
    put(refused, "ledger/bad.jsonl", jsonl(RIGHT))
    publish_home(refused, as_of=AS_OF)
    # 1.25 of good.jsonl, 5 of fine.jsonl, and 2 + 3 + 4 + 12.50: what both versions of bad.jsonl say counts
    # once.
    assert numbers(refused, "select sum(revenue)::varchar from marts.fct_ledger_entries") == [
        ("27.750000000000",)
    ]


@pytest.mark.soak
def test_a_file_put_right_only_in_part_counts_as_what_it_is_now(refused: Path) -> None:
    put(refused, "ledger/bad.jsonl", jsonl([*BAD[:2], BAD[3]]))
    load(settings_of(refused), "ledger")
    # Of the file as it is now, which has 3 records; the first had 4.
    assert standing(refused) == [("ledger/bad.jsonl", 4, None), ("ledger/bad.jsonl", 3, "ledger/bad.jsonl")]


@pytest.mark.soak
def test_a_content_that_came_back_counts_once(refused: Path) -> None:
    for content in (RIGHT, BAD):
        put(refused, "ledger/bad.jsonl", jsonl(content))
        load(settings_of(refused), "ledger")
    assert standing(refused) == [("ledger/bad.jsonl", 4, None), ("ledger/bad.jsonl", 4, "ledger/bad.jsonl")]


def test_a_removed_file_counts_no_longer_and_what_was_accepted_stays(refused: Path) -> None:
    (refused / "landing/ledger/bad.jsonl").unlink()
    assert standing(refused) == [("ledger/bad.jsonl", 4, None)]
    assert lake_rows(refused) == LAKE_BEFORE


@pytest.mark.soak
def test_a_run_after_a_file_was_removed_publishes_what_was_accepted(refused: Path) -> None:
    (refused / "landing/ledger/bad.jsonl").unlink()
    result = run(refused)
    assert result.exit_code == 0, result
    assert numbers(refused, "select count(*) from marts.fct_ledger_entries where user_id = 'bob'") == [(3,)]
    assert numbers(refused, "select path, line from ops.rejected_records") == [("ledger/bad.jsonl", 4)]


def test_a_file_that_was_only_touched_or_moved_still_counts(refused: Path) -> None:
    (refused / "landing/ledger/bad.jsonl").touch()
    assert standing(refused) == [("ledger/bad.jsonl", 4, "ledger/bad.jsonl")]
    moved = refused / "landing/ledger/old/bad.jsonl"
    moved.parent.mkdir()
    (refused / "landing/ledger/bad.jsonl").rename(moved)
    assert standing(refused) == [("ledger/bad.jsonl", 4, "ledger/old/bad.jsonl")]
    assert (
        drop(refused, "ledger/old/bad.jsonl")[0]
        == "ledger/bad.jsonl: 3 accepted records and 1 rejects dropped."
    )
    assert load(settings_of(refused), "ledger").batch_seq is None
    moved.rename(moved.with_name(".hidden.jsonl"))
    assert standing(refused) == []


def test_an_unreadable_file_counts_until_it_gets_its_right_name(refused: Path) -> None:
    (refused / "landing/ledger/bad.jsonl").unlink()
    named_wrong = put(refused, "ledger/plain.jsonl.gz", jsonl([BAD[0]]))
    load(settings_of(refused), "ledger")
    before = [("ledger/bad.jsonl", 4, None)]
    assert standing(refused) == [*before, ("ledger/plain.jsonl.gz", 1, "ledger/plain.jsonl.gz")]
    named_wrong.rename(named_wrong.with_name("plain.jsonl"))
    assert load(settings_of(refused), "ledger").accepted == 1
    assert standing(refused) == [*before, ("ledger/plain.jsonl.gz", 1, None)]


def test_a_file_that_may_not_be_opened_counts_until_it_may(refused: Path) -> None:
    (refused / "landing/ledger/bad.jsonl").unlink()
    outside = refused / "outside.jsonl"
    outside.write_bytes(jsonl([BAD[0]]))
    link = refused / "landing/ledger/link.jsonl"
    link.symlink_to(outside)
    load(settings_of(refused), "ledger")
    assert ("ledger/link.jsonl", 1, "ledger/link.jsonl") in standing(refused)
    link.unlink()
    outside.rename(link)
    assert ("ledger/link.jsonl", 1, None) in standing(refused)


@pytest.mark.soak
def test_what_was_published_counts_no_longer_though_the_published_file_was_touched(refused: Path) -> None:
    """Nor after an erasure, which makes the next run start from nothing."""
    publish_home(refused, as_of=AS_OF, max_reject_ratio="1")
    (refused / "published/warehouse.duckdb").touch()
    put(refused, "ledger/more.jsonl", jsonl([charge("m1", "2026-10-04T09:00:00Z")]))
    publish_home(refused, as_of=AS_OF)
    erase(settings_of(refused), "carol")
    publish_home(refused, as_of=AS_OF)


# ---- discarded


@pytest.mark.parametrize("is_removed", [pytest.param(True, marks=pytest.mark.soak), False])
def test_after_a_discard_the_home_is_as_if_it_had_never_seen_the_file(
    refused: Path, never_saw: dict[str, list[str]], is_removed: bool
) -> None:
    if is_removed:
        (refused / "landing/ledger/bad.jsonl").unlink()
    lines = drop(refused, "ledger/bad.jsonl")
    assert lines[0] == "ledger/bad.jsonl: 3 accepted records and 1 rejects dropped."
    assert ("is still in the landing area" in lines[1]) is not is_removed
    result = run(refused)
    assert result.exit_code == 0, result
    assert ("ledger/bad.jsonl was discarded and is not loaded" in result.output) is not is_removed
    assert differences(never_saw, shown(refused)) == []
    if is_removed:
        publish_home(refused, as_of=AS_OF, full_refresh=True)
        assert differences(never_saw, shown(refused)) == []
    assert unloaded_files(settings_of(refused)) == []


def test_the_same_content_may_land_again_and_is_loaded_as_new(refused: Path) -> None:
    settings = settings_of(refused)
    drop(refused, "ledger/bad.jsonl")
    assert load(settings, "ledger").batch_seq is None
    put(refused, "ledger/bad.jsonl", jsonl(BAD))
    assert [file.path for file in unloaded_files(settings)] == ["ledger/bad.jsonl"]
    again = load(settings, "ledger")
    assert (again.accepted, again.rejected, again.warnings) == (3, 1, [])
    assert standing(refused) == [("ledger/bad.jsonl", 4, "ledger/bad.jsonl")]
    # And so on: it may be discarded again, and land under another name.
    drop(refused, "ledger/bad.jsonl")
    put(refused, "ledger/other.jsonl", jsonl(BAD))
    assert load(settings, "ledger").accepted == 3


def test_every_copy_of_a_discarded_content_is_left_alone(refused: Path) -> None:
    put(refused, "ledger/copy.jsonl", jsonl(BAD))
    assert load(settings_of(refused), "ledger").batch_seq is None
    lines = drop(refused, "ledger/bad.jsonl")
    assert [line.partition(" is still")[0].rpartition("/")[2] for line in lines[1:-1]] == [
        "bad.jsonl",
        "copy.jsonl",
    ]
    assert load(settings_of(refused), "ledger").batch_seq is None


@pytest.mark.parametrize(
    "named",
    [
        "landing/ledger/bad.jsonl",
        "{home}/landing/ledger/bad.jsonl",
        "./ledger/bad.jsonl",
        "ledger/bad.jsonl:4",
        "ledger/b*",
        "{home}/landing/ledger/*d.jsonl",
    ],
)
def test_a_file_is_named_as_in_messages_as_on_the_disk_or_by_a_pattern(refused: Path, named: str) -> None:
    assert drop(refused, named.format(home=refused))[0].startswith("ledger/bad.jsonl: 3 accepted records")
    assert drop(refused, named.format(home=refused))[0] == "ledger/bad.jsonl: was already discarded."


def test_other_files_of_the_batch_keep_rows_rejects_and_models(tmp_path: Path) -> None:
    settings = settings_of(tmp_path)
    put(
        tmp_path,
        "ledger/a.jsonl",
        jsonl(
            [charge("a1", "2026-10-01T09:00:00Z", model="one/a"), charge("a2", "2026-10-01T09:00:00Z", "?")]
        ),
    )
    put(
        tmp_path,
        "ledger/b.csv",
        csv_text(
            [charge("b1", "2026-10-01T09:00:00Z", model="one/b"), charge("b2", "2026-10-01T09:00:00Z", "?")]
        ),
    )
    load(settings, "ledger")
    assert drop(tmp_path, "ledger/a.jsonl")[0] == "ledger/a.jsonl: 1 accepted records and 1 rejects dropped."
    lake = Lake(settings.home)
    (manifest,) = lake.manifests()
    assert (manifest.records, manifest.rejected, manifest.models) == (2, 1, ["one/b"])
    rows = {
        table: [str(file) for file in lake.parquet_files(table, [manifest])]
        for table in ("ledger_entries", "rejects")
    }
    assert duckdb.sql(f"select entry_id from read_parquet({rows['ledger_entries']})").fetchall() == [("b1",)]
    assert duckdb.sql(f"select path, line from read_parquet({rows['rejects']})").fetchall() == [
        ("ledger/b.csv", 3)
    ]
    assert sorted(folder.name for folder in settings.home.lake.glob("*/batch=*")) == [manifest.folder] * 2


@pytest.mark.parametrize(
    ("paths", "words"),
    [
        (["ledger/good.jsonl"], "ledger/good.jsonl is published"),
        (["ledger/bad.jsonl", "ledger/good.jsonl"], "ledger/good.jsonl is published"),
        (["ledger/bda.jsonl"], "Loaded and not published: ledger/bad.jsonl"),
        (["ledger/waiting.jsonl"], "has not been loaded yet"),
        (["ledger/nothing*"], "nothing was loaded from such a file"),
    ],
)
def test_what_cannot_be_discarded_is_refused_and_nothing_changes(
    refused: Path, paths: list[str], words: str
) -> None:
    put(refused, "ledger/waiting.jsonl", jsonl([charge("w1", "2026-10-04T09:00:00Z")]))
    before = {file: file.read_bytes() for file in (refused / "lake").rglob("*") if file.is_file()}
    with pytest.raises(DiscardError, match=words.replace("*", ".")):
        drop(refused, *paths)
    assert {file: file.read_bytes() for file in (refused / "lake").rglob("*") if file.is_file()} == before


def test_what_is_published_is_kept_also_where_its_note_is_missing(refused: Path) -> None:
    (refused / "state/published.json").unlink()
    with pytest.raises(DiscardError, match="is published"):
        drop(refused, "ledger/good.jsonl")
    (refused / "published/warehouse.duckdb").write_bytes(b"no database")
    with pytest.raises(DiscardError, match="it is not known which batches are published"):
        drop(refused, "ledger/bad.jsonl")


def test_a_new_version_of_a_published_file_goes_and_the_published_one_stays(refused: Path) -> None:
    put(refused, "ledger/good.jsonl", jsonl(BAD[:2]))
    load(settings_of(refused), "ledger")
    assert (
        drop(refused, "ledger/good.jsonl")[0]
        == "ledger/good.jsonl: 2 accepted records and 0 rejects dropped."
    )
    kept = [
        (file.path, file.records)
        for manifest in Lake(settings_of(refused).home).manifests()
        for file in manifest.files
    ]
    assert kept == [("ledger/good.jsonl", 2), ("ledger/bad.jsonl", 4), ("ledger/fine.jsonl", 1)]


@pytest.mark.soak
def test_acknowledged_webhooks_are_not_discarded(tmp_path: Path) -> None:
    segment = put(
        tmp_path,
        "events/received/2026-10-02/20261002T090000.000000Z-0123abcd.jsonl",
        b'{"id": 1, "type": {}}\n',
    )
    result = run(tmp_path)
    assert result.exit_code == 1
    assert "paywall-warehouse discard" not in result.output
    assert "The file holds acknowledged webhooks" in result.output
    with pytest.raises(DiscardError, match="acknowledged"):
        drop(tmp_path, str(segment))


@pytest.mark.soak
def test_own_rates_that_are_discarded_price_nothing(tmp_path: Path) -> None:
    settings = settings_of(tmp_path)
    rates = [
        ("acme/model", "2026-01-01", "", "1", "1", "", "", "usd"),
        ("acme/other", "never", "", "1", "1", "", "", "usd"),
    ]
    land(tmp_path, [prices_file("mine.csv", rates)])
    put(tmp_path, "ledger/x.jsonl", jsonl([charge("x1", "2026-10-03T09:00:00Z", model="acme/model")]))
    for source in ("ledger", "prices"):
        load(settings, source)
    assert resolve_price_book(settings).priced == 1
    drop(tmp_path, "prices/mine.csv")
    assert resolve_price_book(settings).priced == 0


# ---- killed, and beside others


LAKE_BEFORE = (["b1", "b2", "b3", "c1", "d1", "f1"], [("ledger/bad.jsonl", 4)])
LAKE_AFTER = (["c1", "d1", "f1"], [])


def lake_rows(home: Path) -> tuple[list[str], list[tuple[str, int]]]:
    """The ids of the lake's entries, and its rejects."""
    lake = Lake(settings_of(home).home)
    entries, rejects = (
        [str(file) for file in lake.parquet_files(table, lake.manifests())]
        for table in ("ledger_entries", "rejects")
    )
    ids = [
        one for (one,) in duckdb.sql(f"select entry_id from read_parquet({entries}) order by 1").fetchall()
    ]
    return ids, duckdb.sql(f"select path, line from read_parquet({rejects})").fetchall() if rejects else []


class KilledError(BaseException):
    """As if the process had ended."""


@pytest.mark.parametrize("step", range(8))
def test_a_discard_that_is_killed_anywhere_is_finished_by_another(
    refused: Path, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    """Before each write to the disk in turn: the build file goes, two tables are written and moved, the
    manifest, two folders go.
    """
    (refused / "landing/ledger/bad.jsonl").unlink()
    home, left = settings_of(refused).home, [step]

    def counted(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            if not left[0]:
                raise KilledError
            left[0] -= 1
            return function(*arguments, **named)

        return call

    with monkeypatch.context() as patched:
        patched.setattr(discard_module, "write_rows", counted(discard_module.write_rows))
        patched.setattr(lake_module, "move_folder", counted(lake_module.move_folder))
        patched.setattr(lake_module, "replace_text", counted(lake_module.replace_text))
        removed = shutil.rmtree
        patched.setattr(
            lake_module.shutil,
            "rmtree",
            lambda path, *a, **b: (counted(removed) if "batch=" in str(path) else removed)(path, *a, **b),
        )
        with pytest.raises(KilledError):
            discard(settings_of(refused), ["ledger/bad.jsonl"], 0, drop_build=counted(drop_build_file))
    # What the lake says now is whole, and no build is left that says something else.
    assert lake_rows(refused) in (LAKE_BEFORE, LAKE_AFTER)
    assert lake_rows(refused) == LAKE_BEFORE or not home.build_file.exists()
    discard(settings_of(refused), ["ledger/bad.jsonl"], 0)
    assert lake_rows(refused) == LAKE_AFTER
    assert not home.build_file.exists()
    manifests = Lake(home).manifests()
    assert {folder.name for folder in home.lake.glob("*/batch=*")} == {
        manifest.folder for manifest in manifests
    }


def test_a_prepared_batch_does_not_restore_a_discarded_file(tmp_path: Path) -> None:
    settings = settings_of(tmp_path)
    put(tmp_path, "ledger/bad.jsonl", jsonl(BAD))
    prepared = [prepare(settings, group) for group in plan_groups(settings)]
    load(settings, "ledger")
    drop(tmp_path, "ledger/bad.jsonl")
    assert list(commit_groups(settings, prepared)) == []
    assert plan_groups(settings) == []


def test_an_erasure_that_rewrites_a_discarded_file_does_not_restore_it(refused: Path) -> None:
    drop(refused, "ledger/bad.jsonl")
    settings = settings_of(refused)
    put(refused, "ledger/more.jsonl", jsonl([charge("m1", "2026-10-04T09:00:00Z", user="bob")]))
    load(settings, "ledger")
    erased = erase(settings, "bob")
    files = list(landed_files(Landing.of(settings), sources(settings.home)))
    rewrite_landed(settings, files_naming(settings, files, "bob", erased.pseudonym), "bob", erased.pseudonym)
    assert b"bob" not in (refused / "landing/ledger/bad.jsonl").read_bytes()
    assert unloaded_files(settings) == []
    assert load(settings, "ledger").batch_seq is None


def test_a_copy_of_the_lake_follows(refused: Path, tmp_path: Path) -> None:
    settings = settings_of(refused, lake_uri=f"file://{tmp_path}/copy")
    copy_lake(settings)
    drop(refused, "ledger/bad.jsonl")
    copy_lake(settings)
    lake = Lake(settings.home)
    expected = {
        file.relative_to(refused / "lake")
        for table in LAKE_TABLES
        for file in lake.parquet_files(table, lake.manifests())
    }
    found = {
        file.relative_to(tmp_path / "copy")
        for table in LAKE_TABLES
        for file in (tmp_path / "copy" / table).rglob("*.parquet")
    }
    assert found == expected
    assert all(
        (tmp_path / "copy" / file).read_bytes() == (refused / "lake" / file).read_bytes() for file in expected
    )


def test_a_build_that_a_cluster_already_shows_counts_as_published(refused: Path) -> None:
    """It is shown there a moment before the file is replaced."""
    (last,) = [
        manifest for manifest in Lake(settings_of(refused).home).manifests() if manifest.batch_seq == 1
    ]
    (refused / "state/cluster_shown.json").write_text(
        json.dumps(
            [{"prefix": "run_0_", "snapshots": {}, "built_through": last.batch_seq, "fingerprint": "f"}]
        )
    )
    with pytest.raises(DiscardError, match="is published"):
        drop(refused, "ledger/bad.jsonl")


# ---- the command


def test_the_command_says_what_it_did_and_wrong_use_exits_with_2(refused: Path, tmp_path: Path) -> None:
    done = command(refused, "discard", "ledger/bad.jsonl", "ledger/fine.jsonl")
    assert (done.returncode, done.stdout.splitlines()[0]) == (
        0,
        "ledger/bad.jsonl: 3 accepted records and 1 rejects dropped.",
    ), done
    wrong = command_here(refused, "discard", "ledger/good.jsonl")
    assert (wrong.returncode, wrong.stdout) == (2, "")
    assert "ledger/good.jsonl is published" in wrong.stderr
    assert "Nothing was changed." in wrong.stderr
    assert "Traceback" not in wrong.stderr
    assert command_here(refused, "discard").returncode == 2
    elsewhere = command_here(tmp_path / "none", "discard", "ledger/a.jsonl")
    assert (elsewhere.returncode, (tmp_path / "none").exists()) == (2, False)
    assert "has loaded nothing" in elsewhere.stderr
