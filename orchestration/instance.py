"""`DAGSTER_HOME`: written once, then the operator's to change."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from alembic.util import CommandError
from dagster import DagsterInstance, DagsterInvalidConfigError
from filelock import FileLock
from sqlalchemy.exc import DatabaseError, OperationalError
from yaml import YAMLError  # type: ignore[import-untyped]

from orchestration.event_log import open_with_kept_event_log
from orchestration.faults import explain_faults
from orchestration.history import DamagedHistoryError
from orchestration.run_lock import WRITER_POOL, settle_dead_runs
from paywall_warehouse.errors import first_line
from paywall_warehouse.files import replace_text
from paywall_warehouse.home import Home

DAGSTER_YAML = f"""\
# Written by paywall-warehouse where it was missing; yours to change.
telemetry:
  enabled: false
nux:
  enabled: false

concurrency:
  # The pool `{WRITER_POOL}`: one step at a time writes the lake or a warehouse file, in all runs together.
  pools:
    granularity: op
    default_limit: 1

run_monitoring:
  enabled: true
  free_slots_after_run_end_seconds: 10

retention:
  sensor:
    purge_after_days: {{skipped: 2, success: 90, failure: 90}}
  schedule:
    purge_after_days: 365
"""

WORKSPACE_YAML = """\
load_from:
  - python_module:
      module_name: orchestration.definitions
      location_name: paywall_warehouse
"""


def prepare_dagster_home(home: Home) -> Path:
    """Make `DAGSTER_HOME` and its `dagster.yaml`; returns the workspace file, which names the code
    location.
    """
    home.make()
    settings_file = home.dagster / "dagster.yaml"
    if not settings_file.exists():
        replace_text(settings_file, DAGSTER_YAML)
    workspace = home.dagster / "workspace.yaml"
    if not workspace.exists() or workspace.read_text(encoding="utf-8") != WORKSPACE_YAML:
        replace_text(workspace, WORKSPACE_YAML)
    return workspace


def open_instance(home: Home) -> DagsterInstance:
    """Return the instance of a home, with the last run settled where its process died.

    A fault of the machine, a damaged history and settings that Dagster does not take end the program in
    words.
    """
    with explain_faults(home.root), _readable(home.dagster):
        home.make()
        # Dagster's own files are not made for several processes that make them at once.
        with FileLock(home.dagster / ".opening.lock"):
            prepare_dagster_home(home)
            instance = open_with_kept_event_log(str(home.dagster))
        settle_dead_runs(home, instance)
    return instance


@contextmanager
def _readable(folder: Path) -> Iterator[None]:
    """End the program in words where Dagster cannot work with what is in `DAGSTER_HOME`."""
    try:
        yield
    except DamagedHistoryError as error:
        raise SystemExit(str(error)) from error
    except OperationalError:  # the machine's, of which `explain_faults` knows
        raise
    except (DatabaseError, CommandError) as error:
        raise SystemExit(str(DamagedHistoryError(folder, first_line(error)))) from error
    except (DagsterInvalidConfigError, YAMLError) as error:
        raise SystemExit(
            f"{folder / 'dagster.yaml'} is not allowed: {error}\nCorrect it, or delete it: the next command"
            " writes it anew."
        ) from error
