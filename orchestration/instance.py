"""`DAGSTER_HOME`: its files are written once, and the operator may change them."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from alembic.util import CommandError
from dagster import DagsterInstance, DagsterInvalidConfigError
from filelock import FileLock
from sqlalchemy.exc import DatabaseError, OperationalError
from yaml import YAMLError

from orchestration.event_log import open_with_kept_event_log
from orchestration.faults import explain_faults
from orchestration.history import DamagedHistoryError
from orchestration.run_lock import WRITER_POOL, settle_dead_runs
from paywall_warehouse.errors import first_line
from paywall_warehouse.files import replace_text
from paywall_warehouse.home import Home

DAGSTER_YAML = f"""\
# Written by paywall-warehouse because it was missing. You may change it.
telemetry:
  enabled: false
nux:
  enabled: false

concurrency:
  # The pool `{WRITER_POOL}`: one step at a time writes the lake or a warehouse file, across all runs.
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
    """Create `DAGSTER_HOME` and its `dagster.yaml`; return the file that names the code location."""
    home.make()
    settings_file = home.dagster / "dagster.yaml"
    if not settings_file.exists():
        replace_text(settings_file, DAGSTER_YAML)
    workspace = home.dagster / "workspace.yaml"
    if not workspace.exists() or workspace.read_text(encoding="utf-8") != WORKSPACE_YAML:
        replace_text(workspace, WORKSPACE_YAML)
    return workspace


def open_instance(home: Home) -> DagsterInstance:
    """Return the instance of a home, after marking runs whose process died as failed.

    A fault of the machine, a damaged history, or settings that Dagster rejects end the program with a
    message.
    """
    with explain_faults(home.root), _readable(home.dagster):
        home.make()
        # Dagster's files must not be created by several processes at the same time.
        with FileLock(home.dagster / ".opening.lock"):
            prepare_dagster_home(home)
            instance = open_with_kept_event_log(str(home.dagster))
        settle_dead_runs(home, instance)
    return instance


@contextmanager
def _readable(folder: Path) -> Iterator[None]:
    """Exit with a message if Dagster cannot use the files in `DAGSTER_HOME`."""
    try:
        yield
    except DamagedHistoryError as error:
        raise SystemExit(str(error)) from error
    except OperationalError:  # a fault of the machine, which `explain_faults` handles
        raise
    except (DatabaseError, CommandError) as error:
        raise SystemExit(str(DamagedHistoryError(folder, first_line(error)))) from error
    except (DagsterInvalidConfigError, YAMLError) as error:
        raise SystemExit(
            f"{folder / 'dagster.yaml'} is not allowed: {error}\nCorrect it, or delete it: the next command"
            " writes a new one."
        ) from error
