"""The command `paywall-warehouse run` beside hand-written SQL (`limit.py`) on the same files, in one go on one machine.

    python -m benchmarks.bench [--entries 1000000] [--repeat 3]

Each repetition runs both, one after the other, from an empty home. Peak memory is that of the whole process tree, sampled;
times are wall seconds. The table goes to standard output and to `benchmarks/results/`.
"""

import argparse
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import psutil

HERE = Path(__file__).parent
SAMPLE_SECONDS = 0.05
VERSIONS = ("dagster", "dbt-core", "dbt-duckdb", "duckdb", "pyarrow")


@dataclass(frozen=True)
class Measurement:
    """One process tree from start to end."""

    seconds: float
    cpu_seconds: float
    peak_mb: float
    disk_mb: float


def measure(command: Sequence[str], written_to: Path, environment: dict[str, str]) -> Measurement:
    """Run a command to its end; raises `CalledProcessError` with its output where it fails."""
    begin = time.perf_counter()
    before = os.times()
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, env={**os.environ, **environment})
        peak = [0]
        watcher = threading.Thread(target=_watch, args=(process, peak))
        watcher.start()
        process.wait()
        watcher.join()
        seconds = time.perf_counter() - begin
        after = os.times()
        if process.returncode:
            output.seek(0)
            raise subprocess.CalledProcessError(process.returncode, command, output.read().decode())
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    disk = sum(file.stat().st_size for file in written_to.rglob("*") if file.is_file())
    return Measurement(seconds, cpu, peak[0] / 1e6, disk / 1e6)


def _watch(process: "subprocess.Popen[bytes]", peak: list[int]) -> None:
    root = psutil.Process(process.pid)
    while process.poll() is None:
        try:
            tree = [root, *root.children(recursive=True)]
            peak[0] = max(peak[0], sum(one.memory_info().rss for one in tree))
        except psutil.NoSuchProcess:
            pass
        time.sleep(SAMPLE_SECONDS)


def ledger(entries: int) -> Path:
    """A landing area with a ledger of so many entries; made once."""
    landing = HERE / "data" / str(entries)
    if not landing.exists():
        partial = landing.with_name(f".{entries}.partial")
        shutil.rmtree(partial, ignore_errors=True)
        command = [sys.executable, str(HERE / "make_ledger.py"), str(partial / "ledger"), "--entries", str(entries)]
        subprocess.run(command, check=True)
        partial.rename(landing)
    return landing


def floor(landing: Path, scratch: Path) -> Measurement:
    """The hand-written SQL."""
    return measure([sys.executable, str(HERE / "limit.py"), str(landing / "ledger"), str(scratch)], scratch, {})


def pipeline(landing: Path, scratch: Path) -> Measurement:
    """The real command, from an empty home to published."""
    command = [str(Path(sys.executable).parent / "paywall-warehouse"), "run"]
    return measure(command, scratch, {"WAREHOUSE_HOME": str(scratch), "LANDING_URI": str(landing)})


def table(entries: int, results: dict[str, list[Measurement]]) -> str:
    """The measurements as Markdown: median (lowest to highest)."""
    lines = [
        *table_head(f"{entries:,} entries"),
        "| what | wall s | beside `limit.py` | CPU s | peak memory MB | disk MB |",
        "|---|---|---|---|---|---|",
    ]
    base = statistics.median(one.seconds for one in results["limit.py"])
    for name, runs in results.items():
        ratio = statistics.median(one.seconds for one in runs) / base
        cells = [spread([getattr(one, field) for one in runs]) for field in ("seconds", "cpu_seconds", "peak_mb", "disk_mb")]
        lines.append(f"| {name} | {cells[0]} | {ratio:.2f} × | {' | '.join(cells[1:])} |")
    return "\n".join(lines) + "\n"


def table_head(title: str) -> list[str]:
    """Title, date, machine and versions, as Markdown."""
    return [
        f"# {title}, {datetime.now(UTC):%Y-%m-%d}",
        "",
        f"{platform.platform()}, {os.cpu_count()} cores, {psutil.virtual_memory().total / 1e9:.0f} GB, Python {platform.python_version()}, "
        + ", ".join(f"{name} {version(name)}" for name in VERSIONS),
        "",
    ]


def spread(values: Sequence[float]) -> str:
    """Median, with lowest and highest."""
    return f"{statistics.median(values):.1f} ({min(values):.1f} to {max(values):.1f})"


def main() -> None:
    """Measure and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--entries", type=int, default=1_000_000)
    parser.add_argument("--repeat", type=int, default=3)
    asked = parser.parse_args()
    landing = ledger(asked.entries)
    results: dict[str, list[Measurement]] = {"limit.py": [], "paywall-warehouse run": []}
    for number in range(asked.repeat):
        for name, run in (("limit.py", floor), ("paywall-warehouse run", pipeline)):
            with tempfile.TemporaryDirectory(prefix="bench-") as scratch:
                results[name].append(run(landing, Path(scratch)))
            print(f"{number + 1} of {asked.repeat}: {name} {results[name][-1].seconds:.1f} s", file=sys.stderr)
    text = table(asked.entries, results)
    file = HERE / "results" / f"{asked.entries}.md"
    file.parent.mkdir(exist_ok=True)
    file.write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
