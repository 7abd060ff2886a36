"""A whole run, as `paywall-warehouse run` does it, in this process: what it imports and parses is paid once
for all tests.

The command as a process of its own takes 7 s more a run; `test_cli.py` shows that it does the same.
"""

import io
from contextlib import nullcontext, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from orchestration.assets import published
from orchestration.cli.run import run_once
from paywall_warehouse.settings import SettingsError, load_settings


@dataclass(frozen=True)
class RunResult:
    """Exit code, and stdout and stderr in one."""

    exit_code: int
    output: str

    def __str__(self) -> str:
        return self.output


def run_pipeline(
    home: Path,
    *,
    full_refresh: bool = False,
    exports: bool = False,
    instance: dg.DagsterInstance | None = None,
    overrides: dict[str, Any] | None = None,
    **settings: Any,
) -> RunResult:
    """Run the job `refresh` on a home; settings by their lower-case names, such as
    `reporting_timezone="Europe/Berlin"`.

    Without `exports`, which only their own tests need, a run ends with the published file. Dagster keeps its
    history of the run in memory, not in the home, unless an `instance` is given; `overrides` go to
    `build_defs`.
    """
    output = io.StringIO()
    with redirect_stdout(output), redirect_stderr(output):
        try:
            checked = load_settings(_env_file=None, warehouse_home=home, **settings)
        except SettingsError as error:
            return RunResult(2, str(error))
        with nullcontext(instance) if instance else dg.DagsterInstance.ephemeral() as used:
            exit_code = run_once(
                checked, used, full_refresh=full_refresh, exports=exports, **(overrides or {})
            )
    return RunResult(exit_code, output.getvalue())


def build_unchecked(home: Path, **settings: Any) -> None:
    """Build everything anew and end before the checks, which leaves the build file."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(published, "check_and_publish", _ended)
        assert run_pipeline(home, full_refresh=True, **settings).exit_code == 1


def _ended(*_: object) -> None:
    raise OSError("the process ended before its checks")
