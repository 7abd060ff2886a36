"""The entry point of the command `paywall-warehouse`."""

import sys

import typer

from orchestration.cli import alert_commands, map_commands, token_commands
from orchestration.cli.common import NOT_PUBLISHED, WRONG_USAGE, WrongUsageError, say
from orchestration.cli.export_commands import export, pull
from orchestration.cli.period_commands import close, reopen
from orchestration.cli.pipeline_commands import check, dbt, discard, erase, run, sample, status
from orchestration.cli.server_commands import dashboard, receive, serve, ui
from paywall_warehouse.errors import is_from_outside, words_of
from paywall_warehouse.settings import SettingsError

app = typer.Typer(
    name="paywall-warehouse",
    help="A warehouse for companies that sell AI usage from prepaid balances.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
# In the order of `--help`.
for command in (
    run,
    status,
    check,
    sample,
    close,
    reopen,
    export,
    pull,
    ui,
    dashboard,
    receive,
    serve,
    discard,
    erase,
):
    app.command()(command)
app.add_typer(map_commands.app, name="map")
app.add_typer(alert_commands.app, name="alerts")
app.add_typer(token_commands.app, name="token")
app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})(dbt)


def main() -> None:
    """Run the command; exit with 0, 1 or 2, and without a traceback for what the user can put right."""
    try:
        app()
    except (SettingsError, WrongUsageError) as error:
        say(str(error))
        sys.exit(WRONG_USAGE)
    except KeyboardInterrupt:
        say("Interrupted.")
        sys.exit(NOT_PUBLISHED)
    except Exception as error:
        if not is_from_outside(error):
            raise
        say(words_of(error))
        sys.exit(NOT_PUBLISHED)


if __name__ == "__main__":
    main()
