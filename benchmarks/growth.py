"""The cost of a night on histories of different length.

    python -m benchmarks.growth [--entries 10000000 30000000] [--share 0.01] [--same 100000] [--repeat 3]
                                [--days 365] [--late-days 30] [--discard-landing]
                                [--results benchmarks/results]

For each history, the following runs use one home: a full run, a night with 1 % new entries, runs with nothing
new, nights with the same number of entries on all histories, and runs with nothing new again. 2 % of a
night's entries are late versions of entries of the last 30 days. Finally, new processes query one user's
ledger of the last 30 days. `--discard-landing` deletes a history's files once they are loaded.
"""

import argparse
import shutil
import statistics
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from benchmarks.contenders import Run, median_wall, pipeline, stages_of
from benchmarks.ledgers import DAYS, Ledger, Night
from benchmarks.lookup import Lookup, look_ups, median_query
from benchmarks.measure import scratch
from benchmarks.stages import START_UP
from benchmarks.tables import RESULTS, Target, head, spread, table, target_table, write

SHARE, SAME, LATE_DAYS = 0.01, 100_000, 30
FULL_SHARES = {10_000_000: 0.15, 30_000_000: 0.15}


@dataclass
class Growth:
    """One history, and the runs on it."""

    ledger: Ledger
    full: list[Run] = field(default_factory=list)
    share: list[Run] = field(default_factory=list)
    """The night with `SHARE` of the history's entries. A second one would be on a longer history."""
    same: list[Run] = field(default_factory=list)
    """Nights with the same number of entries on every history."""
    idle: list[Run] = field(default_factory=list)
    nights: list[Night] = field(default_factory=list)
    look_ups: list[Lookup] = field(default_factory=list)

    @property
    def ratio(self) -> float:
        """The wall time of the night of 1 %, with start-up, divided by that of the full run."""
        return median_wall(self.share) / median_wall(self.full)

    @property
    def same_seconds(self) -> float:
        """The seconds within steps of a night with the same number of entries."""
        return statistics.median(one.without_start_up for one in self.same)

    @property
    def peak_gb(self) -> float:
        """The highest memory of the full run."""
        return max(one.measured.peak_mb for one in self.full) / 1e3

    def kinds(self, same: int) -> dict[str, list[Run]]:
        """Return the runs by kind."""
        share = f"night of {self.nights[0].entries:,}" if self.nights else "night"
        # 1 % of 10 M entries are the same number.
        same_name = (
            f"nights of {same:,}"
            if self.nights and same != self.nights[0].entries
            else f"more nights of {same:,}"
        )
        named = {"full": self.full, share: self.share, same_name: self.same, "nothing new": self.idle}
        return {name: runs for name, runs in named.items() if runs}


@dataclass(frozen=True)
class GrowthOptions:
    """The options of this benchmark: how a history grows."""

    share: float = SHARE
    same: int = SAME
    repeat: int = 3
    late_days: int = LATE_DAYS
    discard_landing: bool = False


def grow(ledger: Ledger, options: GrowthOptions) -> Growth:
    """Measure everything on one history."""
    growth = Growth(ledger)
    with scratch() as work:
        home, landing = work / "home", work / "landing"
        home.mkdir()
        ledger.link(landing)

        def run(kind: str, runs: list[Run], as_of: datetime) -> None:
            runs.append(pipeline(landing, home, as_of))
            print(f"{ledger.entries:,} entries, {kind}: {runs[-1].measured.seconds:.1f} s", file=sys.stderr)

        def idle(times: int) -> None:
            for _ in range(times):
                run("nothing new", growth.idle, growth.nights[-1].as_of)

        def night(kind: str, runs: list[Run], entries: int) -> None:
            offset = growth.nights[-1].next_offset if growth.nights else ledger.entries
            growth.nights.append(ledger.land_night(landing, offset, entries, options.late_days))
            run(kind, runs, growth.nights[-1].as_of)

        run("full", growth.full, ledger.as_of)
        if options.discard_landing:
            # Loaded files are in the lake, and a run does not miss them in the landing area.
            shutil.rmtree(landing / "ledger")
            shutil.rmtree(ledger.landing)
        night(f"night of {options.share:.0%}", growth.share, round(ledger.entries * options.share))
        idle(options.repeat)
        for _ in range(options.repeat):
            night(f"night of {options.same:,}", growth.same, options.same)
        idle(1)
        growth.look_ups = look_ups(home / "published" / "warehouse.duckdb", growth.nights[-1].as_of.date())
    return growth


