"""The subcommands `map list`, `map show`, `map check` and `map init`: mappings of other systems' exports."""

# ruff: noqa: PLC0415  slow imports belong into the functions that need them

from pathlib import Path
from typing import Annotated

import typer

from orchestration.cli.common import NOT_PUBLISHED, WrongUsageError, own_settings, say
from paywall_warehouse.quoting import printable, printable_lines

app = typer.Typer(no_args_is_help=True, help="Mappings: how other systems' exports become ledger entries.")


@app.command("list")
def list_mappings() -> None:
    """List the mappings that there are: those of the package and those of this home."""
    from ingestion.sources.registry import mappings_of
    from orchestration import markdown

    settings = own_settings()
    rows = [("mapping", "from", "title", "pulls from")]
    for name, mapping in mappings_of(settings.home).items():
        pull = f"{mapping.pull.table} ({mapping.pull.dsn_variable})" if mapping.pull else ""
        rows.append((name, mapping.origin, mapping.title, pull))
    for line in markdown.columns(rows):
        typer.echo(printable(line))
    typer.echo(
        f"Files go to {settings.landing_shown}/<mapping>/. Your own mappings: {settings.home.mappings}/"
    )


@app.command("show")
def show_mapping(
    name: Annotated[str, typer.Argument(help="The name of a mapping.", metavar="NAME")],
) -> None:
    """Print a mapping as it is used. Saved in the home's `mappings/`, a changed copy replaces it."""
    from ingestion.sources.mappings.catalog import shipped_mappings
    from ingestion.sources.registry import mappings_of

    settings = own_settings()
    own = settings.home.mappings / f"{name}.yml"
    # With `map show NAME > mappings/NAME.yml` the shell has emptied the file before this is read.
    is_empty = own.is_file() and not own.stat().st_size
    known = shipped_mappings() if is_empty else mappings_of(settings.home)
    if name not in known:
        raise WrongUsageError(f"There is no mapping '{name}'; there are: {', '.join(known)}.")
    say(f"From: {known[name].origin}")
    typer.echo(printable_lines(known[name].text), nl=False)


@app.command("check")
def check_mapping(
    name: Annotated[str, typer.Argument(help="The name of a mapping.", metavar="NAME")],
    file: Annotated[Path, typer.Argument(help="A file that is to land.", metavar="FILE")],
) -> None:
    """Show what a mapping makes of a file: rows, rejects by reason, unmapped columns, first entries.

    Changes nothing. Exit code 0: no row would be rejected. 1: some would.
    """
    from ingestion.sources.registry import mappings_of
    from ingestion.validate_file import FileValidationError, validate_file
    from orchestration.cli.check import validation_lines

    settings = own_settings()
    known = mappings_of(settings.home)
    if name not in known:
        raise WrongUsageError(f"There is no mapping '{name}'; there are: {', '.join(known)}.")
    try:
        validation = validate_file(settings, file, name)
    except FileValidationError as error:
        say(printable(str(error)))
        raise typer.Exit(NOT_PUBLISHED) from None
    for line in validation_lines(validation):
        typer.echo(printable(line))
    raise typer.Exit(NOT_PUBLISHED if validation.rejected else 0)


@app.command("init")
def draft_mapping(
    file: Annotated[Path, typer.Argument(help="A file of an unknown kind.", metavar="FILE")],
    save: Annotated[
        bool,
        typer.Option("--save", help="Write the draft into the home's `mappings/` instead of printing it."),
    ] = False,
    name: Annotated[
        str | None, typer.Option("--name", help="The name of the mapping; by default from the file's.")
    ] = None,
) -> None:
    """Draft a mapping from the columns and first rows of a file. Lines with TODO need a decision."""
    from ingestion.sources.mappings.draft import draft
    from ingestion.sources.mappings.mapping import NAME

    settings = own_settings()
    if not file.is_file():
        raise WrongUsageError(f"{file} is not a file.")
    if name is not None and not NAME.fullmatch(name):
        raise WrongUsageError(f"--name '{name}': use a to z, digits and _, such as acme_usage.")
    drafted, text = draft(file)
    name = name or drafted
    target = settings.home.mappings / f"{name}.yml"
    if not save:
        typer.echo(printable_lines(text), nl=False)
        say(f"Save it as {target}, and try it: paywall-warehouse map check {name} {file}")
        return
    settings.home.mappings.mkdir(parents=True, exist_ok=True)
    try:
        with target.open("x", encoding="utf-8") as opened:
            opened.write(text)
    except FileExistsError:
        raise WrongUsageError(
            f"{target} exists and stays as it is; remove it, or choose another --name."
        ) from None
    say(f"Saved as {target}. Decide the lines with TODO, then: paywall-warehouse map check {name} {file}")
