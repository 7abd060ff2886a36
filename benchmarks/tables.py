"""Results as Markdown: the machine, medians with their spread, and promises with their measurements."""

import os
import platform
import statistics
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import psutil

RESULTS = Path(__file__).parent / "results"
VERSIONS = ("dagster", "dbt-core", "dbt-duckdb", "duckdb", "pyarrow")


@dataclass(frozen=True)
class Target:
    """A promise and its measurement."""

    what: str
    limit: float
    measured: float
    unit: str
    at_least: bool = False
    how: str = ""
    """What exactly was compared, and how."""

    @property
    def is_met(self) -> bool:
        """Whether the promise is met."""
        return self.measured >= self.limit if self.at_least else self.measured <= self.limit

    @property
    def verdict(self) -> str:
        """The text "met", or by how much the promise was missed."""
        if self.is_met:
            return "met"
        missed = abs(self.measured - self.limit)
        return f"**missed** by {missed:.2f} {self.unit} ({missed / self.limit:.0%})"


def target_table(targets: Sequence[Target]) -> list[str]:
    """Return the targets as a section. It is empty if nothing is promised for the measured sizes."""
    if not targets:
        return []
    rows = [
        [
            one.what,
            f"at {'least' if one.at_least else 'most'} {one.limit:g} {one.unit}",
            f"{one.measured:.2f} {one.unit}",
            one.verdict,
            one.how,
        ]
        for one in targets
    ]
    return ["", "## Promised", "", *table(("what", "promised", "measured", "", "how measured"), rows)]


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Return a Markdown table, with the first column aligned left and the others right."""
    return [
        f"| {' | '.join(header)} |",
        f"|---|{'---:|' * (len(header) - 1)}",
        *(f"| {' | '.join(row)} |" for row in rows),
    ]


def head(title: str) -> list[str]:
    """Return the head of a result file: title, date, machine and versions."""
    machine = f"{platform.platform()}, {os.cpu_count()} cores, {psutil.virtual_memory().total / 1e9:.0f} GB"
    versions = ", ".join(f"{name} {version(name)}" for name in VERSIONS)
    return [
        f"# {title}, {datetime.now(UTC):%Y-%m-%d}",
        "",
        f"{machine}, Python {platform.python_version()}, {versions}{_commit()}. Median (lowest to highest).",
        "",
    ]


def _commit() -> str:
    command = ["git", "describe", "--always", "--dirty", "--exclude", "*"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, cwd=RESULTS.parent, check=True)
    except (OSError, subprocess.CalledProcessError):
        return ""
    return f", commit {done.stdout.strip()}"


def spread(values: Sequence[float], digits: int = 1) -> str:
    """Return the median, with the lowest and the highest if there are several values."""
    middle = f"{statistics.median(values):,.{digits}f}"
    return (
        middle if len(values) == 1 else f"{middle} ({min(values):,.{digits}f} to {max(values):,.{digits}f})"
    )


def write(results: Path, name: str, lines: Sequence[str]) -> Path:
    """Write a result file, and print it."""
    results.mkdir(parents=True, exist_ok=True)
    file = results / f"{name}.md"
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    print(*lines, sep="\n")
    return file
