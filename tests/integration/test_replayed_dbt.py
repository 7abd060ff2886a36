"""What the harness repeats is what dbt builds: `tests/support/replayed_dbt.py`."""

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb
import pytest

from paywall_warehouse.duckdb_connections import open_duckdb
from paywall_warehouse.settings import load_settings
from tests.support import replayed_dbt, shared
from tests.support.builders import charge, deposit, land, ledger_file
from tests.support.harness import publish_home, run_pipeline
from tests.support.strategies import build_scenario
from warehouse.dbt_runner import Dbt

TIMES = re.compile(r"[\d.]+ s\b")


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


@contextmanager
def by_dbt() -> Iterator[None]:
    """Builds by dbt whatever was built before; this file comes first, so that its notes serve all others."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(replayed_dbt, "_known", lambda *_: None)
        yield


def test_repeated_statements_build_what_dbt_builds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A build of everything, then one that adds to it; another worker repeats them."""
    monkeypatch.setattr(replayed_dbt, "_noted", {})
    scenario = build_scenario(7, "Europe/Berlin", "usd", "created", "2026-06-03T15:00:00+00:00")
    settings: dict[str, Any] = {
        "as_of": scenario.settings.as_of,
        "reporting_timezone": "Europe/Berlin",
        "max_reject_ratio": "1",
    }
    # Rates that land later would ask for a build of everything.
    files = sorted(
        (file for batch in scenario.batches for file in batch), key=lambda file: file.folder != "prices"
    )
    halves = [files[: len(files) // 2], files[len(files) // 2 :]]
    built = []
    for half in halves:
        land(tmp_path / "dbt", half)
        with by_dbt():
            publish_home(tmp_path / "dbt", **settings)
        built.append(contents(tmp_path / "dbt"))
    assert len(replayed_dbt._noted) == 2
    assert built[0] != built[1]
    monkeypatch.setattr(replayed_dbt, "_noted", {})  # as in another worker
    monkeypatch.setattr(Dbt, "build", refuse)
    for half, expected in zip(halves, built, strict=True):
        land(tmp_path / "repeated", half)
        publish_home(tmp_path / "repeated", **settings)
        repeated = contents(tmp_path / "repeated")
        assert repeated.keys() == expected.keys()
        assert {name: rows for name, rows in repeated.items() if rows != expected[name]} == {}


def test_a_run_that_repeats_statements_says_what_dbt_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And a build without data tests repeats all of it but these."""
    monkeypatch.setattr(replayed_dbt, "_noted", {})
    entries = [deposit("d1", "2026-10-01T08:00:00Z", "20"), charge("c1", "2026-10-01T09:00:00Z", "1.25")]
    home, as_of = tmp_path / "home", "2026-10-05T12:00:00Z"

    def ran() -> tuple[list[str], dict[str, list[Any]]]:
        land(home, [ledger_file("a.jsonl", entries)])
        result = run_pipeline(home, as_of=as_of)
        assert result.exit_code == 0, result
        found = contents(home)
        shutil.rmtree(home)
        return [TIMES.sub("", line) for line in result.output.splitlines()], found

    with by_dbt():
        expected = ran()
    # Not what others have noted without data tests.
    monkeypatch.setattr(shared, "folder", None)
    monkeypatch.setattr(Dbt, "build", refuse)
    assert ran() == expected
    land(home, [ledger_file("a.jsonl", entries)])
    publish_home(home, as_of=as_of)
    assert contents(home) == expected[1]
    models, tests = replayed_dbt._noted.values()
    assert not any(map(replayed_dbt.DATA_TEST.match, models.statements))
    assert all(map(replayed_dbt.DATA_TEST.match, tests.statements))
    assert len(tests.statements) == len(tests.results) > 20


@pytest.mark.parametrize(
    "last",
    ["select count(*) as failures, count(*) != 0 as should_warn from made", "create table made (x int)"],
)
def test_where_a_repeated_statement_or_data_test_fails_nothing_was_built(tmp_path: Path, last: str) -> None:
    settings = load_settings(_env_file=None, warehouse_home=tmp_path)
    noted = replayed_dbt.Noted(["create table made as select 1 as x", last])
    assert not replayed_dbt._repeat(settings, noted)
    with open_duckdb(settings.home.build_file) as connection:
        assert connection.execute("select * from duckdb_tables()").fetchall() == []
