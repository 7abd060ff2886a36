"""The alerts of a home in a few lines, for the summary of a run, `status` and `alerts status`."""

from collections.abc import Iterator
from typing import Final

from paywall_warehouse.home import Home
from paywall_warehouse.quoting import printable
from warehouse.alerts.definitions import AlertsFile, AlertsFileError, read_home
from warehouse.alerts.state import Alert, State, read_state

ALERTS_LISTED: Final = 5


def alert_lines(home: Home) -> Iterator[str]:
    """Yield how many alerts are open, the first of them, and what was not delivered.

    Yields nothing without `alerts.yml`.
    """
    if not home.alerts_file.exists():
        return
    try:
        alerts_file = read_home(home)
    except AlertsFileError as error:
        yield f"Alerts: none is evaluated. {printable(str(error))}"
        return
    if alerts_file is None:
        return
    state = read_state(home)
    opened = state.open_alerts
    yield f"Alerts: {f'{len(opened):,} open' if opened else 'none open'}{_undelivered(state)}"
    yield from (f"  ! {alert_line(alert)}" for alert in opened[:ALERTS_LISTED])
    if len(opened) > ALERTS_LISTED:
        yield f"  … and {len(opened) - ALERTS_LISTED:,} more: paywall-warehouse alerts status"
    yield from fault_lines(alerts_file, state)


def alert_line(alert: Alert) -> str:
    """Return an alert in one line, for the operator: with the case where the summary does not name it."""
    case = "" if alert.label == alert.scope else f" ({alert.scope})"
    return printable(f"{alert.rule}{case}: {alert.summary} Since {alert.opened_at:%Y-%m-%d %H:%M} UTC.")


def fault_lines(alerts_file: AlertsFile, state: State) -> Iterator[str]:
    """Yield the rules that could not be evaluated, and the routes that did not take a message."""
    for rule, reason in state.problems.items():
        yield f"  ! The rule {rule} could not be evaluated: {printable(reason)}"
    for route, failure in state.failures.items():
        if route in alerts_file.routes:
            yield (
                f"  ! {route} took no message on {failure.failed_at:%Y-%m-%d %H:%M} UTC: {failure.reason}."
                " The next run tries again."
            )


def _undelivered(state: State) -> str:
    left = len(state.messages)
    return f", {left:,} message{'s' if left > 1 else ''} not delivered yet" if left else ""
