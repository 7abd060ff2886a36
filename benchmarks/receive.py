"""The webhook receiver under load. `locust` delivers on loopback, at a fixed rate and at full speed.

    python -m benchmarks.receive [--seconds 20] [--senders 50] [--rate 500] [--results benchmarks/results]

Receiver and load generator share the machine's cores. Afterwards the deliveries in the
landing area are counted: none that was acknowledged may be missing.
"""

import argparse
import csv
import os
import subprocess
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.contenders import COMMAND
from benchmarks.measure import clean_environment, scratch, watch
from benchmarks.tables import RESULTS, head, table, write

ROOT = Path(__file__).parents[1]
LOCUST = ROOT / ".venv-peers" / "bin" / "locust"
SECRET = "whsec_of_the_benchmark"
SENDERS, SECONDS, RATE = 50, 20, 500
PERCENTILES = ("50%", "95%", "99%", "99.9%", "100%")


@dataclass(frozen=True)
class Load:
    """The result of one load."""

    name: str
    acknowledged: int
    failed: int
    per_second: float
    milliseconds: Sequence[str]
    """The response times at `PERCENTILES`."""
    peak_mb: float
    stored: int
    """The number of deliveries in the landing area after the receiver has stopped."""


def load(name: str, senders: int, seconds: int, each_per_second: float) -> Load:
    """Start a receiver, deliver, stop the receiver, and count the deliveries."""
    with scratch() as home:
        settings = {
            "WAREHOUSE_HOME": str(home),
            "PAYWALLS_WEBHOOK_SECRET": SECRET,
            "DELIVERIES_EACH_PER_SECOND": str(each_per_second),
        }
        receiver = subprocess.Popen(
            [COMMAND, "receive", "--port", "0"],
            cwd=home,
            env=clean_environment(settings),
            stderr=subprocess.PIPE,
            text=True,
        )
        if receiver.stderr is None:
            raise RuntimeError("the receiver has no standard error")
        address = receiver.stderr.readline().split()[2]
        peak = [0]
        watcher = threading.Thread(target=watch, args=(receiver, peak), daemon=True)
        watcher.start()
        statistics_file = home / "locust"
        duration = [
            "--headless",
            "--users",
            str(senders),
            "--spawn-rate",
            str(senders),
            "--run-time",
            f"{seconds}s",
        ]
        script = str(ROOT / "benchmarks" / "peers" / "deliveries.py")
        subprocess.run(
            [
                str(LOCUST),
                "-f",
                script,
                *duration,
                "--host",
                address,
                "--csv",
                str(statistics_file),
                "--only-summary",
                "--exit-code-on-error",
                "0",
            ],
            env={**os.environ, **settings},
            check=True,
            capture_output=True,
        )
        receiver.terminate()
        receiver.communicate()
        stored = sum(file.read_bytes().count(b"\n") for file in (home / "landing").rglob("*.jsonl"))
        with statistics_file.with_name("locust_stats.csv").open(newline="") as file:
            [total] = [row for row in csv.DictReader(file) if row["Name"] == "Aggregated"]
    requests, failed = int(total["Request Count"]), int(total["Failure Count"])
    return Load(
        name,
        requests - failed,
        failed,
        float(total["Requests/s"]),
        [total[one] for one in PERCENTILES],
        peak[0] / 1e6,
        stored,
    )


def benchmark(senders: int, seconds: int, rate: int, results: Path) -> None:
    """Measure both loads and write the file."""
    loads = [
        load(f"{rate} a second", senders, seconds, rate / senders),
        load(f"{senders} senders, as fast as they are answered", senders, seconds, 0),
    ]
    header = (
        "load",
        "acknowledged",
        "failed",
        "a second",
        *(f"{one} ms" for one in PERCENTILES),
        "peak MB",
        "in the landing area",
    )
    rows = [
        [
            one.name,
            f"{one.acknowledged:,}",
            f"{one.failed:,}",
            f"{one.per_second:,.0f}",
            *one.milliseconds,
            f"{one.peak_mb:.0f}",
            f"{one.stored:,}",
        ]
        for one in loads
    ]
    lines = [
        (
            f"{seconds} s each, bodies of 330 bytes; every answer comes after an fsync, which the deliveries"
            " that wait share."
        ),
        "",
    ]
    write(results, "receive", [*head("Webhooks under load"), *lines, *table(header, rows)])
    lost = [one for one in loads if one.stored < one.acknowledged]
    if lost:
        raise SystemExit(f"deliveries were acknowledged and are not stored: {lost}")


def main() -> None:
    """Measure and write the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=int, default=SECONDS)
    parser.add_argument("--senders", type=int, default=SENDERS)
    parser.add_argument("--rate", type=int, default=RATE)
    parser.add_argument("--results", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    benchmark(arguments.senders, arguments.seconds, arguments.rate, arguments.results)


if __name__ == "__main__":
    main()
