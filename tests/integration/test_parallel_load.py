"""Ingestion by several workers: what one load makes of the same files, whoever else is at work, and whoever
is killed.
"""

import os
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import dagster as dg
import duckdb
import pyarrow.parquet as pq
import pytest

from ingestion import parallel as groups
from ingestion.lake import batches as lake
from ingestion.lake.batches import Lake
from ingestion.lake.schemas import LAKE_TABLES, typed
from ingestion.parallel import commit_groups, plan_groups, prepare
from ingestion.staging import write as write_module
from ingestion.staging.batch import LandingFileChangedError
from ingestion.staging.write import SMALL_GROUPS
from orchestration.parallel_ingestion import ingest_job, ingested_sensor
from paywall_warehouse.quoting import literal
from paywall_warehouse.settings import Settings
from tests.support.builders import Raw, charge, event, jsonl
from tests.support.crash_drill import differences, tables
from tests.support.forked import CHILDREN
from tests.support.harness import publish_home
from tests.support.ingestion import erase, load
from tests.support.parallel_workers import POINTS, at_once, ingest, settings_of, worker
from tests.support.shared import in_soak
from warehouse.price_book import resolve_price_book, resolved_batches
from warehouse.spark.source_statements import cluster_statements

NOON = "2026-10-01T12:00:00Z"
DAY_SECONDS = 86_400
# `make soak` raises it.
ROUNDS = int(os.environ.get("INGESTION_ROUNDS", "1"))


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return settings_of(tmp_path)


def land(settings: Settings, path: str, records: list[Any], *, second: int = 0) -> Path:
    """A file that lands in a second of its own."""
    file = settings.home.landing / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(jsonl(records))
    os.utime(file, (1_000_000_000 + second,) * 2)
    return file


def land_ties(settings: Settings) -> None:
    """An entry that every file states at the same instant with another amount, names against the order of
    landing; more around it.
    """
    for second, name in enumerate("dcba"):
        tied = [charge("tie", NOON, f"{second}.{line}") for line in range(2)]
        land(
            settings,
            f"ledger/{name}.jsonl",
            [*tied, charge(f"own {name}", NOON, "1"), Raw("{")],
            second=second,
        )
    land(settings, "ledger/e.jsonl", [charge("late", NOON, "5", updated_at="2026-10-02T00:00:00Z")], second=4)
    land(settings, "ledger/f.jsonl", [charge("late", NOON, "6", updated_at="2026-10-01T23:00:00Z")], second=5)
    land(
        settings,
        "ledger/again.jsonl",
        [charge("late", NOON, "5", updated_at="2026-10-02T00:00:00Z")],
        second=6,
    )
    land(
        settings,
        "events/a.jsonl",
        [event("v", "usage.charge.created", NOON, activityId="x", walletUserId="w", cost="1")],
        second=7,
    )


def land_three(settings: Settings) -> None:
    """As few groups as can be cut short in the middle."""
    for second, name in enumerate("ba"):
        land(
            settings,
            f"ledger/{name}.jsonl",
            [charge("tie", NOON, str(second)), charge(f"own {name}", NOON, "1"), Raw("{")],
            second=second,
        )
    land(
        settings,
        "events/a.jsonl",
        [event("v", "usage.charge.created", NOON, activityId="x", walletUserId="w", cost="1")],
    )


def rows(settings: Settings, query: str, table: str = "ledger_entries") -> list[tuple[Any, ...]]:
    files = Lake(settings.home).parquet_files(table, Lake(settings.home).manifests())
    if not files:
        return []
    read = f"read_parquet([{', '.join(literal(str(file)) for file in files)}], hive_partitioning = false)"
    columns = (
        f"select {typed(LAKE_TABLES[table])}, regexp_extract(filename, 'batch=(\\d+)', 1)::bigint as"
        f" folder_number from {read}"
    )
    return duckdb.sql(query.format(f"({columns})")).fetchall()


WINNERS = """select entry_id, amount::varchar from {}
    qualify row_number() over (partition by entry_id order by updated_at desc, batch_seq desc, file_no desc,
        line desc) = 1 order by all"""
CONTENT = "select * exclude (batch_seq, file_no, folder_number) from {} order by all"


def loaded_paths(settings: Settings) -> list[str]:
    return sorted(file.path for manifest in Lake(settings.home).manifests() for file in manifest.files)


def is_in_order(settings: Settings) -> bool:
    """Whether numbers have no gap and rows say the number of the manifest that names them."""
    numbers = [manifest.batch_seq for manifest in Lake(settings.home).manifests()]
    wrong = sum(
        len(rows(settings, "from {} where batch_seq <> folder_number", table))
        for table in ("ledger_entries", "rejects")
    )
    return numbers == list(range(len(numbers))) and not wrong