def targets(histories: Sequence[Growth], same: int) -> list[Target]:
    """Return the promises for these histories."""
    promised = []
    for one in histories:
        if limit := FULL_SHARES.get(one.ledger.entries):
            millions = one.ledger.entries // 1_000_000
            promised.append(
                Target(
                    f"a run with 1 % new entries on {millions} M of history, beside its full run",
                    limit,
                    one.ratio,
                    "×",
                )
            )
            how = f"median; the slowest {max(run.measured.seconds for run in one.idle):.1f} s"
            promised.append(
                Target(f"a run with nothing new, on {millions} M", 1.5, median_wall(one.idle), "s", how=how)
            )
    by_entries = {one.ledger.entries: one for one in histories}
    small, large = by_entries.get(10_000_000), by_entries.get(30_000_000)
    if large:
        slowest = max(one.query_seconds for one in large.look_ups)
        how = f"median of {len(large.look_ups)} users; the slowest {slowest:.2f} s"
        promised.append(
            Target(
                "one user's ledger of the last 30 days out of 30 M entries",
                0.3,
                median_query(large.look_ups),
                "s",
                how=how,
            )
        )
    if small and large:
        how = (
            f"nights of {same:,} entries, seconds within steps: {large.same_seconds:.1f} s beside"
            f" {small.same_seconds:.1f} s"
        )
        ratio = large.same_seconds / small.same_seconds
        promised.append(
            Target(
                "the same number of new entries on 30 M beside 10 M, without start-up",
                1.2,
                ratio,
                "×",
                how=how,
            )
        )
        how = f"{large.peak_gb:.2f} GB beside {small.peak_gb:.2f} GB"
        promised.append(
            Target(
                "peak memory of the full run at 30 M beside 10 M",
                1.3,
                large.peak_gb / small.peak_gb,
                "×",
                how=how,
            )
        )
    return promised


def lines(histories: Sequence[Growth], options: GrowthOptions) -> list[str]:
    """Return the lines of the result file."""
    text = [
        *head("Growth"),
        (
            f"Histories of {histories[0].ledger.days} days. Of a night's entries 2 % are late versions:"
            f" entries of the last {options.late_days} days before the night, evenly spread, half of them"
            " stated again as failed, half with another amount. The nights follow one another on one home, at"
            " the pace of the history, so that the same number of entries covers fewer days of a larger one."
        ),
    ]
    for one in histories:
        text += [
            "",
            f"## {one.ledger.entries:,} entries of history",
            "",
            *_runs(one, options),
            "",
            *_stages(one, options),
            "",
            *_look_ups(one),
        ]
    return [*text, *target_table(targets(histories, options.same))]


def _runs(one: Growth, options: GrowthOptions) -> list[str]:
    rows = []
    for name, runs in one.kinds(options.same).items():
        measured = [run.measured for run in runs]
        cells = [
            spread([getattr(each, field) for each in measured])
            for field in ("seconds", "cpu_seconds", "peak_mb")
        ]
        disk = f"{measured[-1].disk_mb:,.1f}"
        inside = spread([run.without_start_up for run in runs])
        rows.append(
            [
                name,
                str(len(runs)),
                cells[0],
                f"{median_wall(runs) / median_wall(one.full):.3f} ×",
                inside,
                *cells[1:],
                disk,
            ]
        )
    return table(
        (
            "run",
            "runs",
            "wall s",
            "beside full",
            "within steps s",
            "CPU s",
            "peak memory MB",
            "home MB, after the last",
        ),
        rows,
    )


def _stages(one: Growth, options: GrowthOptions) -> list[str]:
    kinds = one.kinds(options.same)
    shown = stages_of(kinds)
    rows = []
    for name, runs in kinds.items():
        cells = [f"{statistics.median(run.stages.get(stage, 0.0) for run in runs):.1f}" for stage in shown]
        before = f"{statistics.median(run.before_first_step for run in runs):.1f}"
        rows.append([name, *cells, before])
    return table(("wall seconds, medians", *shown, f"of {START_UP}, before the first step"), rows)


def _look_ups(one: Growth) -> list[str]:
    rows = [
        [f"`{found.user}`", f"{found.rows:,}", f"{found.query_seconds:.3f}", f"{found.connect_seconds:.3f}"]
        for found in one.look_ups
    ]
    return [
        (
            "One user's ledger of the last 30 days, all columns, in order, out of the published file into an"
            " Arrow table, each user in a fresh process. Query: everything after the connection is open."
            " Python's imports are in neither column. The system's cache is as the run left it."
        ),
        "",
        *table(("user, from the busiest", "rows", "query s", "connect s"), rows),
    ]


def benchmark(
    entries: Sequence[int], days: int, options: GrowthOptions, results: Path, discard_above: int | None = None
) -> list[Target]:
    """Measure the histories one after another, write the file, and return the promises.

    The landed files of histories above `discard_above` entries are deleted once they are loaded.
    """
    histories = []
    for number in entries:
        discard = options.discard_landing or (discard_above is not None and number > discard_above)
        histories.append(
            grow(
                Ledger(number, days),
                GrowthOptions(options.share, options.same, options.repeat, options.late_days, discard),
            )
        )
        # Written after each history, so that an hour's work is not lost with the next one.
        write(results, "growth" if len(entries) > 1 else f"growth-{number}", lines(histories, options))
    return targets(histories, options.same)


def main() -> None:
    """Measure and write the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--entries", type=int, nargs="+", default=[10_000_000, 30_000_000])
    parser.add_argument("--share", type=float, default=SHARE)
    parser.add_argument("--same", type=int, default=SAME)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--days", type=int, default=DAYS)
    parser.add_argument("--late-days", type=int, default=LATE_DAYS)
    parser.add_argument("--discard-landing", action="store_true")
    parser.add_argument("--results", type=Path, default=RESULTS)
    given = parser.parse_args()
    options = GrowthOptions(given.share, given.same, given.repeat, given.late_days, given.discard_landing)
    benchmark(given.entries, given.days, options, given.results)


if __name__ == "__main__":
    main()
