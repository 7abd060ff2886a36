"""dbt's own unit tests, on a warehouse whose tables are there and empty."""

from pathlib import Path

import pytest
from dbt.cli.main import dbtRunner

from paywall_warehouse.settings import load_settings
from tests.support.harness import build_unchecked
from warehouse.dbt_runner import PROJECT, dbt_arguments


def test_dbt_unit_tests_hold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    build_unchecked(tmp_path)
    settings = load_settings(warehouse_home=tmp_path)
    for name, value in settings.tool_environment().items():
        monkeypatch.setenv(name, value)
    arguments = dbt_arguments(PROJECT, settings.home, "duckdb", "test", "--select", "test_type:unit")
    outcome = dbtRunner().invoke([*arguments, "--quiet"])
    results = [result for result in outcome.result or [] if result.node.unique_id.startswith("unit_test.")]
    failed = [f"{result.node.name}: {result.message}" for result in results if str(result.status) != "pass"]
    assert not failed, "\n\n".join(failed)
    assert results, "dbt found its unit tests"
