"""What a process, with everything that it starts, costs: wall, CPU, memory, disk."""

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
# A look at the tree takes 1 ms of CPU on a machine with 66 processes, so that ten a second take 1 % of a
# core.
SAMPLE_SECONDS = 0.1
# Whoever measures with less memory or fewer threads sets these two; any other setting would measure something
# else.
KEPT_SETTINGS = {"DUCKDB_MEMORY_LIMIT", "DUCKDB_THREADS"}


@dataclass(frozen=True)
class Measurement:
    """One process tree from start to end."""

    began_at: float
    """Seconds since the epoch."""
    seconds: float
    cpu_seconds: float
    """Of the whole tree, user and system."""
    peak_mb: float
    """The highest sum of the tree's resident sets, sampled; pages that two processes share count twice."""
    disk_mb: float
    output: str

    def as_dict(self) -> dict[str, Any]:
        """The JSON that the process ended with."""
        said: dict[str, Any] = json.loads(self.output.strip().splitlines()[-1])
        return said


def measure(command: Sequence[str], written_to: Path, environment: Mapping[str, str]) -> Measurement:
    """Run a command to its end, one at a time; raises `RuntimeError` with its output where it fails.

    It starts in `written_to`, so that no `.env` of the caller's folder counts.
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
        said = output.read().decode(errors="replace")
    if process.returncode:
        raise RuntimeError(f"exit code {process.returncode} of {' '.join(command)}\n{said}")
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    return Measurement(began_at, seconds, cpu, peak[0] / 1e6, disk_mb(written_to), said)


def watch(process: "subprocess.Popen[Any]", peak: list[int]) -> None:
    """Note the highest sum of the resident sets of a process and its children, in bytes, until it has
    ended.
    """
    root = psutil.Process(process.pid)
    while process.poll() is None:
        try:
            tree = [root, *root.children(recursive=True)]
            peak[0] = max(peak[0], sum(one.memory_info().rss for one in tree))
        except psutil.NoSuchProcess:
            pass
        time.sleep(SAMPLE_SECONDS)


def clean_environment(settings: Mapping[str, str]) -> dict[str, str]:
    """This process's environment with these settings and none of its own."""
    own = {name.upper() for name in Settings.model_fields} - KEPT_SETTINGS | {"DAGSTER_HOME"}
    return {**{name: value for name, value in os.environ.items() if name not in own}, **settings}


def disk_mb(folder: Path) -> float:
    """The bytes of all files below a folder; a file with two names counts twice."""
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) / 1e6


@contextmanager
def scratch() -> Iterator[Path]:
    """An empty folder beside the ledgers: `/tmp` may be memory, and landed files can be linked instead of
    copied.
    """
    DATA.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".scratch-", dir=DATA) as folder:
        yield Path(folder)
