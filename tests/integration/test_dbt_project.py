"""dbt's own unit tests, on a warehouse whose tables are there and empty; and what dbt leaves behind."""

from pathlib import Path
from typing import Any

import jinja2
import pytest
import sqlparse
from dbt.adapters.duckdb.column import DuckDBColumn
from dbt.adapters.duckdb.environments.local import LocalEnvironment
from dbt.adapters.duckdb.impl import DuckDBAdapter
from dbt.clients.jinja import MacroGenerator

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


# Macros of dbt whose text depends on their arguments alone. They are called for each value of each row.
PURE = ("safe_cast", "string_literal", "escape_single_quotes")


def beginning_of(sql: str) -> list[sqlparse.sql.Statement]:
    """Return what dbt needs of a query to put others before it: the tokens to the first one after `with` or
    `with recursive`, and the rest in one.
    """
    tokens, length, words = [], 0, 0
    for kind, text in sqlparse.lexer.tokenize(sql):
        tokens.append(token := sqlparse.sql.Token(kind, text))
        length += len(text)
        if not token.is_whitespace and kind not in sqlparse.tokens.Comment:
            words += 1
            if words == 3 or token.normalized not in ("WITH", "RECURSIVE"):
                break
    return [sqlparse.sql.Statement([*tokens, sqlparse.sql.Token(sqlparse.tokens.Text, sql[length:])])]


@pytest.fixture(scope="module")
def unit_tests(home: Path, environments: list[LocalEnvironment]) -> DbtBuild:
    """What dbt found when it ran the unit tests."""
    handle = LocalEnvironment.handle
    dbt = Dbt(load_settings(warehouse_home=home, duckdb_threads=1))
    columns: dict[str, list[DuckDBColumn]] = {}
    columns_in = DuckDBAdapter.get_columns_in_relation

    def columns_once(self: DuckDBAdapter, relation: Any) -> list[DuckDBColumn]:
        if str(relation) not in columns:
            columns[str(relation)] = columns_in(self, relation)
        return columns[str(relation)]

    compiled: dict[Any, Any] = {}
    compile_template = jinja2.Environment.compile

    def compile_once(self: jinja2.Environment, source: Any, *arguments: Any) -> Any:
        if (type(self), source, *arguments) not in compiled:
            compiled[type(self), source, *arguments] = compile_template(self, source, *arguments)
        return compiled[type(self), source, *arguments]

    texts: dict[Any, Any] = {}
    call_macro = MacroGenerator.__call__

    def call_once(self: MacroGenerator, *arguments: Any, **named: Any) -> Any:
        if self.macro.name not in PURE or named:
            return call_macro(self, *arguments, **named)
        key = (self.macro.name, repr(arguments))
        if key not in texts:
            texts[key] = call_macro(self, *arguments)
        return texts[key]

    with pytest.MonkeyPatch.context() as monkeypatch:
        # Half of the CPU: no unit test changes a table, and dbt makes the same texts again and again.
        monkeypatch.setattr(DuckDBAdapter, "get_columns_in_relation", columns_once)
        monkeypatch.setattr("dbt.compilation.sqlparse.parse", beginning_of)
        monkeypatch.setattr(jinja2.Environment, "compile", compile_once)
        monkeypatch.setattr(MacroGenerator, "__call__", call_once)
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
