"""The first run of a ledger compared with hand-written SQL on the same files.

    python -m benchmarks.full [--entries 1000000] [--repeat 3] [--results benchmarks/results]

Each repetition runs `limit.py` and `same_outputs.py`, then `paywall-warehouse run` on an empty home,
including publication and the export as Parquet. Then it runs the command on a ledger of 100 entries of one
day, which shows the fixed cost of a run with the overhead of dbt and Dagster.
"""

import argparse
import statistics
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.contenders import (
    FLOOR_LEDGER,
    PIPELINE_LEDGER,
    SAME_STAGES,
    THE_REST,
    ByHand,
    Run,
    floor,
    home_parts,
    median_wall,
    pipeline,
    same_outputs,
    stages_of,
)
from benchmarks.ledgers import Ledger
from benchmarks.measure import Measurement, disk_mb, scratch
from benchmarks.stages import START_UP
from benchmarks.tables import RESULTS, Target, head, spread, table, target_table, write

TINY = Ledger(100, days=1)
FIELDS = ("cpu_seconds", "peak_mb", "disk_mb")


@dataclass
class Full:
    """The repetitions of one size."""

    entries: int
    floors: list[Measurement] = field(default_factory=list)
    """The runs of `limit.py`."""
    by_hand: list[ByHand] = field(default_factory=list)
    """The runs of `same_outputs.py`."""
    runs: list[Run] = field(default_factory=list)
    tiny: list[Run] = field(default_factory=list)
    floor_ledger_mb: float = 0
    ledger_mb: float = 0
    """The size of the entries as the pipeline exports them; `floor_ledger_mb` is that of `limit.py`."""
    home: dict[str, float] = field(default_factory=dict)

    @property
    def limit_ratio(self) -> float:
        """The wall time of the command divided by that of `limit.py`."""
        return median_wall(self.runs) / statistics.median(one.seconds for one in self.floors)

    @property
    def same_ratio(self) -> float:
        """The wall time of the command divided by that of `same_outputs.py`."""
        return median_wall(self.runs) / median_wall(self.by_hand)

    def repeat(self, number: int, of: int) -> None:
        """Measure each contender once more, in turn."""
        ledger = Ledger(self.entries)
        landing = ledger.make()
        with scratch() as out:
            self.floors.append(floor(landing, out))
            self.floor_ledger_mb = disk_mb(out / FLOOR_LEDGER)
        with scratch() as out:
            self.by_hand.append(same_outputs(landing, out))
        with scratch() as home:
            self.runs.append(pipeline(landing, home, ledger.as_of))
            self.ledger_mb, self.home = disk_mb(home / PIPELINE_LEDGER), home_parts(home)
        with scratch() as home:
            self.tiny.append(pipeline(TINY.make(), home, TINY.as_of))
        print(
            f"{self.entries:,} entries, {number} of {of}: limit.py {self.floors[-1].seconds:.1f} s,"
            f" same_outputs.py {self.by_hand[-1].measured.seconds:.1f} s, run"
            f" {self.runs[-1].measured.seconds:.1f} s, tiny {self.tiny[-1].measured.seconds:.1f} s",
            file=sys.stderr,
        )

    def targets(self) -> list[Target]:
        """Return the promises for a ledger of this size."""
        wall = median_wall(self.runs)
        if self.entries == 1_000_000:
            tiny = median_wall(self.tiny)
            outside = statistics.median(one.stages[START_UP] for one in self.runs)
            how = (
                f"a whole first run of {TINY.entries} entries of one day, so dbt's own overhead is in it;"
                f" outside all steps {outside:.1f} s"
            )
            return [
                Target("first run of 1 M entries", 22, wall, "s"),
                Target("start-up of a first run of 1 M entries", 20, tiny, "s", how=how),
            ]
        if self.entries == 10_000_000:
            peak = max(one.measured.peak_mb for one in self.runs) / 1e3
            disk = statistics.median(one.measured.disk_mb for one in self.runs)
            beside = (
                "the home beside the pipeline's export of the ledger; beside `limit.py`'s Parquet"
                f" {disk / self.floor_ledger_mb:.2f} ×"
            )
            return [
                Target(
                    "first run of 10 M entries beside `same_outputs.py`",
                    1.35,
                    self.same_ratio,
                    "×",
                    how="medians of the walls",
                ),
                Target(
                    "first run of 10 M entries beside `limit.py`",
                    1.5,
                    self.limit_ratio,
                    "×",
                    how="medians of the walls; an earlier promise, beside five tables and one export",
                ),
                Target("peak memory of the full run at 10 M", 2.6, peak, "GB", how="the highest of all runs"),
                Target(
                    "disk of the home without landing, beside the Parquet of the entries",
                    9,
                    disk / self.ledger_mb,
                    "×",
                    how=beside,
                ),
            ]
        return []

    def lines(self) -> list[str]:
        """Return the lines of the result file."""
        measured = [one.measured for one in self.runs]
        tiny = [one.measured for one in self.tiny]
        tiny_name = f"the same, {TINY.entries} entries of one day"
        by_hand = [one.measured for one in self.by_hand]
        rows = [
            self._row("`limit.py`", self.floors),
            self._row("`same_outputs.py`", by_hand),
            self._row("`paywall-warehouse run`", measured),
            [tiny_name, spread([one.seconds for one in tiny]), "", "", *_cells(tiny)],
        ]
        disk = statistics.median(one.disk_mb for one in measured)
        parts = ", ".join(f"`{name}` {size:,.1f}" for name, size in self.home.items() if size >= disk / 1000)
        return [
            *head(f"A first run of {self.entries:,} entries"),
            *table(
                (
                    "what",
                    "wall s",
                    "beside `limit.py`",
                    "beside `same_outputs.py`",
                    "CPU s",
                    "peak memory MB",
                    "disk MB",
                ),
                rows,
            ),
            "",
            "## Stages beside `same_outputs.py`, wall seconds",
            "",
            *self._same_stages(),
            "",
            "## Stages, wall seconds",
            "",
            *stage_table({"run": self.runs, f"{TINY.entries} entries": self.tiny}),
            "",
            (
                "In ingest, the step that loads the ledger:"
                f" {spread([one.ledger_seconds for one in self.runs])} s. In start-up, before the first step:"
                f" {spread([one.before_first_step for one in self.runs])} s."
            ),
            "",
            "## Disk",
            "",
            (
                f"The home without landing {disk:,.1f} MB: {parts}. It is {disk / self.ledger_mb:.2f} × the"
                f" pipeline's own Parquet of the entries (`{PIPELINE_LEDGER}`, {self.ledger_mb:,.1f} MB),"
                f" {disk / self.floor_ledger_mb:.2f} × that of `limit.py` ({self.floor_ledger_mb:,.1f} MB,"
                " fewer columns)."
            ),
            *target_table(self.targets()),
        ]

    def _row(self, name: str, measured: Sequence[Measurement]) -> list[str]:
        """Return the row of a contender, with its wall time beside that of both floors."""
        wall = statistics.median(one.seconds for one in measured)
        floors = (statistics.median(one.seconds for one in self.floors), median_wall(self.by_hand))
        return [
            name,
            spread([one.seconds for one in measured]),
            *(f"{wall / one:.2f} ×" for one in floors),
            *_cells(measured),
        ]

    def _same_stages(self) -> list[str]:
        """Return a table of the stages that both have, and what the comparison has to know about it."""
        rows = []
        for stage in (*SAME_STAGES, THE_REST):
            hand = [one.stages[stage] for one in self.by_hand]
            run = [one.same_stages[stage] for one in self.runs]
            more = statistics.median(run) - statistics.median(hand)
            rows.append([stage, spread(hand), spread(run), f"{more:+.1f}"])
        ledger_table = [one.steps.ledger_table_seconds or 0.0 for one in self.runs]
        return [
            *table(("stage", "`same_outputs.py`", "run", "more"), rows),
            "",
            (
                "By hand, ingest ends with the ledger table. A run writes the lake in ingest, and the ledger"
                f" table among its tables, in {spread(ledger_table)} s by dbt's clock."
            ),
        ]


def _cells(measured: Sequence[Measurement]) -> list[str]:
    return [spread([getattr(one, name) for one in measured]) for name in FIELDS]


def stage_table(runs: dict[str, list[Run]]) -> list[str]:
    """Return a table with a row for each stage and a column for each kind of run."""
    rows = [
        [stage, *(spread([one.stages.get(stage, 0.0) for one in several]) for several in runs.values())]
        for stage in stages_of(runs)
    ]
    return table(("stage", *runs), rows)


def benchmark(entries: int, repeat: int, results: Path) -> list[Target]:
    """Measure one size, write its file, and return its promises."""
    full = Full(entries)
    for number in range(repeat):
        full.repeat(number + 1, repeat)
    write(results, f"full-{entries}", full.lines())
    return full.targets()


def main() -> None:
    """Measure and write the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--entries", type=int, nargs="+", default=[1_000_000])
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--results", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    for entries in arguments.entries:
        benchmark(entries, arguments.repeat, arguments.results)


if __name__ == "__main__":
    main()
