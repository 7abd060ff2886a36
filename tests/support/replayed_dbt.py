"""Builds with dbt's own statements, without dbt: the first of its kind runs dbt and notes the statements, all
others repeat them, in this worker of pytest-xdist and in the others.

The models read every setting and every row from tables, so dbt sends the same statements whatever the ledger
is: they depend on the project, on the options, and on which relations the build file has. dbt takes three
seconds to make them from its templates, DuckDB one to run them. `test_replayed_dbt.py` compares the tables of
both ways.
"""

import hashlib
import pickle
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb
import pytest
from dagster_dbt.core.dbt_cli_event import DbtCoreCliEventMessage
from dbt.adapters.duckdb.environments.local import DuckDBCursorWrapper
from filelock import FileLock

from paywall_warehouse.duckdb_connections import open_duckdb
from paywall_warehouse.files import replace_bytes
from paywall_warehouse.settings import Settings
from tests.support import shared
from warehouse import dbt_runner
from warehouse.dbt_runner import PROJECT, Dbt, DbtBuild, build_command
from warehouse.duckdb_engine import DuckdbEngine
from warehouse.plan import Build

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
# A data test: this is repeated, and only where nothing fails.
DATA_TEST = re.compile(r"select\s+count\(\*\) as failures,", re.IGNORECASE)
COMMENT = re.compile(r"\s*/\*.*?\*/\s*", re.DOTALL)

# They take a seventh of a small build. Tests of numbers compare the tables themselves.
WITHOUT_DATA_TESTS = ("--exclude-resource-type", "test")

Key = tuple[tuple[str, ...], tuple[tuple[str, ...], ...]]
# The key of all data tests, which belong to no build.
DATA_TESTS: Key = (("data tests",), ())


@dataclass
class Noted:
    """A build: what dbt sent, and what it said."""

    statements: list[str] = field(default_factory=list)
    results: list[DbtCoreCliEventMessage] = field(default_factory=list)
    tables: list[str] = field(default_factory=list)
    """The unique ids of the models whose rows are counted."""


_noted: dict[Key, Noted] = {}


