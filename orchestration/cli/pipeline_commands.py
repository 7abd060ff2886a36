"""`run`, `erase`, `discard`, `sample`, `status`, `dbt`: what works on the warehouse of a home."""

# ruff: noqa: PLC0415  what is slow to import is imported by the commands that need it

from typing import Annotated

import typer

from orchestration.cli.common import (
    WrongUsageError,
    land_sample_data,
    own_settings,
    ready_settings,
    say,
)
from paywall_warehouse.quoting import printable
from paywall_warehouse.settings import load_settings


def run(
    full_refresh: Annotated[
        bool, typer.Option("--full-refresh", help="Rebuild every table from the lake.")
    ] = False,
    sample: Annotated[
        bool, typer.Option("--sample", help="Land the sample data first where nothing has landed yet.")
    ] = False,
    wait: Annotated[
        bool,
        typer.Option(
            help="Wait where another run is at work on the home; else end at once with exit code 1."
        ),
    ] = True,
) -> None:
    """Load what landed, build, check, publish and export.

    Exit code 0: published, or nothing was new. 1: not published.
    """
    settings = ready_settings(builds=True)
    from ingestion.unloaded_files import nothing_landed

    if sample and not settings.stripe_api_key and nothing_landed(settings):
        say("The landing area is empty: landing the sample data first.")
        say(land_sample_data(settings))
        say()
    from orchestration.cli.run import run_once
    from orchestration.instance import open_instance

    with open_instance(settings.home) as instance:
        code = run_once(settings, instance, full_refresh=full_refresh, wait=wait)
    raise typer.Exit(code)


def erase(
    user: Annotated[
        str, typer.Argument(help="The id of the person, as `user_id` in the marts.", metavar="USER")
    ],
    landing: Annotated[
        bool, typer.Option("--landing", help="Write the landed files that name the person anew, too.")
    ] = False,
) -> None:
    """Replace a person's id by a pseudonym in the lake, the published file and the exports, for good.

    No sum changes.
    """
    try:
        user.encode()
    except UnicodeEncodeError:
        raise WrongUsageError("USER is not UTF-8 text, which no record can state.") from None
    settings = ready_settings(builds=True)
    from orchestration.cli.erase import erase_user

    raise typer.Exit(erase_user(settings, user, rewrite_landing=landing, progress=say))


def discard(
    paths: Annotated[
        list[str],
        typer.Argument(
            help=(
                "Files as messages show them, such as ledger/a.jsonl, or as on the disk; patterns in quotes."
            ),
            metavar="PATH…",
        ),
    ],
) -> None:
    """Drop landed files from the lake that were never published, such as a bad file.

    The file can be loaded again once it is put right or landed again.
    """
    from ingestion.discard import DiscardError
    from orchestration.cli.discard import discard_files

    home = load_settings().home
    if not home.lake.is_dir():
        raise WrongUsageError(
            f"WAREHOUSE_HOME '{home.root}' has loaded nothing: there is nothing to discard. Is it the right"
            " home?"
        )
    try:
        lines = discard_files(ready_settings(), paths)
    except DiscardError as error:
        raise WrongUsageError(f"{error}\nNothing was changed.") from error
    for line in lines:
        typer.echo(printable(line))


def sample() -> None:
    """Land the sample data: real requests, and an invented business around them."""
    typer.echo(land_sample_data(ready_settings()))
    typer.echo("`paywall-warehouse run` publishes it.")


def status() -> None:
    """Show the last run, how fresh each source is, open breaks, failed checks and rejected records."""
    from orchestration.cli.status import status_lines

    for line in status_lines(own_settings()):
        typer.echo(line)


def dbt(context: typer.Context) -> None:
    """Run dbt on this home for development, such as `dbt test --select fct_daily_revenue`.

    Publishes nothing: the next run rebuilds what this changed. Ends with exit code 1 if a model or test fails.
    """
    if not context.args:
        raise WrongUsageError("Say what dbt should do, such as: paywall-warehouse dbt build --select staging")
    settings = ready_settings(builds=True)
    from orchestration.cli.dbt import run_dbt

    raise typer.Exit(run_dbt(settings, context.args))
