"""The default engine: dbt builds in the home's build file, in this process."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import duckdb

from paywall_warehouse.settings import Settings
from warehouse.build import prepare_build, require_full_refresh
from warehouse.checks.build_checks import CheckRows, ChecksNotBuiltError, check_query
from warehouse.code_version import code_version
from warehouse.dbt_runner import PROJECT, Dbt, DbtBuild, build_command
from warehouse.engine import Progress
from warehouse.plan import Build
from warehouse.price_book import resolve_price_book
from warehouse.unused_models import EXCLUDE_BILLS, unused_models


class DuckdbCandidate:
    """The build file. Publication itself replaces what readers see."""

    def read_check(self, build_file: duckdb.DuckDBPyConnection, model: str) -> CheckRows:
        """See `Candidate`."""
        try:
            return build_file.execute(check_query(model)).fetchall()
        except duckdb.CatalogException:
            raise ChecksNotBuiltError(
                f"Nothing is published: the build file has no table checks.{model}. The models build it: run"
                " the job `refresh`."
            ) from None

    def promote(self) -> None:
        """See `Candidate`."""


class DuckdbEngine:
    """See `Engine`."""

    def __init__(self, settings: Settings, project: Path = PROJECT) -> None:
        self._settings = settings
        self._dbt = Dbt(settings, project)

    def check_selection(self, *, is_subset: bool) -> None:
        """See `Engine`; DuckDB builds any part."""

    def build(
        self,
        plan: Build,
        run_id: str,
        manifest: Mapping[str, Any],
        selection: Sequence[str],
        progress: Progress,
    ) -> DbtBuild:
        """See `Engine`."""
        command = [*build_command(full_refresh=plan.full_refresh), *selection]
        # What a user selects is built, used or not.
        unused = [] if selection else unused_models(self._settings.home.build_file, manifest)
        if unused:
            command += EXCLUDE_BILLS
        done = self._dbt.build(manifest, command, progress)
        done.unused = unused
        return done

    def candidate(self) -> DuckdbCandidate:
        """See `Engine`."""
        return DuckdbCandidate()

    def remote_mart(self, published: duckdb.DuckDBPyConnection, mart: str, day: str | None) -> None:
        """See `Engine`; every row is in the published file."""

    def run_dbt(self, words: Sequence[str], progress: Progress) -> DbtBuild:
        """See `Engine`; works in the build file, a copy of what is published, which stays for the next call.

        The next run rebuilds everything.
        """
        resolve_price_book(self._settings)
        prepare_build(self._settings, code_version(), always=True, keep_tables=True)
        require_full_refresh(self._settings)
        return self._dbt.build(self._dbt.prepare_manifest(), list(words), progress)
