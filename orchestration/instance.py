"""`DAGSTER_HOME`: written once, then the operator's to change."""

from pathlib import Path

from dagster import DagsterInstance

from orchestration.event_log import open_with_kept_event_log
from orchestration.faults import told
from orchestration.warehouse import WRITER_POOL, settle_dead_runs
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
    """Make `DAGSTER_HOME` and its `dagster.yaml`; returns the workspace file, which names the code location."""
    home.dagster.mkdir(parents=True, exist_ok=True)
    settings_file = home.dagster / "dagster.yaml"
    if not settings_file.exists():
        replace_text(settings_file, DAGSTER_YAML)
    workspace = home.dagster / "workspace.yaml"
    if not workspace.exists() or workspace.read_text(encoding="utf-8") != WORKSPACE_YAML:
        replace_text(workspace, WORKSPACE_YAML)
    return workspace


def open_instance(home: Home) -> DagsterInstance:
    """The instance of a home, with the last run settled where its process died."""
    with told(home.root):
        prepare_dagster_home(home)
        instance = open_with_kept_event_log(str(home.dagster))
        settle_dead_runs(home, instance)
    return instance
