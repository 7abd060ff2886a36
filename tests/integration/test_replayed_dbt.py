"""What `publish_home` repeats is what dbt builds: `tests/support/replayed_dbt.py`."""

from pathlib import Path
from typing import Any

import duckdb
import pytest

from tests.support import replayed_dbt
from tests.support.builders import land
from tests.support.harness import publish_home
from tests.support.strategies import build_scenario
from warehouse.dbt_runner import Dbt


def contents(home: Path) -> dict[str, list[Any]]:
    """Every row that is published, and everything else that readers find in the file."""
    # The schemas `ops` and `raw` are no model's.
    with duckdb.connect(str(home / "published" / "warehouse.duckdb"), read_only=True) as file:
        tables = file.execute(
            "select schema_name, table_name from duckdb_tables() where schema_name not in ('ops', 'raw')"
        ).fetchall()
        assert ("marts", "fct_ledger_entries") in tables
        rows = {
            f"{schema}.{table}": file.execute(f"from {schema}.{table} order by all").fetchall()
            for schema, table in tables
        }
        described = {
            source: file.execute(
                f"select {columns} from {source}() where not internal order by all"
            ).fetchall()
            for source, columns in {
                "duckdb_tables": "schema_name, table_name, comment",
                "duckdb_views": "schema_name, view_name, sql, comment",
                "duckdb_columns": "schema_name, table_name, column_name, data_type, is_nullable, comment",
                "duckdb_functions": "schema_name, function_name, parameters, macro_definition",
            }.items()
        }
        return rows | described


def refuse(*_: Any, **__: Any) -> None:
    raise AssertionError("dbt was called")


def test_repeated_statements_build_what_dbt_builds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A build of everything, then one that adds to it."""
    monkeypatch.setattr(replayed_dbt, "_noted", {})
    scenario = build_scenario(7, "Europe/Berlin", "usd", "created", "2026-06-03T15:00:00+00:00")
    settings: dict[str, Any] = {
        "as_of": scenario.settings.as_of,
        "reporting_timezone": "Europe/Berlin",
        "max_reject_ratio": "1",
    }
    files = sorted(
        (file for batch in scenario.batches for file in batch), key=lambda file: file.folder != "prices"
    )
    halves = [files[: len(files) // 2], files[len(files) // 2 :]]
    built = []
    for half in halves:
        land(tmp_path / "dbt", half)
        publish_home(tmp_path / "dbt", **settings)
        built.append(contents(tmp_path / "dbt"))
    assert len(replayed_dbt._noted) == 2
    assert built[0] != built[1]
    monkeypatch.setattr(Dbt, "build", refuse)
    for half, by_dbt in zip(halves, built, strict=True):
        land(tmp_path / "repeated", half)
        publish_home(tmp_path / "repeated", **settings)
        repeated = contents(tmp_path / "repeated")
        assert repeated.keys() == by_dbt.keys()
        assert {name: rows for name, rows in repeated.items() if rows != by_dbt[name]} == {}
