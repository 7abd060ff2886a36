"""`DAGSTER_HOME`: its files are written once, and the operator may change them."""

from pathlib import Path

from orchestration.run_lock import WRITER_POOL
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