@contextmanager
def replayed_builds() -> Iterator[None]:
    """Builds of this project on DuckDB repeat what was noted. Where a statement or a data test fails, dbt
    builds, and says what failed.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(DuckdbEngine, "build", _build)
        yield


def _build(
    engine: DuckdbEngine,
    plan: Build,
    _: str,
    manifest: Mapping[str, Any],
    selection: Sequence[str],
    progress: Callable[[str], None],
) -> DbtBuild:
    dbt, settings = engine._dbt, engine._settings
    command = [*build_command(full_refresh=plan.full_refresh), *selection]
    if dbt.project != PROJECT:
        return dbt.build(manifest, command, progress)
    relations = _relations(settings)
    whole = tuple(command) in _whole_builds()
    key = ((*command, *WITHOUT_DATA_TESTS) if whole else tuple(command), relations)
    with _notes_of(key) as file:
        noted = _known(key, file)
        if noted is not None and whole:
            noted = _with_data_tests(noted)
        if noted is None:
            return _build_and_note(dbt, command, key, file, manifest, progress)
    if _repeat(settings, noted):
        return _done(dbt, noted, manifest, progress)
    return dbt.build(manifest or dbt.prepare_manifest(), [*command, "--threads", "1"], progress)


@contextmanager
def _notes_of(key: Key) -> Iterator[Path | None]:
    """The file for the notes of a build; whoever else needs it waits."""
    file = _file_of(key)
    if file is None or key in _noted:
        yield None
        return
    with FileLock(file.with_suffix(".lock")):
        yield file


def _file_of(key: Key) -> Path | None:
    if shared.folder is None:
        return None
    return shared.folder / f"dbt-{hashlib.sha256(repr(key).encode()).hexdigest()[:16]}.pickle"


def _known(key: Key, file: Path | None) -> Noted | None:
    if key not in _noted and file is not None and file.exists():
        _noted[key] = pickle.loads(file.read_bytes())
    return _noted.get(key)


def _with_data_tests(models: Noted) -> Noted | None:
    """What a build of all models sends with data tests. They are the same for all builds, and come behind all
    models, which changes nothing where none fails.
    """
    tests = _known(DATA_TESTS, _file_of(DATA_TESTS))
    if tests is None:
        return None
    return Noted(models.statements + tests.statements, models.results + tests.results, models.tables)


def parse_once(dbt: Dbt) -> None:
    """Parse the project in the first worker; the others wait and read its cache, in a tenth of the time."""
    if shared.folder is not None and dbt.project == PROJECT:
        with FileLock(shared.folder / "project.lock"):
            dbt._manifest()


def _build_and_note(
    dbt: Dbt,
    command: Sequence[str],
    key: Key,
    file: Path | None,
    manifest: Mapping[str, Any],
    progress: Callable[[str], None],
) -> DbtBuild:
    parse_once(dbt)
    with _noting(dbt.settings) as statements:
        done = dbt.build(manifest or dbt.prepare_manifest(), [*command, "--threads", "1"], progress)
    if done.failures:
        return done
    tests, models = _parted(statements, DATA_TEST.match)
    of_tests, of_models = _parted(done.results, _is_test)
    _keep(key, Noted(models, of_models, list(done.row_counts)), file)
    # What a data test found belongs to this ledger.
    if tuple(command) in _whole_builds() and not any(map(_has_found, of_tests)):
        _keep(DATA_TESTS, Noted(tests, of_tests), _file_of(DATA_TESTS))
    return done


def _parted(values: Sequence[Any], belongs: Callable[[Any], Any]) -> tuple[list[Any], list[Any]]:
    """Those of which `belongs` is true, and the others."""
    return [value for value in values if belongs(value)], [value for value in values if not belongs(value)]


def _keep(key: Key, noted: Noted, file: Path | None) -> None:
    _noted[key] = noted
    if file is not None:
        replace_bytes(file, pickle.dumps(noted))


def _whole_builds() -> list[tuple[str, ...]]:
    """The commands that build all models and run all data tests."""
    return [tuple(build_command(full_refresh=full_refresh)) for full_refresh in (False, True)]


def _is_test(result: DbtCoreCliEventMessage) -> bool:
    return bool(result.raw_event["info"]["name"] == "LogTestResult")


def _has_found(result: DbtCoreCliEventMessage) -> bool:
    return bool(result.raw_event["data"]["num_failures"])


def _done(dbt: Dbt, noted: Noted, manifest: Mapping[str, Any], progress: Callable[[str], None]) -> DbtBuild:
    for result in noted.results:
        if line := dbt_runner._progress(result.raw_event):
            progress(line)
    nodes = [manifest["nodes"][table] for table in noted.tables] if manifest else []
    return DbtBuild(list(noted.results), [], dbt._row_counts(nodes))


def _relations(settings: Settings) -> tuple[tuple[str, ...], ...]:
    """All that dbt could find in the build file before it begins. It looks for nothing in `ops`."""
    with open_duckdb(settings.home.build_file, read_only=True) as connection:
        return tuple(
            connection.execute(
                """select table_schema, table_name, table_type from information_schema.tables
                where table_schema <> 'ops'
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
        assert bindings is None
        if DATA_TEST.match(statement) or not (QUESTION.match(statement) or BOUNDS.match(statement)):
            assert str(settings.home.root) not in statement, f"a statement for one home only: {sql}"
            sent.append(statement)
        elif QUESTION.match(statement):
            assert ABOUT_RELATIONS.match(statement), f"its answer may differ from ledger to ledger: {sql}"
            assert "'ops'" not in statement, f"its answer is not in the key: {sql}"
        return execute(self, sql, bindings)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(DuckDBCursorWrapper, "execute", noted)
        yield sent


def _repeat(settings: Settings, noted: Noted) -> bool:
    """Run all statements or none; return whether they were run, and no data test failed."""
    with open_duckdb(settings.home.build_file, config=settings.duckdb_config()) as connection:
        connection.begin()
        try:
            for statement in noted.statements:
                answer = connection.execute(statement)
                if DATA_TEST.match(statement):
                    [(failures, *_)] = answer.fetchall()
                    if failures:
                        connection.rollback()
                        return False
        except duckdb.Error:
            connection.rollback()
            return False
        connection.commit()
    return True
