"""What the benchmarks are built on: the nights, the measurement of a process, the sums of stages, the
verdicts.
"""

import json
import sys
from collections import Counter
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from benchmarks import ledgers
from benchmarks.contenders import ByHand, Run
from benchmarks.engines import FULL, SPARK, Measured, slopes
from benchmarks.full import Full
from benchmarks.growth import Growth, targets
from benchmarks.ledgers import Ledger, Night
from benchmarks.lookup import Lookup
from benchmarks.measure import Measurement, clean_environment, measure
from benchmarks.peers.compare import DLT, DLT_PARQUET, STEP, Comparison, Contender, Loaded
from benchmarks.same_outputs import BY_DAY, SNAPSHOTS
from benchmarks.spark_events import CHECKS, COPIES, Tasks, tasks_of
from benchmarks.stages import Steps, covered, recorded_steps, stage_of, stage_seconds
from benchmarks.tables import Target, spread, target_table
from exports.datasets import DATASETS
from orchestration.cli.progress import TITLES
from orchestration.instance import open_instance
from paywall_warehouse.home import Home

HISTORY = Ledger(2_000)
NIGHT = 500


def rows(folder: Path, pattern: str) -> list[dict[str, Any]]:
    """The records of some landed files."""
    return [
        json.loads(line)
        for file in sorted(folder.glob(pattern))
        for line in file.read_text(encoding="utf-8").splitlines()
    ]


