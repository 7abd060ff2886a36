"""The subcommands `export` and `pull`: data for other programs."""

# ruff: noqa: PLC0415  slow imports belong into the functions that need them

import os
from pathlib import Path
from typing import Annotated

import typer

from orchestration.cli.common import NOT_PUBLISHED, WRONG_USAGE, WrongUsageError, own_settings, say
from paywall_warehouse.errors import words_of


def export(
    dataset: Annotated[
        str, typer.Argument(help="The dataset, such as ledger, users or daily_revenue.", metavar="DATASET")
    ],
    columns: Annotated[
        str | None,
        typer.Option("--columns", help="Columns, comma-separated. Default: all.", metavar="A,B"),
    ] = None,
    since: Annotated[
        str | None, typer.Option("--from", help="The first reporting day.", metavar="DAY")
    ] = None,
    until: Annotated[
        str | None, typer.Option("--to", help="The reporting day after the last one.", metavar="DAY")
    ] = None,
    where: Annotated[
        list[str] | None,
        typer.Option(
            "--where",
            help="column=value (or != > >= < <=), or 'column in a,b'. All conditions must hold.",
            metavar="CONDITION",
        ),
    ] = None,
    encoding: Annotated[
        str | None,
        typer.Option(
            "--format",
            help="csv, parquet or jsonl. Default: by the ending of the file, else csv. The journal also for"
            " accounting programs: hledger, xero or quickbooks.",
            metavar="FORMAT",
        ),
    ] = None,
    currency: Annotated[
        str | None,
        typer.Option(
            "--currency",
            help="With hledger, xero and quickbooks: the one currency to write, such as eur.",
            metavar="CURRENCY",
        ),
    ] = None,
    output: Annotated[
        str,
        typer.Option(
            "--output",
            help="A file, compressed if its name ends in .gz or .zst, or - for stdout.",
            metavar="FILE|-",
        ),
    ] = "-",
) -> None:
    """Write a slice of the published warehouse to a file or to stdout, in the order of the dataset."""
    import duckdb

    from exports.ad_hoc import SliceRequest
    from exports.filters import WrongSliceError
    from orchestration.cli.export import write_to
    from warehouse.published import NotPublishedError

    request = SliceRequest(
        dataset,
        None if columns is None else [name.strip() for name in columns.split(",")],
        since,
        until,
        where or [],
    )
    try:
        write_to(own_settings(), request, encoding, output, say, currency=currency)
    except WrongSliceError as error:
        raise WrongUsageError(str(error)) from error
    except (NotPublishedError, OSError, duckdb.Error) as error:
        say(f"{request.dataset} was not exported: {words_of(error)}")
        raise typer.Exit(NOT_PUBLISHED) from error


def pull(
    uri: Annotated[
        str,
        typer.Argument(
            help="The location of an export, as in EXPORT_URI of the warehouse that writes it.", metavar="URI"
        ),
    ],
    folder: Annotated[Path, typer.Argument(help="The folder that mirrors it.", metavar="DIR")],
    datasets: Annotated[
        list[str] | None,
        typer.Option("--dataset", help="A dataset; may be repeated. Default: all.", metavar="NAME"),
    ] = None,
    encodings: Annotated[
        list[str] | None, typer.Option("--format", help="parquet or csv. Default: both.", metavar="FORMAT")
    ] = None,
    into: Annotated[
        Path | None,
        typer.Option(
            "--into",
            help="A DuckDB file in which a table per dataset is kept up to date.",
            metavar="FILE",
        ),
    ] = None,
    trust_sizes: Annotated[
        bool,
        typer.Option("--trust-sizes", help="Verify files that are already in the folder by their size only."),
    ] = False,
    token_env: Annotated[
        str | None,
        typer.Option(
            "--token-env",
            help="The environment variable with the token for a server such as `serve`.",
            metavar="NAME",
        ),
    ] = None,
) -> None:
    """Mirror an export: fetch the files that changed, verify them, and list what changed."""
    token = None
    if token_env is not None and not (token := os.environ.get(token_env, "").strip()):
        raise WrongUsageError(f"--token-env: the environment variable {token_env} is not set.")
    from exports.client.duckdb_tables import load_into
    from exports.client.mirror import pull as mirror
    from exports.client.outcome import PullError, describe

    fault: PullError | None = None
    try:
        done = mirror(
            uri,
            folder,
            datasets=datasets,
            formats=encodings,
            trust_sizes=trust_sizes,
            token=token,
            progress=say,
        )
    except PullError as error:
        fault, done = error, error.pulled
    for pulled in done:
        typer.echo(describe(pulled))
    try:
        # Complete datasets are loaded even if others failed.
        if into is not None and done:
            for line in load_into(folder, into, datasets=[pulled.dataset for pulled in done]):
                typer.echo(line)
    except PullError as error:
        fault = fault or error
    if fault is not None:
        say(str(fault))
        raise typer.Exit(WRONG_USAGE if fault.is_wrong_usage else NOT_PUBLISHED)