def left_over(settings: Settings) -> list[str]:
    """Folders of the lake that no manifest names, and what is still staged."""
    manifests = Lake(settings.home).manifests()
    named = {
        Lake(settings.home).batch_folder(table, manifest) for manifest in manifests for table in LAKE_TABLES
    }
    return [
        str(path)
        for path in (*settings.home.lake.glob("*/batch=*"), *settings.home.tmp.glob("*"))
        if path not in named
    ]


# ---- as one load makes it


def test_versions_that_tie_are_decided_as_by_one_load(settings: Settings, tmp_path: Path) -> None:
    other = settings_of(tmp_path / "one")
    for one in (settings, other):
        land_ties(one)
    load(other, "ledger")
    planned = plan_groups(settings, group_bytes=1)
    # Whoever is ready first.
    prepared = [prepare(settings, group) for group in reversed(planned)]
    assert [
        (one.source, one.batch_seq, one.accepted, one.rejected) for one in commit_groups(settings, prepared)
    ] == [
        ("ledger", 0, 3, 1),
        ("ledger", 1, 3, 1),
        ("ledger", 2, 3, 1),
        ("ledger", 3, 3, 1),
        ("ledger", 4, 1, 0),
        ("ledger", 5, 1, 0),
        ("events", 6, 1, 0),
    ]
    winners = dict(rows(settings, WINNERS))
    assert winners["tie"] == "3.100000000000", "the last line of the file that landed last"
    assert winners["late"] == "5.000000000000"
    assert winners == dict(rows(other, WINNERS))
    assert rows(settings, CONTENT) == rows(other, CONTENT)
    rejects = "select path, line, reason_code, raw from {} order by all"
    assert len(rows(settings, rejects, "rejects")) == 4
    assert rows(settings, rejects, "rejects") == rows(other, rejects, "rejects")
    assert "ledger/again.jsonl" not in loaded_paths(settings), (
        "the same content as another file of another group"
    )
    assert is_in_order(settings)
    assert left_over(settings) == []
    assert load(settings, "ledger").batch_seq is None
    assert ingest(settings) == []


def test_groups_are_runs_of_files_in_the_order_in_which_they_landed(settings: Settings) -> None:
    for second, name in enumerate("cab"):
        land(settings, f"ledger/{name}.jsonl", [charge(name, NOON)], second=second)
    land(settings, "payments/p.jsonl", [Raw("{")])
    size = settings.home.landing.joinpath("ledger/a.jsonl").stat().st_size
    planned = [
        (group.number, group.source, [file.path for file in group.files])
        for group in plan_groups(settings, 2 * size)
    ]
    assert planned == [
        (0, "ledger", ["ledger/c.jsonl", "ledger/a.jsonl"]),
        (1, "ledger", ["ledger/b.jsonl"]),
        (2, "payments", ["payments/p.jsonl"]),
    ]


def test_rows_have_the_final_number_of_their_batch_where_others_were_faster(settings: Settings) -> None:
    land_three(settings)
    prepared = [prepare(settings, group) for group in plan_groups(settings, 1) if group.source == "ledger"]
    load(settings, "events")
    committed = list(commit_groups(settings, prepared))
    assert [one.batch_seq for one in committed] == [1, 2]
    assert is_in_order(settings)
    # Of the three records of each file, one is no record.
    assert rows(settings, "select batch_seq, count(*) from {} group by all order by all") == [(1, 2), (2, 2)]


