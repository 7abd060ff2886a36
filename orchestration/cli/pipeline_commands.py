"""The subcommands `run`, `check`, `erase`, `discard`, `sample`, `status` and `dbt`, which work on a home."""

# ruff: noqa: PLC0415  slow imports belong into the functions that need them

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from orchestration.cli.common import (
    NOT_PUBLISHED,
    WrongUsageError,
    close_months_of_sample,
    land_sample_data,
    own_settings,
    ready_settings,
    say,
)
from paywall_warehouse.imports import kept_from_collector
from paywall_warehouse.quoting import printable
from paywall_warehouse.settings import Settings, load_settings


def run(
    full_refresh: Annotated[
        bool, typer.Option("--full-refresh", help="Rebuild every table from the lake.")
    ] = False,
    sample: Annotated[
        bool, typer.Option("--sample", help="Land the sample data first if nothing has landed yet.")
    ] = False,
    wait: Annotated[
        bool,
        typer.Option(help="Wait while another run works on the home, or end at once with exit code 1."),
    ] = True,
) -> None:
    """Load new files, build, check, publish and export.

    Exit code 0: published, or nothing was new. 1: not published.
    """
    settings = ready_settings(builds=True)
    between: Callable[[], None] | None = None
    if sample and not settings.stripe_api_key and _nothing_landed(settings):
        say("The landing area is empty: landing the sample data first.")
        say(land_sample_data(settings))
        say()
        # On Spark, a second build of the sample takes minutes.
        if settings.warehouse_target == "duckdb":
            between = partial(close_months_of_sample, settings)
    elif not full_refresh:
        from orchestration.cli.idle_run import end_if_idle

        if end_if_idle(settings):
            return
    with kept_from_collector():
        from orchestration.cli.run import run_once
        from orchestration.instance import open_instance

    with open_instance(settings.home) as instance:
        code = run_once(settings, instance, full_refresh=full_refresh, wait=wait, between=between)
    raise typer.Exit(code)


def _nothing_landed(settings: Settings) -> bool:
    from ingestion.unloaded_files import nothing_landed

    return nothing_landed(settings)


def check(
    files: Annotated[
        list[Path], typer.Argument(help="Files that are to land, of any format.", metavar="FILE…")
    ],
    source: Annotated[
        str | None,
        typer.Option(
            "--as",
            help="The source, such as ledger or payments. By default it follows from folder or columns.",
        ),
    ] = None,
) -> None:
    """Validate files before they land: rejects by reason, columns that nothing reads, the first records.

    Needs no home and changes nothing. Exit code 0: every record would be accepted. 1: not all of them.
    """
    settings = own_settings()
    from ingestion.sources.registry import sources
    from ingestion.validate_file import FileValidationError, validate_file
    from orchestration.cli.check import validation_lines

    known = sources(settings.home)
    if source is not None and source not in known:
        raise WrongUsageError(f"--as '{source}' is not a source; the sources are: {', '.join(known)}.")
    is_good = True
    for file in files:
        try:
            validation = validate_file(settings, file, source)
        except FileValidationError as error:
            say(printable(str(error)))
            is_good = False
            continue
        for line in validation_lines(validation):
            typer.echo(printable(line))
        is_good &= not validation.rejected
    raise typer.Exit(0 if is_good else NOT_PUBLISHED)


def erase(
    user: Annotated[
        str, typer.Argument(help="The id of the person: `user_id` in the marts.", metavar="USER")
    ],
    landing: Annotated[
        bool, typer.Option("--landing", help="Also rewrite the landed files that name the person.")
    ] = False,
) -> None:
    """Replace a person's id by a pseudonym in the lake, the published file and the exports, for good.

    No sum changes.
    """
    try:
        user.encode()
    except UnicodeEncodeError:
        raise WrongUsageError("USER is not valid UTF-8, so no record can contain it.") from None
    settings = ready_settings(builds=True)
    from orchestration.cli.erase import erase_user

    raise typer.Exit(erase_user(settings, user, rewrite_landing=landing, progress=say))


def discard(
    paths: Annotated[
        list[str],
        typer.Argument(
            help=(
                "Files as in messages, such as ledger/a.jsonl, or paths on the disk. Put patterns in quotes."
            ),
            metavar="PATH…",
        ),
    ],
) -> None:
    """Remove landed files that were never published from the lake, such as a bad file.

    A file is loaded again after it has been corrected or landed again.
    """
    from ingestion.discard import DiscardError
    from orchestration.cli.discard import discard_files

    home = load_settings().home
    if not home.lake.is_dir():
        raise WrongUsageError(
            f"WAREHOUSE_HOME '{home.root}' has loaded nothing, so there is nothing to discard. Is it the"
            " right home?"
        )
    try:
        lines = discard_files(ready_settings(), paths)
    except DiscardError as error:
        raise WrongUsageError(f"{error}\nNothing was changed.") from error
    for line in lines:
        typer.echo(printable(line))


def sample() -> None:
    """Land the sample data: real requests with invented business data around them."""
    typer.echo(land_sample_data(ready_settings()))
    typer.echo("`paywall-warehouse run` publishes it.")


def status() -> None:
    """Show the last run, the last load of each source, open breaks, failed checks and rejected records."""
    from orchestration.cli.status import status_lines

    for line in status_lines(own_settings()):
        typer.echo(line)


def dbt(context: typer.Context) -> None:
    """Run dbt on this home for development, such as `dbt test --select fct_daily_revenue`.

    Publishes nothing: the next run rebuilds all changes. Exit code 1: a model or test failed.
    """
    if not context.args:
        raise WrongUsageError("Pass a dbt command, for example: paywall-warehouse dbt build --select staging")
    settings = ready_settings(builds=True)
    from orchestration.cli.dbt import run_dbt

    raise typer.Exit(run_dbt(settings, context.args))
