"""The same ledgers on both engines: DuckDB, and Spark on a cluster on the same machine.

    make .venv-spark/.installed
    .venv-spark/bin/python -m benchmarks.engines [--entries 1000000 10000000 30000000]
                                                 [--spark 1000000 10000000 30000000]
                                                 [--results benchmarks/results]

For each size there is a full run and a night of 1 % with DuckDB. Then the same is measured with a master, two
workers of one core each and a Thrift server, on Iceberg tables. CPU, shuffled bytes and spilled bytes of
Spark's tasks come from its event log.
"""

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

from benchmarks.contenders import Run, pipeline
from benchmarks.growth import LATE_DAYS, SHARE
from benchmarks.ledgers import Ledger
from benchmarks.measure import disk_mb, scratch
from benchmarks.spark_events import Tasks, tasks_of
from benchmarks.stages import CHECKS, DBT, EXPORTS, INGEST, PUBLISH
from benchmarks.tables import RESULTS, head, table, write
from warehouse.spark.local_cluster import LocalCluster

# Other ports than `make spark-up`, which may be running.
PORT, MASTER_PORT, METASTORE_PORT = 10_027, 7_127, 9_127
WORKER_MEMORY, DRIVER_MEMORY, SHUFFLE_PARTITIONS = "3g", "2g", 16
DUCKDB, SPARK = "DuckDB", "Spark"
FULL, NIGHT = "full", "night of 1 %"
LARGEST = 12
MEASURED = (INGEST, DBT, CHECKS, PUBLISH, EXPORTS)


@dataclass
class Measured:
    """One run of one engine."""

    entries: int
    engine: str
    kind: str
    run: Run
    tasks: Tasks = field(default_factory=Tasks)
    tables_mb: float = 0
    """The size of the cluster's tables, including files and snapshots that are no longer read."""
    files: int = 0


@contextmanager
def cluster(folder: Path) -> Iterator[LocalCluster]:
    """Start a cluster that logs its tasks, and stop it afterwards."""
    events = folder / "events"
    events.mkdir(parents=True)
    settings = {
        "spark.eventLog.enabled": "true",
        "spark.eventLog.dir": events.as_uri(),
        "spark.eventLog.compress": "false",
    }
    started = LocalCluster(
        folder,
        port=PORT,
        master_port=MASTER_PORT,
        metastore_port=METASTORE_PORT,
        memory=WORKER_MEMORY,
        driver_memory=DRIVER_MEMORY,
        shuffle_partitions=SHUFFLE_PARTITIONS,
        settings=settings,
    )
    try:
        started.up()
        yield started
    finally:
        started.down()


def both_runs(
    ledger: Ledger, engine: str, work: Path, note: Callable[[Measured], None], running: LocalCluster | None
) -> None:
    """Measure a full run, then a night, on a new home."""
    home, landing = work / "home", work / "landing"
    home.mkdir()
    ledger.link(landing)
    settings = (
        {"WAREHOUSE_TARGET": "spark", "SPARK_PORT": str(PORT), "SPARK_TABLE_FORMAT": "iceberg"}
        if running
        else {}
    )
    night = None
    done = Tasks()
    for kind in (FULL, NIGHT):
        if kind == NIGHT:
            night = ledger.land_night(landing, ledger.entries, round(ledger.entries * SHARE), LATE_DAYS)
        measured = Measured(
            ledger.entries,
            engine,
            kind,
            pipeline(landing, home, night.as_of if night else ledger.as_of, **settings),
        )
        if running:
            so_far = tasks_of(running.folder / "events")
            measured.tasks, done = so_far.since(done), so_far
            measured.tables_mb = disk_mb(running.warehouse)
            measured.files = sum(1 for _ in running.warehouse.rglob("*.parquet"))
        note(measured)


def benchmark(duckdb: Sequence[int], spark: Sequence[int], results: Path) -> None:
    """Measure all sizes, the smallest first. The file is written after each run."""
    measured: list[Measured] = []

    def note(one: Measured) -> None:
        measured.append(one)
        print(
            f"{one.entries:,} entries, {one.engine}, {one.kind}: {one.run.measured.seconds:.0f} s",
            file=sys.stderr,
        )
        write(results, "engines", lines(measured))

    for entries in sorted({*duckdb, *spark}):
        if entries in duckdb:
            with scratch() as work:
                both_runs(Ledger(entries), DUCKDB, work, note, None)
        if entries in spark:
            with scratch() as work, cluster(work / "cluster") as running:
                both_runs(Ledger(entries), SPARK, work, note, running)