def test_a_batch_with_large_records_keeps_its_small_row_groups(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More of them would not fit into memory."""
    land(settings, "ledger/a.jsonl", [charge(f"e{number}", NOON) for number in range(5000)])
    write = write_module._write
    monkeypatch.setattr(
        write_module,
        "_write",
        lambda connection, query, parquet, _: write(connection, query, parquet, SMALL_GROUPS),
    )
    prepared = [prepare(settings, group) for group in plan_groups(settings)]
    land(settings, "events/a.jsonl", [Raw("{")])
    load(settings, "events")
    assert [one.batch_seq for one in commit_groups(settings, prepared)] == [1]
    (parquet,) = settings.home.lake.glob("ledger_entries/*/*.parquet")
    written = pq.read_metadata(parquet)
    assert sorted(written.row_group(place).num_rows for place in range(written.num_row_groups)) == [
        904,
        2048,
        2048,
    ]
    assert rows(settings, "select count(distinct entry_id), min(batch_seq), max(batch_seq) from {}") == [
        (5000, 1, 1)
    ]


def test_a_number_that_is_taken_between_look_and_commit_is_left_to_who_has_it(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    land(settings, "ledger/a.jsonl", [charge("a", NOON)])
    land_other = partial(land, settings, "events/a.jsonl", [Raw("{")])
    put, taken = lake.put_where_nothing_is, []

    def put_late(prepared: Path, path: Path) -> bool:
        if not taken:
            taken.append(path)
            land_other()
            load(settings, "events")
        return put(prepared, path)

    monkeypatch.setattr(lake, "put_where_nothing_is", put_late)
    assert [one.batch_seq for one in ingest(settings)] == [1]
    assert [manifest.table for manifest in Lake(settings.home).manifests()] == [
        "webhook_events",
        "ledger_entries",
    ]
    assert is_in_order(settings)
    assert left_over(settings) == []


def test_a_file_that_changes_after_the_plan_has_landed_behind_the_others(settings: Settings) -> None:
    for second, name in enumerate("abc"):
        land(settings, f"ledger/{name}.jsonl", [charge("tie", NOON, str(second))], second=second)
    planned = plan_groups(settings, group_bytes=10**6)
    kept = [prepare(settings, group) for group in planned]
    land(settings, "ledger/a.jsonl", [charge("tie", NOON, "7")], second=9)
    assert [one.files for one in commit_groups(settings, kept)] == [2]
    assert [one.files for one in ingest(settings)] == [1]
    assert rows(settings, WINNERS) == [("tie", "7.000000000000")]


def test_a_listing_that_shows_the_later_of_two_batches_only_hides_none(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Folders that are read while names are added may show one that came later and not one that came
    before.
    """
    land_three(settings)
    ingest(settings)
    monkeypatch.setattr(Path, "glob", lambda folder, _: iter([folder / "00000002.json"]))
    assert [manifest.batch_seq for manifest in Lake(settings.home).manifests()] == [0, 1, 2]


def test_a_build_leaves_a_batch_whose_models_came_after_the_price_book_to_the_next(
    settings: Settings,
) -> None:
    land(settings, "ledger/a.jsonl", [charge("a", NOON, model="one")])
    ingest(settings)
    resolve_price_book(settings)
    for second, model in enumerate(("one", "two", "one"), start=1):
        land(settings, f"ledger/{second}.jsonl", [charge(f"e{second}", NOON, model=model)], second=second)
    ingest(settings)
    assert [manifest.batch_seq for manifest in resolved_batches(Lake(settings.home))] == [0, 1]
    resolve_price_book(settings)
    assert [manifest.batch_seq for manifest in resolved_batches(Lake(settings.home))] == [0, 1, 2, 3]


def test_a_cluster_is_shown_what_was_planned_and_nothing_that_came_since(settings: Settings) -> None:
    for second, name in enumerate("ab"):
        land(settings, f"ledger/{name}.jsonl", [charge(name, NOON)], second=second)
    ingest(settings)
    resolve_price_book(settings)
    first, second = (manifest.folder for manifest in Lake(settings.home).manifests())
    everything, planned = ("\n".join(cluster_statements(settings, "", -1, through)) for through in (None, 0))
    assert [folder in everything for folder in (first, second)] == [True, True]
    assert [folder in planned for folder in (first, second)] == [True, False]
    assert ["ledger/b.jsonl" in shown for shown in (everything, planned)] == [True, False]


@pytest.mark.soak
def test_marts_are_what_they_are_after_one_load(tmp_path: Path) -> None:
    one, several = settings_of(tmp_path / "one"), settings_of(tmp_path / "several")
    for settings in (one, several):
        land_ties(settings)
    ingest(several)
    for settings in (one, several):
        publish_home(settings.home.root, as_of="2026-10-05T12:00:00Z", max_reject_ratio="1")
    assert len(Lake(several.home).manifests()) == 7
    assert differences(dict(tables(one.home)), dict(tables(several.home))) == []


# ---- others at the same time


def test_of_two_workers_on_the_same_group_one_makes_the_batch(settings: Settings) -> None:
    land_three(settings)
    first, second = ([prepare(settings, group) for group in plan_groups(settings, 1)] for _ in range(2))
    assert len(list(commit_groups(settings, second))) == 3
    assert list(commit_groups(settings, first)) == []
    assert list(commit_groups(settings, second)) == [], "a step that is repeated"
    assert len(loaded_paths(settings)) == 3


def test_a_file_that_two_workers_cannot_read_is_one_reject(settings: Settings) -> None:
    land(settings, "ledger/a.jsonl.gz", [charge("a", NOON)])
    first, second = ([prepare(settings, group) for group in plan_groups(settings)] for _ in range(2))
    assert [one.rejected for one in commit_groups(settings, first)] == [1]
    assert list(commit_groups(settings, second)) == []
    assert rows(settings, "select path, reason_code from {}", "rejects") == [
        ("ledger/a.jsonl.gz", "not_what_its_name_says")
    ]
    assert plan_groups(settings) == [], "the next load tries it again"


@pytest.mark.parametrize("other", ["groups", *in_soak("load")])
def test_processes_that_load_the_same_files_at_the_same_moment_load_each_once(
    tmp_path: Path, other: str
) -> None:
    for number in range(ROUNDS):
        land_three(settings_of(tmp_path / str(number)))
    homes, barrier = [tmp_path / str(number) for number in range(ROUNDS)], CHILDREN.Barrier(2)
    children = [
        CHILDREN.Process(daemon=True, target=at_once, args=(homes, barrier, how)) for how in ("groups", other)
    ]
    for child in children:
        child.start()
    for child in children:
        child.join()
    assert [child.exitcode for child in children] == [0, 0]
    for number in range(ROUNDS):
        check_three(settings_of(tmp_path / str(number)))


def test_what_a_living_worker_writes_is_not_removed(settings: Settings) -> None:
    land(settings, "ledger/a.jsonl", [charge("a", NOON)])
    with settings.home.working(), Lake(settings.home).staging() as staging_dir:
        placed = settings.home.lake / "ledger_entries" / "batch=00000000-other"
        placed.mkdir(parents=True)
        load(settings, "ledger")
        assert staging_dir.exists()
        assert placed.exists()
    load(settings, "ledger")
    assert not placed.exists()
    assert left_over(settings) == []


@pytest.mark.parametrize(
    ("makes", "left"),
    [(ingest, "batch=00000000"), (partial(load, source_name="ledger"), "batch=00000000-other")],
)
def test_what_a_killed_process_left_under_a_number_that_another_took_is_removed(
    settings: Settings, makes: Any, left: str
) -> None:
    land(settings, "ledger/a.jsonl", [charge("a", NOON)])
    with settings.home.working():
        (settings.home.lake / "rejects" / left).mkdir(parents=True)
        (settings.home.lake / "rejects" / "batch=of somebody").mkdir()
        makes(settings)
    load(settings, "ledger")
    assert left_over(settings) == []
    assert rows(settings, "select entry_id from {}") == [("a",)]


def test_what_is_prepared_waits_a_day_for_its_commit(settings: Settings) -> None:
    land(settings, "ledger/a.jsonl", [charge("a", NOON)])
    (kept,) = [prepare(settings, group) for group in plan_groups(settings)]
    load(settings, "events")
    assert kept.name
    (folder,) = settings.home.tmp.glob("prepared-*")
    old = time.time() - DAY_SECONDS - 1
    os.utime(folder, (old, old))
    load(settings, "events")
    assert left_over(settings) == []
    assert [one.batch_seq for one in commit_groups(settings, [kept])] == [0], "it is made again"


def test_an_erasure_waits_for_workers_and_what_they_have_prepared_is_made_again(settings: Settings) -> None:
    land(settings, "ledger/a.jsonl", [charge("a", NOON, user="alice")])
    load(settings, "ledger")
    land(settings, "ledger/b.jsonl", [charge("b", NOON, user="alice")], second=1)
    (kept,) = [prepare(settings, group) for group in plan_groups(settings)]
    with settings.home.working():
        erasing = threading.Thread(target=erase, args=(settings, "alice"))
        erasing.start()
        erasing.join(0.5)
        assert erasing.is_alive()
        assert rows(settings, "select user_id from {}") == [("alice",)]
    erasing.join()
    assert left_over(settings) == [], "what was prepared names the person"
    assert [one.accepted for one in commit_groups(settings, [kept])] == [1]
    ((pseudonym, entries),) = rows(settings, "select user_id, count(*) from {} group by all")
    assert pseudonym.startswith("erased-")
    assert entries == 2


# ---- kills


# In the middle of a commit; at the other moments, in `make soak`.
FEW_POINTS = ("files are in their places, the manifest is not",)


@pytest.mark.parametrize(
    "point", [*FEW_POINTS, *in_soak(*(point for point in POINTS if point not in FEW_POINTS))]
)
def test_a_worker_that_is_killed_loses_nothing_and_doubles_nothing(settings: Settings, point: str) -> None:
    land_three(settings)
    child = CHILDREN.Process(daemon=True, target=worker, args=(settings.home.root, point))
    child.start()
    child.join()
    assert child.exitcode == -signal.SIGKILL
    assert len(Lake(settings.home).manifests()) == (1 if point == "the first manifest is there" else 0)
    ingest(settings)
    check_three(settings)


def check_three(settings: Settings) -> None:
    assert loaded_paths(settings) == ["events/a.jsonl", "ledger/a.jsonl", "ledger/b.jsonl"]
    assert [
        len(rows(settings, "from {}", table)) for table in ("ledger_entries", "webhook_events", "rejects")
    ] == [4, 1, 2]
    assert rows(settings, WINNERS) == [
        ("own a", "1.000000000000"),
        ("own b", "1.000000000000"),
        ("tie", "1.000000000000"),
    ]
    assert is_in_order(settings)
    with settings.home.writing(), settings.home.without_workers(wait=False) as alone:
        assert alone, "the system has freed the lock of the dead"
        Lake(settings.home).remove_orphans()
    assert left_over(settings) == []


def test_workers_that_are_killed_at_random_moments_lose_nothing_and_double_nothing(tmp_path: Path) -> None:
    chance, kills = random.Random(1), Counter[bool]()
    for number in range(ROUNDS):
        settings = settings_of(tmp_path / str(number))
        land_three(settings)
        # Two at once: one dies while the other is at work.
        children = [
            CHILDREN.Process(daemon=True, target=worker, args=(settings.home.root, None)) for _ in range(2)
        ]
        for child in children:
            child.start()
        time.sleep(chance.uniform(0.05, 0.7))
        children[0].kill()
        for child in children:
            child.join()
        assert children[1].exitcode == 0
        kills[children[0].exitcode == -signal.SIGKILL] += 1
        check_three(settings)
    assert kills[True]


# ---- Dagster


@pytest.fixture
def run(
    settings: Settings, instance: dg.DagsterInstance
) -> Iterator[Callable[[], dg.ExecuteInProcessResult]]:
    def go() -> dg.ExecuteInProcessResult:
        config = {"ops": {"plan_ingestion": {"config": {"group_bytes": 1}}}}
        return ingest_job(settings, dg.in_process_executor).execute_in_process(
            config, instance=instance, raise_on_error=False
        )

    return go


def test_the_job_makes_a_step_of_each_group(
    settings: Settings, run: Callable[[], dg.ExecuteInProcessResult]
) -> None:
    land_three(settings)
    done = run()
    assert done.success
    steps = Counter(event.step_key for event in done.all_events if event.is_step_success)
    assert len([step for step in steps if step.startswith("load_group[")]) == 3
    keys = [
        event.asset_key.to_user_string()
        for event in done.get_asset_materialization_events()
        if event.asset_key
    ]
    assert Counter(keys) == {"raw/ledger_entries": 2, "raw/webhook_events": 1}
    check_three(settings)
    assert run().success, "nothing is new"


def test_a_file_that_changes_while_a_step_reads_it_is_left_to_the_next_ingestion(
    settings: Settings, run: Callable[[], dg.ExecuteInProcessResult], monkeypatch: pytest.MonkeyPatch
) -> None:
    file = land(settings, "ledger/a.jsonl", [charge("a", NOON)])
    stage, tries = groups.stage_batch, []

    def stage_while_it_changes(*arguments: Any, **options: Any) -> Any:
        tries.append(len(arguments[2]))
        if len(tries) == 1:
            file.write_bytes(jsonl([charge("b", NOON)]))
            raise LandingFileChangedError(file.name)
        return stage(*arguments, **options)

    monkeypatch.setattr(groups, "stage_batch", stage_while_it_changes)
    monkeypatch.setattr("orchestration.retries.FIRST_WAIT_SECONDS", 0)
    assert run().success
    assert tries == [1, 0]
    monkeypatch.undo()
    assert [one.files for one in ingest(settings)] == [1]


def test_an_ingestion_is_followed_by_the_run_that_builds(
    settings: Settings, run: Callable[[], dg.ExecuteInProcessResult], instance: dg.DagsterInstance
) -> None:
    done = run()
    sensor = ingested_sensor(ingest_job(settings, dg.in_process_executor))
    (ended,) = [event for event in done.all_events if event.event_type is dg.DagsterEventType.RUN_SUCCESS]
    context = dg.build_run_status_sensor_context(
        "ingested", dagster_event=ended, dagster_instance=instance, dagster_run=done.dagster_run
    )
    request = sensor(context)
    assert isinstance(request, dg.RunRequest)
    assert (sensor.job_name, request.run_key) == ("refresh", done.run_id)
