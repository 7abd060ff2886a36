"""What an engine that builds the models can do. The rooms above call these methods and know no engine."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import duckdb

from warehouse.checks.build_checks import CheckRows
from warehouse.dbt_runner import DbtBuild
from warehouse.marts import Mart
from warehouse.plan import Build

Progress = Callable[[str], None]


class EngineError(Exception):
    """The engine cannot do what it was asked for; the text says why and what to do."""


class Candidate(Protocol):
    """A finished build that is checked, then promoted. Another process may have built it."""

    def read_check(self, build_file: duckdb.DuckDBPyConnection, model: str) -> CheckRows:
        """Return the rows of a check model, in the order of `ordinal`.

        `build_file` is a connection to the build file. Raises `ChecksNotBuiltError` if the table is missing.
        """

    def promote(self) -> None:
        """Let the engine's own readers see the build. The published file is replaced right after."""


class Engine(Protocol):
    """Builds and tests the models of one home, and gives access to what it built."""

    def check_selection(self, *, is_subset: bool) -> None:
        """Raise `EngineError` where this engine cannot build a part of the models."""

    def build(
        self,
        plan: Build,
        run_id: str,
        manifest: Mapping[str, Any],
        selection: Sequence[str],
        progress: Progress,
    ) -> DbtBuild:
        """Build and test the models. `selection` are dbt's arguments for a part of them, empty for all.

        `progress` gets a line for each finished model and each test that fails.
        """

    def candidate(self) -> Candidate:
        """Return the last finished build; raise `NotPublishedError` where it is not the build file's."""

    def remote_mart(self, published: duckdb.DuckDBPyConnection, mart: str, day: str | None) -> Mart | None:
        """Return a published mart whose rows are not in the published file, None if they are.

        `published` is a connection to the published file, `day` the mart's column with the reporting day.
        Raises `NotPublishedError` where the engine no longer has the build that is published.
        """

    def run_dbt(self, words: Sequence[str], progress: Progress) -> DbtBuild:
        """Run a dbt command such as `test --select …`, for a developer. Never changes what readers see."""
