"""Loading beside dlt, load and dedupe beside polars, chdb and DuckDB, all on the same files, in turn.

    python -m benchmarks.peers.compare [--entries 200000] [--large 1000000] [--repeat 3] [--results benchmarks/results]

dlt by default takes part in the small comparison only: it loads a few thousand rows a second, and 100,000 of
them take 4.6 GB of memory. The large one shows what the others do where starting up counts for less; `--large
0` leaves it out.

The peers are in `.venv-peers/`, which `make bench` sets up from `requirements-peers.lock`. Quoted are rows
per second of the work alone: without the start of the interpreter and its imports, on either side. The wall
of the whole process stands beside it.
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
    """One load: the work alone, and the process around it."""

    seconds: float
    rows: int
    whole: Measurement


@dataclass
class Contender:
    """Something that loads a ledger's folder, and its repetitions."""

    name: str
    work: str
    load: Callable[[Ledger, Path], Loaded]
    loads: list[Loaded] = field(default_factory=list)

    @property
    def rows_per_second(self) -> float:
        """By the seconds of the work alone."""
        return statistics.median(one.rows / one.seconds for one in self.loads)

    def cells(self) -> list[str]:
        """A row of the table."""
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
    """A module of this package as a process of its own."""

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
    """The ledger's step of a whole first run; the process is the whole run."""
    run = pipeline(ledger.landing, home, ledger.as_of)
    return Loaded(run.ledger_seconds, records(ledger), run.measured)


@cache
def records(ledger: Ledger) -> int:
    """The lines of a ledger: every version of every entry."""
    return sum(file.read_bytes().count(b"\n") for file in (ledger.landing / "ledger").iterdir())


def contenders(*, slow: bool) -> list[Contender]:
    """Everything that is compared, with or without what is slow."""
    own, load, dedupe = Path(sys.executable), "load", "load, last version of each entry"
    everything = [
        Contender(STEP, "load, every record judged", whole_run),
        Contender("the same as a process of its own", "load, every record judged", module(own, "our_load")),
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
        """Each once more, in turn."""
        for one in self.contenders:
            with scratch() as out:
                one.loads.append(one.load(self.ledger, out))
            print(
                f"{self.ledger.entries:,} entries, {number} of {of}: {one.name}"
                f" {one.loads[-1].seconds:.1f} s",
                file=sys.stderr,
            )

    def targets(self) -> list[Target]:
        """The promises about loading."""
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
        """A section of the result file."""
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
    """What is installed for the peers."""
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
    """Measure, write the file, and return what it says about the promises."""
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
    asked = parser.parse_args()
    benchmark(asked.entries, asked.large, asked.repeat, asked.results)


if __name__ == "__main__":
    main()
