"""dbt's own unit tests, on a warehouse whose tables are there and empty; and what dbt leaves behind."""

from pathlib import Path
from typing import Any

import pytest
from dbt.adapters.duckdb.column import DuckDBColumn
from dbt.adapters.duckdb.environments.local import LocalEnvironment
from dbt.adapters.duckdb.impl import DuckDBAdapter

from paywall_warehouse.duckdb_connections import open_duckdb
from paywall_warehouse.settings import load_settings
from tests.support.harness import build_unchecked
from warehouse.dbt_runner import Dbt, DbtBuild


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A build of an empty landing area."""
    home = tmp_path_factory.mktemp("home")
    build_unchecked(home, by_dbt=False)
    return home


@pytest.fixture(scope="module")
def environments() -> list[LocalEnvironment]:
    """All that ever held dbt's connections. As garbage it might be gone sooner or later."""
    return []


@pytest.fixture(scope="module")
def unit_tests(home: Path, environments: list[LocalEnvironment]) -> DbtBuild:
    """What dbt found when it ran the unit tests."""
    handle = LocalEnvironment.handle
    dbt = Dbt(load_settings(warehouse_home=home))
    columns: dict[str, list[DuckDBColumn]] = {}
    columns_in = DuckDBAdapter.get_columns_in_relation

    def columns_once(self: DuckDBAdapter, relation: Any) -> list[DuckDBColumn]:
        if str(relation) not in columns:
            columns[str(relation)] = columns_in(self, relation)
        return columns[str(relation)]

    with pytest.MonkeyPatch.context() as monkeypatch:
        # A third of the CPU: no unit test changes a table, and dbt reads no more of a query than its start.
        monkeypatch.setattr(DuckDBAdapter, "get_columns_in_relation", columns_once)
        monkeypatch.setattr("sqlparse.engine.grouping.group", lambda statement: statement)
        monkeypatch.setattr(
            LocalEnvironment, "handle", lambda self: (environments.append(self), handle(self))[1]
        )
        return dbt.build(dbt.prepare_manifest(), ["test", "--select", "test_type:unit"], lambda _: None)


def test_dbt_unit_tests_hold(unit_tests: DbtBuild) -> None:
    assert not unit_tests.failures, "\n\n".join(failure.describe() for failure in unit_tests.failures)
    assert unit_tests.tests > 100, "dbt found its unit tests"


@pytest.mark.usefixtures("unit_tests")
def test_no_connection_of_dbts_outlives_it(home: Path, environments: list[LocalEnvironment]) -> None:
    assert environments
    open_duckdb(home / "warehouse.duckdb", config={"threads": 1}).close()
