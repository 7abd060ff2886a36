"""A build with dbt's own statements, without dbt: the first of its kind in this process runs dbt and notes
the statements, all others repeat them.

The models read every setting and every row from tables, so dbt sends the same statements whatever the ledger
is: they depend on the project, on the options, and on which relations the build file has. dbt takes three
seconds to make them from its templates, DuckDB one to run them. `test_replayed_dbt.py` compares the tables of
both ways.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import duckdb
import pytest
from dbt.adapters.duckdb.environments.local import DuckDBCursorWrapper

from paywall_warehouse.duckdb_connections import open_duckdb
from paywall_warehouse.settings import Settings
from warehouse.build import Build
from warehouse.dbt_runner import Dbt, DbtBuild, build_command

# What is not repeated: the bounds of dbt's transactions, and questions.
BOUNDS = re.compile(r"(begin|commit)\b", re.IGNORECASE)
QUESTION = re.compile(r"(select|with|from|describe)\b", re.IGNORECASE)
# The questions that have the same answer for every ledger: DuckDB's version, which relations there are, and
# which columns.
ABOUT_RELATIONS = re.compile(
    r"describe\b|select version\(\)$"
    r"|.*\bfrom\s+(\(describe\b|(system\.information_schema\.\w+|duckdb_\w+\(\))\s*(where|$))",
    re.IGNORECASE | re.DOTALL,
)
COMMENT = re.compile(r"\s*/\*.*?\*/\s*", re.DOTALL)

Key = tuple[tuple[str, ...], tuple[tuple[str, ...], ...]]
_noted: dict[Key, list[str]] = {}


def build(settings: Settings, plan: Build, selection: Sequence[str]) -> DbtBuild:
    """Build as `DuckdbEngine.build` does. Where a statement fails, dbt builds, and states what failed."""
    command = [*build_command(full_refresh=plan.full_refresh), *selection]
    key = (tuple(command), _relations(settings))
    if key in _noted and _repeat(settings, _noted[key]):
        return DbtBuild()
    with _noting(settings) as sent:
        dbt = Dbt(settings)
        done = dbt.build(dbt.prepare_manifest(), [*command, "--threads", "1"], lambda _: None)
    if not done.failures:
        _noted[key] = sent
    return done


def _relations(settings: Settings) -> tuple[tuple[str, ...], ...]:
    """All that dbt could find in the build file before it begins."""
    with open_duckdb(settings.home.build_file, read_only=True) as connection:
        return tuple(
            connection.execute(
                """select table_schema, table_name, table_type from information_schema.tables
                union all select schema_name, '', '' from information_schema.schemata
                order by all"""
            ).fetchall()
        )


@contextmanager
def _noting(settings: Settings) -> Iterator[list[str]]:
    """The statements that dbt sends, in their order."""
    sent: list[str] = []
    execute: Callable[..., Any] = DuckDBCursorWrapper.execute

    def noted(self: DuckDBCursorWrapper, sql: str, bindings: Any = None) -> Any:
        statement = COMMENT.sub("", sql, count=1)
        if QUESTION.match(statement):
            assert ABOUT_RELATIONS.match(statement), f"its answer may differ from ledger to ledger: {sql}"
        elif not BOUNDS.match(statement):
            assert bindings is None
            assert str(settings.home.root) not in statement, f"a statement for one home only: {sql}"
            sent.append(statement)
        return execute(self, sql, bindings)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(DuckDBCursorWrapper, "execute", noted)
        yield sent


def _repeat(settings: Settings, statements: Sequence[str]) -> bool:
    """Run all statements or none; return whether they were run."""
    with open_duckdb(settings.home.build_file, config=settings.duckdb_config()) as connection:
        connection.begin()
        try:
            for statement in statements:
                connection.execute(statement)
        except duckdb.Error:
            connection.rollback()
            return False
        connection.commit()
    return True