@pytest.fixture(scope="module")
def landed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A history and two nights after it."""
    landing = tmp_path_factory.mktemp("landing")
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(ledgers, "DATA", tmp_path_factory.mktemp("data"))
        HISTORY.link(landing)
        first = HISTORY.land_night(landing, HISTORY.entries, NIGHT, late_days=30)
        HISTORY.land_night(landing, first.next_offset, NIGHT, late_days=30)
    return landing / "ledger"


def test_two_per_cent_of_a_night_are_late_versions_and_the_rest_is_new(landed: Path) -> None:
    late = rows(landed, "late-000000002000.jsonl")
    new = {
        row["id"] for row in rows(landed, "ledger-*.jsonl") if "e000000002000" <= row["id"] < "e000000002490"
    }
    assert len({row["id"] for row in late}) == len(late) == 10
    assert len(new) == NIGHT - 10


def test_late_versions_change_entries_of_the_last_days_before_the_night(
    landed: Path,
) -> None:
    for night in (2000, 2490):
        before = {row["id"]: row for row in rows(landed, "ledger-*.jsonl") if row["id"] < f"e{night:012d}"}
        since = HISTORY.instant(night) - timedelta(days=30)
        for late in rows(landed, f"late-{night:012d}.jsonl"):
            earlier = before[late["id"]]
            assert late["updated_at"] > earlier["updated_at"]
            assert (late["status"], late["amount"]) != (earlier["status"], earlier["amount"])
            assert late["timestamp"] == earlier["timestamp"]
            assert datetime.fromisoformat(late["timestamp"]) >= since


def test_a_night_continues_the_time_axis_of_its_history(landed: Path) -> None:
    stamps = {row["id"]: datetime.fromisoformat(row["timestamp"]) for row in rows(landed, "ledger-*.jsonl")}
    assert list(stamps) == sorted(stamps)
    pace = timedelta(days=365) / HISTORY.entries
    between = [
        later - earlier
        for earlier, later in zip(list(stamps.values()), list(stamps.values())[1:], strict=False)
    ]
    assert max(abs(gap - pace) for gap in between) <= timedelta(microseconds=2)


def test_a_process_is_measured_with_its_children_its_files_and_what_it_says(tmp_path: Path) -> None:
    child = "x = bytearray(200_000_000); import time; time.sleep(1)"
    parent = (
        "import subprocess, sys; open('file', 'wb').write(bytes(1_000_000)); subprocess.run([sys.executable,"
        f" '-c', {child!r}]); print(7)"
    )
    done = measure([sys.executable, "-c", parent], tmp_path, {})
    assert done.output == "7\n"
    assert done.as_dict() == 7
    assert done.peak_mb > 200
    assert done.disk_mb == 1
    assert done.cpu_seconds > 0


def test_a_failed_process_raises_with_its_output(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match=r"exit code 3 of (.|\n)*the reason"):
        measure([sys.executable, "-c", "print('the reason'); raise SystemExit(3)"], tmp_path, {})


def test_own_settings_do_not_reach_what_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EXPORT_URI", "/elsewhere")
    monkeypatch.setenv("DUCKDB_MEMORY_LIMIT", "1GB")
    environment = clean_environment({"WAREHOUSE_HOME": "/home"})
    assert "EXPORT_URI" not in environment
    assert (environment["WAREHOUSE_HOME"], environment["DUCKDB_MEMORY_LIMIT"]) == ("/home", "1GB")


def test_every_step_of_a_run_has_a_stage() -> None:
    assert {stage_of(step) for step in TITLES} == {"ingest", "dbt", "checks and publish", "exports"}
    assert stage_of("something_new") == "other steps"


STEPS = {
    "raw__ledger_entries": (10.0, 14.0),
    "raw__price_book": (13.0, 15.0),
    "dbt_models": (16.0, 26.0),
    "published__warehouse": (26.0, 29.0),
    "exports__ledger": (29.5, 31.0),
    "something_new": (31.0, 31.5),
}


def test_stages_add_up_to_the_wall_and_steps_side_by_side_count_once() -> None:
    seconds = stage_seconds(Steps(STEPS), wall=40)
    expected = {
        "ingest": 5,
        "dbt": 10,
        "checks and publish": 3,
        "exports": 1.5,
        "other steps": 0.5,
        "start-up": 20,
    }
    assert seconds == pytest.approx(expected)
    assert sum(seconds.values()) == pytest.approx(40)


def test_checks_and_publication_are_two_stages_where_the_asset_times_both() -> None:
    seconds = stage_seconds(Steps(STEPS, check_seconds=1.25, publish_seconds=1.5), wall=40)
    assert (seconds["checks"], seconds["publish"], seconds["other steps"]) == pytest.approx((1.25, 1.5, 0.75))
    assert "checks and publish" not in seconds
    assert sum(seconds.values()) == pytest.approx(40)


def test_steps_are_read_from_what_dagster_recorded_since_the_command_began(tmp_path: Path) -> None:
    @dg.asset(key=["raw", "ledger_entries"])
    def ledger_entries() -> None: ...

    @dg.asset(key=["published", "warehouse"], deps=[ledger_entries])
    def published() -> dg.MaterializeResult[None]:
        return dg.MaterializeResult(metadata={"check seconds": 1.25, "publish seconds": 0.5})

    @dg.asset(key=["marts", "fct_ledger_entries"], deps=[ledger_entries])
    def ledger_table() -> dg.MaterializeResult[None]:
        return dg.MaterializeResult(metadata={"Execution Duration": 3.5})

    with open_instance(Home(tmp_path)) as instance:
        run_id = dg.materialize([ledger_entries, ledger_table, published], instance=instance).run_id
        record = instance.get_run_record_by_id(run_id)
    assert record is not None
    began_at = record.create_timestamp.timestamp()
    steps = recorded_steps(tmp_path, began_at - 1)
    assert set(steps.intervals) == {
        "raw__ledger_entries",
        "marts__fct_ledger_entries",
        "published__warehouse",
    }
    assert (steps.check_seconds, steps.publish_seconds, steps.ledger_table_seconds) == (1.25, 0.5, 3.5)
    assert steps.seconds("raw__ledger_entries") > 0
    assert recorded_steps(tmp_path, began_at + 1).intervals == {}


def test_a_run_without_steps_is_all_start_up() -> None:
    assert stage_seconds(Steps({}), wall=7) == {"start-up": 7}
    assert covered([]) == 0


def test_verdicts() -> None:
    assert Target("a", 1.5, 1.5, "×").verdict == "met"
    assert Target("a", 1.5, 1.8, "×").verdict == "**missed** by 0.30 × (20%)"
    assert Target("a", 50, 60, "×", at_least=True).verdict == "met"
    assert Target("a", 50, 40, "×", at_least=True).verdict == "**missed** by 10.00 × (20%)"
    assert target_table([]) == []
    assert spread([3, 1, 2]) == "2.0 (1.0 to 3.0)"
    assert spread([3]) == "3.0"


def measured(seconds: float, peak_mb: float = 0, disk_mb: float = 0, output: str = "") -> Measurement:
    """A process that began at 0."""
    return Measurement(0, seconds, 0, peak_mb, disk_mb, output)


def a_run(seconds: float, start_up: float, peak_mb: float = 0, disk_mb: float = 0) -> Run:
    """A run with one step, before which it started up."""
    return Run(measured(seconds, peak_mb, disk_mb), Steps({"raw__ledger_entries": (start_up, seconds)}))


def by_hand(seconds: float) -> ByHand:
    """A run of `same_outputs.py`."""
    return ByHand(
        measured(seconds, output='export users 0.1 s\n{"ingest": 20.0, "tables": 11.0, "exports": 8.5}\n')
    )


def results(found: list[Target]) -> list[tuple[float, float]]:
    """Promised and measured."""
    return [(one.limit, round(one.measured, 6)) for one in found]


def test_a_first_run_of_10_m_is_held_against_the_hand_written_sql() -> None:
    runs = [a_run(70, 8, 2_000, 900), a_run(60, 8, 2_700, 900), a_run(80, 8, 2_000, 900)]
    full = Full(
        10_000_000,
        [measured(35), measured(28), measured(40)],
        [by_hand(50), by_hand(40), by_hand(60)],
        runs,
        [a_run(9, 8)],
        floor_ledger_mb=80,
        ledger_mb=100,
    )
    assert results(full.targets()) == [(1.35, 70 / 50), (1.5, 70 / 35), (2.6, 2.7), (9, 9)]
    assert any("beside `limit.py`'s Parquet 11.25 ×" in line for line in full.lines())
    assert "| `paywall-warehouse run` | 70.0 (60.0 to 80.0) | 2.00 × | 1.40 × |" in "\n".join(full.lines())


def test_stages_of_a_run_stand_beside_those_of_the_same_outputs() -> None:
    run = Run(measured(40), Steps({**STEPS, "exports__users": (30.0, 32.0)}, ledger_table_seconds=4.0))
    full = Full(20_000, [measured(30)], [by_hand(41)], [run], [a_run(9, 8)], floor_ledger_mb=1, ledger_mb=1)
    assert full.by_hand[0].stages == {"ingest": 20, "tables": 11, "exports": 8.5, "the rest": 1.5}
    # Exports from 29.5 to 32, two of them side by side for a second.
    assert run.same_stages == {"ingest": 5, "tables": 10, "exports": 2.5, "the rest": 22.5}
    lines = full.lines()
    first = lines.index("| ingest | 20.0 | 5.0 | -15.0 |")
    assert lines[first + 1 : first + 4] == [
        "| tables | 11.0 | 10.0 | -1.0 |",
        "| exports | 8.5 | 2.5 | -6.0 |",
        "| the rest | 1.5 | 22.5 | +21.0 |",
    ]
    assert "in 4.0 s by dbt's clock" in lines[first + 5]


def test_start_up_at_1_m_is_a_whole_run_of_hardly_anything() -> None:
    def full(entries: int) -> Full:
        return Full(entries, [measured(4)], [by_hand(5)], [a_run(30, 8)], [a_run(12, 8)])

    assert results(full(1_000_000).targets()) == [(22, 30), (20, 12)]
    assert full(100_000).targets() == []


def test_the_floor_exports_the_datasets_of_the_pipeline_in_the_same_order() -> None:
    written = {
        **{name: (table, day, f"{day}, {order}") for name, table, day, order in BY_DAY},
        **{name: (table, None, order) for name, table, order in SNAPSHOTS},
    }
    # A ledger alone has no rows of these.
    empty = {"usage_errors", "bill_lines", "cost_reconciliation", "payouts"}
    assert written == {
        one.name: (one.mart, one.day, ", ".join(one.order))
        for one in DATASETS.values()
        if not one.is_optional and one.name not in empty
    }


def history(entries: int, full: float, share: float, same: float, peak_mb: float) -> Growth:
    """What growth measured on a history."""
    night = Night(entries, 98, 2, ledgers.ENDS_AT)
    found = [Lookup("u1", 9, 0.01, 0.5), Lookup("u2", 5, 0.01, 0.2), Lookup("u3", 1, 0.01, 0.1)]
    idle = [a_run(6, 5), a_run(8, 5), a_run(7, 5)]
    return Growth(
        Ledger(entries), [a_run(full, 9, peak_mb)], [a_run(share, 5)], [a_run(same, 5)], idle, [night], found
    )


def test_nights_are_held_against_the_full_run_and_histories_against_each_other() -> None:
    found = targets(
        [history(10_000_000, 100, 20, 25, 2_000), history(30_000_000, 300, 30, 31, 2_500)], same=100
    )
    assert results(found) == [
        (0.15, 0.2),
        (1.5, 7),
        (0.15, 0.1),
        (1.5, 7),
        (0.3, 0.2),
        (1.2, 26 / 20),
        (1.3, 1.25),
    ]
    assert [one.is_met for one in found] == [False, False, True, False, True, False, True]


def test_loading_is_held_against_dlt_by_the_rows_per_second_of_the_work_alone() -> None:
    def contender(name: str, seconds: float) -> Contender:
        return Contender(
            name,
            "load",
            lambda ledger, out: Loaded(0, 0, measured(0)),
            [Loaded(seconds, 1_000, measured(99))],
        )

    compared = Comparison(HISTORY, [contender(STEP, 1), contender(DLT, 60), contender(DLT_PARQUET, 12)])
    assert results(compared.targets()) == [(50, 60), (15, 12)]
    assert [one.is_met for one in compared.targets()] == [True, False]


# ---- engines


def test_what_sparks_tasks_did_is_summed_from_its_event_log(tmp_path: Path) -> None:
    def event(name: str, **more: object) -> str:
        return json.dumps({"Event": name, **more}, separators=(",", ":")) + "\n"

    def started(stage: int, statement: str) -> str:
        return event(
            "SparkListenerJobStart",
            **{"Stage IDs": [stage], "Properties": {"spark.job.description": statement}},
        )

    def ended(stage: int, cpu: float, shuffled: int, spilled: int) -> str:
        metrics = {
            "Executor CPU Time": int(cpu * 1e9),
            "Shuffle Write Metrics": {"Shuffle Bytes Written": shuffled},
            "Disk Bytes Spilled": spilled,
        }
        return event("SparkListenerTaskEnd", **{"Stage ID": stage, "Task Metrics": metrics})

    days = started(
        1, '/* {"app": "dbt", "node_id": "model.paywall_warehouse.fct_user_days"} */ insert into days'
    )
    copy = "insert overwrite directory '/staging' using parquet select * from days"
    failed = event("SparkListenerTaskEnd", **{"Stage ID": 1})
    half = ended(1, 9, 9, 9)[:60]
    (tmp_path / "app-1").write_text(
        days + ended(1, 1.5, 2_000_000, 0) + event("SparkListenerJobEnd", **{"Job ID": 1}) + failed + half
    )
    # Another application counts its stages anew; the text of its statement is nobody's of dbt.
    (tmp_path / "app-2").write_text(
        started(1, "select 1")
        + ended(1, 0.25, 1_000_000, 0)
        + started(2, copy)
        + ended(2, 0.25, 0, 4_000_000)
    )
    so_far = tasks_of(tmp_path)
    assert so_far == Tasks(2.0, 3.0, 4.0, 4, Counter({"fct_user_days": 1.5, CHECKS: 0.25, COPIES: 0.25}))
    assert so_far.since(Tasks(0.5, 1.0, 4.0, 1, Counter({"fct_user_days": 0.5}))) == Tasks(
        1.5, 2.0, 0.0, 3, Counter({"fct_user_days": 1.0, CHECKS: 0.25, COPIES: 0.25})
    )


def test_a_slope_is_what_each_further_million_takes() -> None:
    def measured(entries: int, seconds: float, dbt: float) -> Measured:
        steps = Steps({"dbt_models": (0.0, dbt)})
        return Measured(entries, SPARK, FULL, Run(Measurement(0.0, seconds, 0.0, 0.0, 0.0, ""), steps))

    (slope,) = slopes([measured(1_000_000, 100, 80), measured(11_000_000, 400, 280)])
    assert slope == [
        "1,000,000",
        "11,000,000",
        "Spark",
        "full",
        "30.00",
        "0.00",
        "20.00",
        "0.00",
        "0.00",
        "0.00",
    ]
