"""The cost of a process and its children: wall time, CPU, memory and disk."""

import json
import os
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from paywall_warehouse.settings import Settings

DATA = Path(__file__).parent / "data"
# Each sample takes 1 ms of CPU on a machine with 66 processes, so that ten a second take 1 % of a core.
SAMPLE_SECONDS = 0.1
# These two settings may be set, to measure with less memory or fewer threads. Other settings would change
# what is measured.
KEPT_SETTINGS = {"DUCKDB_MEMORY_LIMIT", "DUCKDB_THREADS"}


@dataclass(frozen=True)
class Measurement:
    """The cost of one process tree, from start to end."""

    began_at: float
    """Seconds since the epoch."""
    seconds: float
    cpu_seconds: float
    """User and system time of the whole tree."""
    peak_mb: float
    """The highest sampled sum of the tree's resident sets. Pages that two processes share count twice."""
    disk_mb: float
    output: str

    def as_dict(self) -> dict[str, Any]:
        """Return the JSON in the last line of the output."""
        result: dict[str, Any] = json.loads(self.output.strip().splitlines()[-1])
        return result


def measure(command: Sequence[str], written_to: Path, environment: Mapping[str, str]) -> Measurement:
    """Run a command and return its cost. Raises `RuntimeError` with the output if it fails.

    It starts in `written_to`, so that a `.env` of the caller's folder does not apply. Only one command may be
    measured at a time.
    """
    with tempfile.TemporaryFile() as output:
        before = os.times()
        began_at, begin = time.time(), time.perf_counter()
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=written_to,
            env=clean_environment(environment),
        )
        peak = [0]
        watcher = threading.Thread(target=watch, args=(process, peak))
        watcher.start()
        process.wait()
        seconds = time.perf_counter() - begin
        watcher.join()
        after = os.times()
        output.seek(0)
        text = output.read().decode(errors="replace")
    if process.returncode:
        raise RuntimeError(f"exit code {process.returncode} of {' '.join(command)}\n{text}")
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    return Measurement(began_at, seconds, cpu, peak[0] / 1e6, disk_mb(written_to), text)


def watch(process: "subprocess.Popen[Any]", peak: list[int]) -> None:
    """Write the highest sum of the resident sets of a process and its children to `peak`, until it ends."""
    root = psutil.Process(process.pid)
    while process.poll() is None:
        try:
            tree = [root, *root.children(recursive=True)]
            peak[0] = max(peak[0], sum(one.memory_info().rss for one in tree))
        except psutil.NoSuchProcess:
            pass
        time.sleep(SAMPLE_SECONDS)


def clean_environment(settings: Mapping[str, str]) -> dict[str, str]:
    """Return this process's environment with `settings`, and without the settings that it has itself."""
    own = {name.upper() for name in Settings.model_fields} - KEPT_SETTINGS | {"DAGSTER_HOME"}
    return {**{name: value for name, value in os.environ.items() if name not in own}, **settings}


def disk_mb(folder: Path) -> float:
    """Return the size of all files in a folder, in MB. A file with two names counts twice."""
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) / 1e6


@contextmanager
def scratch() -> Iterator[Path]:
    """Create a temporary folder beside the ledgers.

    `/tmp` may be in memory, and here landed files can be linked instead of copied.
    """
    DATA.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".scratch-", dir=DATA) as folder:
        yield Path(folder)
