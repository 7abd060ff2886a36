"""The subcommands `alerts init`, `alerts test` and `alerts status`."""

# ruff: noqa: PLC0415  slow imports belong into the functions that need them

from typing import TYPE_CHECKING, Annotated

import typer

from orchestration.cli.common import NOT_PUBLISHED, WrongUsageError, own_settings, say
from paywall_warehouse.quoting import printable

if TYPE_CHECKING:
    from paywall_warehouse.home import Home
    from warehouse.alerts.definitions import AlertsFile

app = typer.Typer(no_args_is_help=True, help="Alerts: rules in the home's alerts.yml, and where messages go.")


@app.command("init")
def write_default() -> None:
    """Write a commented `alerts.yml` with good defaults into the home. An existing one stays as it is."""
    from warehouse.alerts.definitions import default_text

    home = own_settings().home
    home.make()
    try:
        with home.alerts_file.open("x", encoding="utf-8") as opened:
            opened.write(default_text())
    except FileExistsError:
        raise WrongUsageError(f"{home.alerts_file} exists and stays as it is.") from None
    say(f"Saved as {home.alerts_file}. Name your routes in it, then: paywall-warehouse alerts test")


@app.command("test")
def send_test_messages(
    rule: Annotated[
        str | None,
        typer.Argument(help="A rule, whose routes are tried; by default every route.", metavar="RULE"),
    ] = None,
) -> None:
    """Send a message that is marked as a test. Exit code 0: every route took it. 1: not all of them."""
    from orchestration.alert_delivery.deliver import send_test

    alerts_file = _alerts_file(own_settings().home)
    chosen = next((one for one in alerts_file.rules if one.name == rule), None)
    if rule is not None and chosen is None:
        names = ", ".join(one.name for one in alerts_file.rules) or "none"
        raise WrongUsageError(f"There is no rule '{rule}'; there are: {names}.")
    trials = send_test(alerts_file, chosen)
    if not trials:
        raise WrongUsageError("There is no route to send to. Name one under `routes` (docs/alerts.md).")
    for trial in trials:
        typer.echo(f"{trial.route}: {'sent' if trial.reason is None else f'not sent: {trial.reason}'}")
    raise typer.Exit(NOT_PUBLISHED if any(trial.reason for trial in trials) else 0)


@app.command("status")
def show_status() -> None:
    """Show each rule with its routes, the open alerts, and the messages that were not delivered."""
    from orchestration import markdown
    from warehouse.alerts.state import read_state
    from warehouse.alerts.summary import alert_line, fault_lines

    home = own_settings().home
    alerts_file, state = _alerts_file(home), read_state(home)
    rows = [("rule", "type", "routes", "open", "resolved", "not delivered")]
    for rule in alerts_file.rules:
        alerts = [alert for alert in state.alerts if alert.rule == rule.name]
        opened = sum(alert.resolved_at is None for alert in alerts)
        left = sum(message.rule == rule.name for message in state.messages)
        counts = (f"{opened:,}", f"{len(alerts) - opened:,}", f"{left:,}")
        rows.append((rule.name, rule.kind, ", ".join(rule.routes) or "none", *counts))
    for line in markdown.columns(rows, right=(3, 4, 5)):
        typer.echo(printable(line))
    for alert in state.open_alerts:
        typer.echo(f"  ! {alert_line(alert)}")
    for line in fault_lines(alerts_file, state):
        typer.echo(line)


def _alerts_file(home: "Home") -> "AlertsFile":
    from warehouse.alerts.definitions import AlertsFileError, read_home

    try:
        alerts_file = read_home(home)
    except AlertsFileError as error:
        raise WrongUsageError(printable(str(error))) from None
    if alerts_file is None:
        raise WrongUsageError(
            f"{home.alerts_file} does not exist: `paywall-warehouse alerts init` writes it."
        )
    return alerts_file
