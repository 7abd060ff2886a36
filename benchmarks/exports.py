"""A full first export compared with DuckDB's `COPY`, and an export of one day of the ledger.

    python -m benchmarks.exports [--entries 1000000] [--repeat 3] [--home A_HOME_THAT_HAS_PUBLISHED]
                                 [--results benchmarks/results]

Both write Parquet with zstd from the same published file, with the same partitions, in turn. `COPY` does not
sort, check or describe its files. The table goes to standard output and to the results.
"""

import argparse
import statistics
import sys
from pathlib import Path

from benchmarks.contenders import COMMAND, pipeline
from benchmarks.ledgers import Ledger
from benchmarks.measure import Measurement, measure, scratch
from benchmarks.tables import RESULTS, head, spread, table, write
from exports.datasets import DATASETS
from exports.export import export_published
from paywall_warehouse.duckdb_connections import open_duckdb
from paywall_warehouse.settings import load_settings

ROOT = Path(__file__).parents[1]
# What a run writes without further settings.
WRITTEN = [dataset for dataset in DATASETS.values() if not dataset.is_optional]
FLOOR, OURS, SLICE = (
    "DuckDB's COPY",
    "export of all datasets",
    "paywall-warehouse export, one day of four columns",
)


def copy(home: Path, out: Path) -> None:
    """Write each mart with one `COPY`, by the same days: the lower bound."""
    with open_duckdb(
        home / "published" / "warehouse.duckdb", read_only=True, config={"memory_limit": "2GB"}
    ) as connection:
        connection.execute("set preserve_insertion_order = false")
        for dataset in WRITTEN:
            by = f", partition_by ({dataset.day}), write_partition_columns true" if dataset.day else ""
            target = out / dataset.name if dataset.day else out / f"{dataset.name}.parquet"
            connection.execute(
                f"copy marts.{dataset.mart} to '{target}' (format parquet, compression zstd{by})"
            )


def export(home: Path, out: Path) -> None:
    """Export all datasets, as a run does."""
    settings = load_settings(
        _env_file=None, warehouse_home=home, export_uri=str(out), export_formats="parquet"
    )
    for dataset in WRITTEN:
        export_published(settings, dataset, lambda message: None)


def one_day(home: Path, out: Path) -> list[str]:
    """Return the command that exports a day in the middle of the ledger."""
    with open_duckdb(home / "published" / "warehouse.duckdb", read_only=True) as connection:
        days = connection.execute(
            "select distinct entry_date from marts.fct_ledger_entries order by 1"
        ).fetchall()
    since, until = days[len(days) // 2][0], days[len(days) // 2 + 1][0]
    columns = "entry_id,user_id,amount,occurred_at"
    return [
        COMMAND,
        "export",
        "ledger",
        "--from",
        f"{since}",
        "--to",
        f"{until}",
        "--columns",
        columns,
        "--output",
        str(out / "day.csv"),
    ]


def benchmark(entries: int, repeat: int, home: Path | None, results: Path) -> None:
    """Measure on `home`, or on a new home that is published first, and write the file."""
    ledger = Ledger(entries)
    runs: dict[str, list[Measurement]] = {FLOOR: [], OURS: [], SLICE: []}
    with scratch() as built:
        if home is None:
            pipeline(ledger.make(), built, ledger.as_of)
            home = built
        for number in range(repeat):
            for name, measured in runs.items():
                with scratch() as out:
                    only = [
                        sys.executable,
                        "-m",
                        "benchmarks.exports",
                        "--home",
                        str(home),
                        "--out",
                        str(out),
                        "--only",
                    ]
                    command = {FLOOR: [*only, "copy"], OURS: [*only, "export"], SLICE: one_day(home, out)}[
                        name
                    ]
                    measured.append(
                        measure(command, out, {"WAREHOUSE_HOME": str(home), "PYTHONPATH": str(ROOT)})
                    )
                print(f"{number + 1} of {repeat}: {name} {measured[-1].seconds:.1f} s", file=sys.stderr)
    base = statistics.median(one.seconds for one in runs[FLOOR])
    rows = []
    for name, measured in runs.items():
        cells = [
            spread([getattr(one, field) for one in measured])
            for field in ("seconds", "cpu_seconds", "peak_mb", "disk_mb")
        ]
        rows.append(
            [name, cells[0], f"{statistics.median(one.seconds for one in measured) / base:.2f} ×", *cells[1:]]
        )
    header = ("what", "wall s", "beside COPY", "CPU s", "peak memory MB", "disk MB")
    write(results, f"exports-{entries}", [*head(f"Exports of {entries:,} entries"), *table(header, rows)])


def main() -> None:
    """Measure and write the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--entries", type=int, default=1_000_000)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--home", type=Path)
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--only", choices=("copy", "export"), help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.only:
        {"copy": copy, "export": export}[arguments.only](arguments.home, arguments.out)
        return
    benchmark(
        arguments.entries, arguments.repeat, arguments.home and arguments.home.resolve(), arguments.results
    )


if __name__ == "__main__":
    main()
