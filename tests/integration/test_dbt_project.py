"""dbt's own unit tests, on a warehouse whose tables are there and empty; and what dbt leaves behind."""

from pathlib import Path

import pytest
from dbt.adapters.duckdb.environments.local import LocalEnvironment

from paywall_warehouse.duckdb_connections import open_duckdb
from paywall_warehouse.settings import load_settings
from tests.support.harness import build_unchecked
from warehouse.dbt_runner import Dbt


@pytest.fixture(scope="module")
def environments() -> list[LocalEnvironment]:
    """All that ever held the connections of the build. As garbage it might be gone sooner or later."""
    return []


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory, environments: list[LocalEnvironment]) -> Path:
    """A build of an empty landing area."""
    home = tmp_path_factory.mktemp("home")
    handle = LocalEnvironment.handle
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(
            LocalEnvironment, "handle", lambda self: (environments.append(self), handle(self))[1]
        )
        build_unchecked(home)
    return home


def test_no_connection_outlives_a_build(home: Path, environments: list[LocalEnvironment]) -> None:
    assert environments
    open_duckdb(home / "warehouse.duckdb", config={"threads": 1}).close()


def test_dbt_unit_tests_hold(home: Path) -> None:
    dbt = Dbt(load_settings(warehouse_home=home))
    done = dbt.build(dbt.prepare_manifest(), ["test", "--select", "test_type:unit"], lambda _: None)
    assert not done.failures, "\n\n".join(failure.describe() for failure in done.failures)
    assert done.tests > 100, "dbt found its unit tests"
