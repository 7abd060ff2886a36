"""The subcommand `dbt`: dbt on a home, for developers of models."""

import logging
from collections.abc import Sequence

import typer

from orchestration.cli.common import NOT_PUBLISHED, say
from orchestration.run_lock import exclusive
from paywall_warehouse.files import replace_text
from paywall_warehouse.settings import Settings
from warehouse.dbt_runner import DbtError
from warehouse.engines import engine_of


def run_dbt(settings: Settings, arguments: Sequence[str]) -> int:
    """Run dbt while no run works on the home; return the exit code."""
    with exclusive(settings.home, "dbt", None, logging.getLogger(__name__)):
        # Nothing that dbt leaves in the build file may be published before a run has rebuilt it.
        replace_text(settings.home.unfinished_build, "dbt")
        try:
            done = engine_of(settings).run_dbt(arguments, say)
        except DbtError as error:
            say(str(error))
            return NOT_PUBLISHED
    if done.failures:
        say("\n\n".join(failure.describe() for failure in done.failures))
        return NOT_PUBLISHED
    if done.models or done.tests:
        typer.echo(f"{done.models} models built, {done.tests} tests passed")
    else:
        typer.echo("dbt selected no model and no test.")
    return 0
