"""The contenders: `paywall-warehouse run`, and hand-written SQL (`limit.py` and `same_outputs.py`)."""

import statistics
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path

from benchmarks.measure import Measurement, disk_mb, measure
from benchmarks.stages import (
    DBT,
    EXPORTS,
    INGEST,
    LEDGER_STEP,
    STAGES,
    START_UP,
    Steps,
    covered,
    recorded_steps,
    stage_of,
    stage_seconds,
)

HERE = Path(__file__).parent
COMMAND = str(Path(sys.executable).parent / "paywall-warehouse")
# The folders in which each writes the entries as Parquet, one file a day.
FLOOR_LEDGER, PIPELINE_LEDGER = Path("ledger"), Path("exports", "v1", "ledger", "parquet")
# The stages that `same_outputs.py` states, and the stages of a run that do the same.
SAME_STAGES = {"ingest": INGEST, "tables": DBT, "exports": EXPORTS}
THE_REST = "the rest"


@dataclass(frozen=True)
class ByHand:
    """One call of `same_outputs.py`."""

    measured: Measurement

    @cached_property
    def stages(self) -> dict[str, float]:
        """Wall seconds by stage. They add up to the total."""
        seconds = self.measured.as_dict()
        return {**seconds, THE_REST: self.measured.seconds - sum(seconds.values())}


@dataclass(frozen=True)
class Run:
    """One call of the command."""

    measured: Measurement
    steps: Steps

    @cached_property
    def stages(self) -> dict[str, float]:
        """Wall seconds by stage. They add up to the total."""
        return stage_seconds(self.steps, self.measured.seconds)

    @property
    def same_stages(self) -> dict[str, float]:
        """Wall seconds by the stages of `ByHand`. Stages side by side count in each, but once in the rest."""
        own = [
            interval
            for step, interval in self.steps.intervals.items()
            if stage_of(step) in SAME_STAGES.values()
        ]
        seconds = {name: self.stages.get(stage, 0.0) for name, stage in SAME_STAGES.items()}
        return {**seconds, THE_REST: self.measured.seconds - covered(own)}

    @property
    def without_start_up(self) -> float:
        """The seconds within steps."""
        return self.measured.seconds - self.stages[START_UP]

    @property
    def before_first_step(self) -> float:
        """The seconds until Dagster starts its first step: imports, settings, definitions."""
        return (self.steps.first_start() or self.measured.began_at) - self.measured.began_at

    @property
    def ledger_seconds(self) -> float:
        """The seconds of the step that loads the ledger's files."""
        return self.steps.seconds(LEDGER_STEP)


def median_wall(runs: Iterable[Run | ByHand]) -> float:
    """Return the median of the wall times."""
    return statistics.median(one.measured.seconds for one in runs)


def stages_of(kinds: Mapping[str, Sequence[Run]]) -> list[str]:
    """Return the stages that occur in any of the runs, in order."""
    return [stage for stage in STAGES if any(stage in one.stages for runs in kinds.values() for one in runs)]


def floor(landing: Path, out: Path) -> Measurement:
    """Measure `limit.py` with an empty folder."""
    return measure([sys.executable, str(HERE / "limit.py"), str(landing / "ledger"), str(out)], out, {})


def same_outputs(landing: Path, out: Path) -> ByHand:
    """Measure `same_outputs.py` with an empty folder."""
    script = str(HERE / "same_outputs.py")
    return ByHand(measure([sys.executable, script, str(landing / "ledger"), str(out)], out, {}))


def pipeline(landing: Path, home: Path, as_of: datetime, **settings: str) -> Run:
    """Measure the command on a home."""
    fixed = {
        "WAREHOUSE_HOME": str(home),
        "LANDING_URI": str(landing),
        "EXPORT_FORMATS": "parquet",
        "AS_OF": as_of.isoformat(),
    }
    measured = measure([COMMAND, "run"], home, {**fixed, **settings})
    return Run(measured, recorded_steps(home, measured.began_at))


def home_parts(home: Path) -> dict[str, float]:
    """Return the size in MB of each file and folder of a home, the largest first."""
    parts = {one.name: disk_mb(one) if one.is_dir() else one.stat().st_size / 1e6 for one in home.iterdir()}
    return dict(sorted(parts.items(), key=lambda part: -part[1]))
