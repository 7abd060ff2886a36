"""A run, its status and Dagster report files that nothing reads."""

import re
from pathlib import Path

import pytest

from orchestration.assets.models import PLAN
from orchestration.cli.status import status_lines
from paywall_warehouse.settings import Settings, load_settings
from tests.support.builders import charge, jsonl
from tests.support.harness import kept_materializations, run_pipeline

AS_OF = "2026-10-05T12:00:00Z"
CONTENT = jsonl([charge("c1", "2026-10-01T09:00:00Z")])


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load_settings(_env_file=None, warehouse_home=tmp_path, as_of=AS_OF)


def put(settings: Settings, path: str) -> None:
    file = settings.home.landing / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(CONTENT)


def test_progress_summary_dagster_and_status_report_unread_files(settings: Settings) -> None:
    put(settings, "ledger/x.jsonl")
    put(settings, "ledgers/y.jsonl")
    words = "nothing reads ledgers/y.jsonl: move it to "
    with kept_materializations() as instance:
        result = run_pipeline(settings.home.root, instance=instance, as_of=AS_OF)
        assert result.exit_code == 0, result
        assert re.search(rf"^! plan +{words}", result.output, re.MULTILINE)
        assert f"  warning: {words}" in result.output
        event = instance.get_latest_materialization_event(PLAN)
        assert event is not None
        assert event.asset_materialization is not None
        assert words in str(event.asset_materialization.metadata["files that nothing reads"].value)
        # With nothing new it is reported again.
        again = run_pipeline(settings.home.root, instance=instance, as_of=AS_OF)
        assert "Nothing new" in again.output
        assert f"  warning: {words}" in again.output
    assert any(words in line for line in status_lines(settings))
