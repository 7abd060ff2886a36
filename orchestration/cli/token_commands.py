"""The subcommands `token add`, `token list` and `token revoke`: who may read the pull API."""

# ruff: noqa: PLC0415  slow imports belong into the functions that need them

from typing import Annotated

import typer

from orchestration.cli.common import NOT_PUBLISHED, WrongUsageError, own_settings, say
from paywall_warehouse.errors import words_of
from paywall_warehouse.quoting import printable

app = typer.Typer(no_args_is_help=True, help="Tokens: who may read which part of the warehouse over HTTP.")
Name = Annotated[str, typer.Argument(help="The name of a token.", metavar="NAME")]


@app.command("add")
def add(
    name: Name,
    datasets: Annotated[
        list[str] | None,
        typer.Option("--dataset", help="A dataset; may be repeated. Default: all.", metavar="NAME"),
    ] = None,
    columns: Annotated[
        str | None,
        typer.Option("--columns", help="Columns, comma-separated. Default: all.", metavar="A,B"),
    ] = None,
    where: Annotated[
        list[str] | None,
        typer.Option(
            "--where",
            help="Only rows with column=value, a text column, or user_prefix=text: only users whose id begins"
            " with it. May be repeated; all must hold.",
            metavar="CONDITION",
        ),
    ] = None,
    expires: Annotated[
        str | None,
        typer.Option("--expires", help="The last UTC day on which it is valid.", metavar="DATE"),
    ] = None,
) -> None:
    """Add a token and print it once. Only a hash of it is stored."""
    from datetime import UTC, datetime

    from exports.server.scope_check import check_scope
    from exports.server.tokens import Scope, TokenError, new_token, store_token
    from warehouse.published import NotPublishedError

    settings = own_settings()
    try:
        scope = Scope(datasets or (), columns, where or (), expires)
        token, text = new_token(name, scope, datetime.now(UTC))
        visible = check_scope(settings, token)
        store_token(settings.home, token)
    except TokenError as error:
        raise WrongUsageError(f"The token was not added: {printable(str(error))}.") from error
    except NotPublishedError as error:
        say(f"The token was not added: {words_of(error)}")
        raise typer.Exit(NOT_PUBLISHED) from error
    if visible is None:
        say("Nothing has been published yet, so the columns of its scope were not checked.")
    else:
        say(f"It may see: {', '.join(visible)}")
    say("This is the only time that the token is shown:")
    typer.echo(text)


@app.command("list")
def list_tokens() -> None:
    """List the tokens with their scopes, without their texts."""
    from datetime import UTC, datetime

    from exports.server.tokens import TokenError, read_tokens
    from orchestration import markdown

    try:
        tokens = read_tokens(own_settings().home).tokens.values()
    except TokenError as error:
        raise WrongUsageError(str(error)) from error
    if not tokens:
        typer.echo("There are no tokens. Add one: paywall-warehouse token add NAME")
        return
    today = datetime.now(UTC).date()
    rows = [("name", "datasets", "columns", "rows", "expires", "added")]
    for token in sorted(tokens, key=lambda token: token.name):
        conditions = [f"{column}={value}" for column, value in token.where]
        conditions += [f"user_prefix={token.user_prefix}"] if token.user_prefix is not None else []
        expires = f"{token.expires}{' (expired)' if token.has_expired(today) else ''}"
        rows.append(
            (
                token.name,
                ", ".join(token.datasets) if token.datasets is not None else "all",
                ", ".join(token.columns) if token.columns is not None else "all",
                " and ".join(conditions) or "all",
                expires if token.expires else "never",
                token.created_at[:10],
            )
        )
    for line in markdown.columns(rows):
        typer.echo(printable(line))


@app.command("revoke")
def revoke(name: Name) -> None:
    """Remove a token. A running server refuses it from its next request on."""
    from exports.server.tokens import TokenError, revoke_token

    try:
        revoke_token(own_settings().home, name)
    except TokenError as error:
        raise WrongUsageError(f"Nothing was revoked: {printable(str(error))}.") from error
    say(f"The token {name} is revoked.")
