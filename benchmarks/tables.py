"""Results as Markdown: the machine, medians with their spread, and what was promised beside what was
measured.
"""

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
    """A row of "Done means": what was promised, and what came out."""

    what: str
    limit: float
    measured: float
    unit: str
    at_least: bool = False
    how: str = ""
    """What exactly was compared."""

    @property
    def is_met(self) -> bool:
        """Whether the promise is kept."""
        return self.measured >= self.limit if self.at_least else self.measured <= self.limit

    @property
    def verdict(self) -> str:
        """Met, or by how much missed."""
        if self.is_met:
            return "met"
        missed = abs(self.measured - self.limit)
        return f"**missed** by {missed:.2f} {self.unit} ({missed / self.limit:.0%})"


def target_table(targets: Sequence[Target]) -> list[str]:
    """The targets as a section; nothing where a benchmark was run at sizes for which nothing is promised."""
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
    """A Markdown table, first column to the left, numbers to the right."""
    return [
        f"| {' | '.join(header)} |",
        f"|---|{'---:|' * (len(header) - 1)}",
        *(f"| {' | '.join(row)} |" for row in rows),
    ]


def head(title: str) -> list[str]:
    """Title, date, machine and versions."""
    machine = f"{platform.platform()}, {os.cpu_count()} cores, {psutil.virtual_memory().total / 1e9:.0f} GB"
    versions = ", ".join(f"{name} {version(name)}" for name in VERSIONS)
    return [
        f"# {title}, {datetime.now(UTC):%Y-%m-%d}",
        "",
        f"{machine}, Python {platform.python_version()}, {versions}{_commit()}. Median (lowest to highest).",
        "",
    ]


def _commit() -> str:
    asked = ["git", "describe", "--always", "--dirty", "--exclude", "*"]
    try:
        done = subprocess.run(asked, capture_output=True, text=True, cwd=RESULTS.parent, check=True)
    except (OSError, subprocess.CalledProcessError):
        return ""
    return f", commit {done.stdout.strip()}"


def spread(values: Sequence[float], digits: int = 1) -> str:
    """Median, with lowest and highest where there is more than one value."""
    middle = f"{statistics.median(values):,.{digits}f}"
    return (
        middle if len(values) == 1 else f"{middle} ({min(values):,.{digits}f} to {max(values):,.{digits}f})"
    )


def write(results: Path, name: str, lines: Sequence[str]) -> Path:
    """A result file; also to standard output."""
    results.mkdir(parents=True, exist_ok=True)
    file = results / f"{name}.md"
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    print(*lines, sep="\n")
    return file
