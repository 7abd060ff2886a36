"""The load compared with dlt, and with load and deduplication by polars, chdb and DuckDB.

    python -m benchmarks.peers.compare [--entries 200000] [--large 1000000] [--repeat 3]
                                       [--results benchmarks/results]

All load the same files, in turn. dlt with its defaults takes part in the small comparison only: it loads a
few thousand rows a second, and 100,000 rows take 4.6 GB of memory. The large comparison shows the others
where start-up counts for less. `--large 0` skips it.

The peers are in `.venv-peers/`, which `make bench` sets up from `requirements-peers.lock`. The quoted rows
per second are those of the work alone, without the start of the interpreter and its imports, on either side.
The wall time of the whole process is in another column.
"""

import argparse
import statistics
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from benchmarks.contenders import pipeline
from benchmarks.ledgers import Ledger
from benchmarks.measure import Measurement, measure, scratch
from benchmarks.tables import RESULTS, Target, head, spread, table, target_table, write

ROOT = Path(__file__).parents[2]
PEERS = ROOT / ".venv-peers" / "bin" / "python"
PEER_VERSIONS = ("dlt", "duckdb", "polars", "chdb")
STEP = "`paywall-warehouse run`, its step `raw__ledger_entries`"
DLT, DLT_PARQUET = "dlt by default", "dlt with Parquet loader format and workers"
PROMISED = {DLT: 50, DLT_PARQUET: 15}


@dataclass(frozen=True)
class Loaded:
    """One load: the work alone, and its whole process."""

    seconds: float
    rows: int
    whole: Measurement


@dataclass
class Contender:
    """A tool that loads a ledger, and its measured loads."""

    name: str
    work: str
    load: Callable[[Ledger, Path], Loaded]
    loads: list[Loaded] = field(default_factory=list)

    @property
    def rows_per_second(self) -> float:
        """The median rows per second of the work alone."""
        return statistics.median(one.rows / one.seconds for one in self.loads)

    def cells(self) -> list[str]:
        """Return a row of the table."""
        return [
            self.name,
            self.work,
            f"{self.loads[-1].rows:,}",
            spread([one.seconds for one in self.loads], 2),
            f"{self.rows_per_second:,.0f}",
            spread([one.whole.seconds for one in self.loads], 2),
            spread([one.whole.cpu_seconds for one in self.loads]),
            spread([one.whole.peak_mb for one in self.loads]),
        ]


def module(python: Path, name: str, *arguments: str) -> Callable[[Ledger, Path], Loaded]:
    """Return a loader that runs a module of this package as its own process."""

    def load(ledger: Ledger, out: Path) -> Loaded:
        command = [
            str(python),
            "-m",
            f"benchmarks.peers.{name}",
            str(ledger.landing / "ledger"),
            str(out),
            *arguments,
        ]
        whole = measure(command, out, {"PYTHONPATH": str(ROOT)})
        return Loaded(**whole.as_dict(), whole=whole)

    return load


def whole_run(ledger: Ledger, home: Path) -> Loaded:
    """Measure the ledger's step of a first run. The process is the whole run."""
    run = pipeline(ledger.landing, home, ledger.as_of)
    return Loaded(run.ledger_seconds, records(ledger), run.measured)


@cache
def records(ledger: Ledger) -> int:
    """Return the number of lines of a ledger: every version of every entry."""
    return sum(file.read_bytes().count(b"\n") for file in (ledger.landing / "ledger").iterdir())


def contenders(*, slow: bool) -> list[Contender]:
    """Return everything that is compared, with or without the slow ones."""
    own, load, dedupe = Path(sys.executable), "load", "load, last version of each entry"
    everything = [
        Contender(STEP, "load, every record validated", whole_run),
        Contender(
            "the same as a process of its own", "load, every record validated", module(own, "our_load")
        ),
        Contender(DLT, load, module(PEERS, "dlt_load")),
        Contender(DLT_PARQUET, load, module(PEERS, "dlt_load", "--parquet")),
        Contender("DuckDB, first step of `limit.py`", dedupe, module(own, "duckdb_load")),
        Contender("polars", dedupe, module(PEERS, "polars_load")),
        Contender("chdb", dedupe, module(PEERS, "chdb_load")),
    ]
    return [one for one in everything if slow or one.name != DLT]


@dataclass
class Comparison:
    """All contenders on one ledger."""

    ledger: Ledger
    contenders: list[Contender]

    def repeat(self, number: int, of: int) -> None:
        """Measure each contender once more, in turn."""
        for one in self.contenders:
            with scratch() as out:
                one.loads.append(one.load(self.ledger, out))
            print(
                f"{self.ledger.entries:,} entries, {number} of {of}: {one.name}"
                f" {one.loads[-1].seconds:.1f} s",
                file=sys.stderr,
            )

    def targets(self) -> list[Target]:
        """Return the promises about loading."""
        speeds = {one.name: one.rows_per_second for one in self.contenders}
        return [
            Target(
                f"loading beside {name}, {self.ledger.entries:,} entries",
                limit,
                speeds[STEP] / speeds[name],
                "×",
                at_least=True,
                how=(
                    f"rows per second of the work alone, medians: {speeds[STEP]:,.0f} beside"
                    f" {speeds[name]:,.0f}"
                ),
            )
            for name, limit in PROMISED.items()
            if name in speeds
        ]

    def lines(self) -> list[str]:
        """Return a section of the result file."""
        header = (
            "what",
            "does",
            "rows",
            "work alone s",
            "rows per s, quoted",
            "whole process s",
            "CPU s",
            "peak memory MB",
        )
        files = len(list((self.ledger.landing / "ledger").iterdir()))
        return [
            "",
            f"## {self.ledger.entries:,} entries: {records(self.ledger):,} records in {files} files",
            "",
            *table(header, [one.cells() for one in self.contenders]),
        ]


def peer_versions() -> str:
    """Return the installed versions of the peers."""
    if not PEERS.exists():
        raise SystemExit(f"{PEERS} is missing: `make .venv-peers/.installed` sets it up.")
    ask = (
        "import sys; from importlib.metadata import version; print(', '.join(f'{name} {version(name)}' for"
        " name in sys.argv[1:]))"
    )
    return subprocess.run(
        [str(PEERS), "-c", ask, *PEER_VERSIONS], capture_output=True, text=True, check=True
    ).stdout.strip()


def benchmark(entries: int, large: int, repeat: int, results: Path) -> list[Target]:
    """Measure, write the file, and return the promises."""
    text = [
        *head("Peers"),
        (
            f"Peers: {peer_versions()}. Work alone is without the start of the interpreter and its imports;"
            " it ends when everything is on the disk. The whole process of each first row is the whole run."
        ),
    ]
    compared = [
        Comparison(Ledger(entries), contenders(slow=True)),
        *([Comparison(Ledger(large), contenders(slow=False))] if large else []),
    ]
    for one in compared:
        one.ledger.make()
        for number in range(repeat):
            one.repeat(number + 1, repeat)
        text += one.lines()
    targets = [target for one in compared for target in one.targets()]
    write(results, "peers", [*text, *target_table(targets)])
    return targets


def main() -> None:
    """Measure and write the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--entries", type=int, default=200_000)
    parser.add_argument("--large", type=int, default=1_000_000)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--results", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    benchmark(arguments.entries, arguments.large, arguments.repeat, arguments.results)


if __name__ == "__main__":
    main()
