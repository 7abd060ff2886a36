"""A whole run, as `paywall-warehouse run` does it, in this process: what it imports and parses is paid once
for all tests.

The command as a process of its own takes 7 s more a run; `test_cli.py` shows that it does the same.
"""

import io
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster._core.events.log import EventLogEntry
from dagster._core.storage.event_log import InMemoryEventLogStorage
from dagster._serdes import serialize_value

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


class _UnreadEventLog(InMemoryEventLogStorage):
    """Dagster's history of a run that no test can read: an event is written as text, like any other, and
    then forgotten. What SQLite does with 540 events is a tenth of the CPU of a run.
    """

    def store_event(self, event: EventLogEntry) -> None:
        serialize_value(event)


@contextmanager
def _unread_history() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as instance:
        instance._event_storage = _UnreadEventLog()
        instance._event_storage.register_instance(instance)
        yield instance


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

    Without `exports`, which only their own tests need, a run ends with the published file. Dagster keeps no
    history of the run unless an `instance` is given; `overrides` go to `build_defs`.
    """
    output = io.StringIO()
    with redirect_stdout(output), redirect_stderr(output):
        try:
            checked = load_settings(_env_file=None, warehouse_home=home, **settings)
        except SettingsError as error:
            return RunResult(2, str(error))
        with nullcontext(instance) if instance else _unread_history() as used:
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