def lines(measured: Sequence[Measured]) -> list[str]:
    """Return the lines of the result file."""
    return [
        *head("Both engines on the same ledgers"),
        (
            f"Spark: master, two workers of one core and {WORKER_MEMORY} each, a Thrift server with"
            f" {DRIVER_MEMORY}, on the machine that measures; Iceberg, {SHUFFLE_PARTITIONS} shuffle"
            " partitions. One run each. CPU of DuckDB is that of the command; of Spark that of its tasks,"
            " without the Thrift server's planning and the command itself."
        ),
        "",
        *table(
            (
                "entries",
                "engine",
                "run",
                "wall s",
                *(f"{stage} s" for stage in MEASURED),
                "CPU s",
                "peak of the command MB",
            ),
            [
                [
                    f"{one.entries:,}",
                    one.engine,
                    one.kind,
                    f"{one.run.measured.seconds:.0f}",
                    *(f"{one.run.stages.get(stage, 0):.1f}" for stage in MEASURED),
                    f"{one.tasks.cpu_seconds or one.run.measured.cpu_seconds:.0f}",
                    f"{one.run.measured.peak_mb:,.0f}",
                ]
                for one in measured
            ],
        ),
        "",
        "## What Spark's tasks did",
        "",
        *table(
            ("entries", "run", "tasks", "shuffled MB", "spilled MB", "tables MB", "files"),
            [
                [
                    f"{one.entries:,}",
                    one.kind,
                    f"{one.tasks.tasks:,}",
                    f"{one.tasks.shuffled_mb:,.0f}",
                    f"{one.tasks.spilled_mb:,.0f}",
                    f"{one.tables_mb:,.0f}",
                    f"{one.files:,}",
                ]
                for one in measured
                if one.engine == SPARK
            ],
        ),
        "",
        "## What took their CPU",
        "",
        f"Seconds by dbt's models and tests, the {LARGEST} largest of each run.",
        "",
        *table(
            ("entries", "run", "CPU s of"),
            [
                [
                    f"{one.entries:,}",
                    one.kind,
                    ", ".join(
                        f"{node} {seconds:.0f}"
                        for node, seconds in one.tasks.cpu_by_node.most_common(LARGEST)
                    ),
                ]
                for one in measured
                if one.engine == SPARK
            ],
        ),
        "",
        "## Slopes",
        "",
        "Seconds that each further million entries takes, between one size and the next.",
        "",
        *table(
            ("from", "to", "engine", "run", "wall s", *(f"{stage} s" for stage in MEASURED)),
            list(slopes(measured)),
        ),
    ]


def slopes(measured: Sequence[Measured]) -> Iterator[list[str]]:
    """Yield a row for each pair of consecutive sizes, engine and kind of run."""
    for engine in (DUCKDB, SPARK):
        for kind in (FULL, NIGHT):
            own = [one for one in measured if (one.engine, one.kind) == (engine, kind)]
            for small, large in pairwise(own):
                millions = (large.entries - small.entries) / 1e6
                wall = (large.run.measured.seconds - small.run.measured.seconds) / millions
                stages = [
                    (large.run.stages.get(stage, 0) - small.run.stages.get(stage, 0)) / millions
                    for stage in MEASURED
                ]
                yield [
                    f"{small.entries:,}",
                    f"{large.entries:,}",
                    engine,
                    kind,
                    f"{wall:.2f}",
                    *(f"{seconds:.2f}" for seconds in stages),
                ]


def main() -> None:
    """Measure and write the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--entries", type=int, nargs="+", default=[1_000_000, 10_000_000, 30_000_000])
    parser.add_argument("--spark", type=int, nargs="*", default=[1_000_000, 10_000_000, 30_000_000])
    parser.add_argument("--results", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    benchmark(arguments.entries, arguments.spark, arguments.results)


if __name__ == "__main__":
    main()
