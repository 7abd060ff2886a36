"""Delivery: sends the messages that are written down, and removes each after its route has taken it.

A fault of a route is noted and fails nothing. The next run, or the sensor, tries again.
"""

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final
from uuid import uuid4

from filelock import FileLock, Timeout

from orchestration.alert_delivery.messages import Notification, names_users, notification, trial_notification
from orchestration.alert_delivery.routes import DeliveryError, Sender
from paywall_warehouse.settings import Settings
from warehouse.alerts.definitions import AlertsFile, AlertsFileError, Route, Rule, read_home
from warehouse.alerts.evaluate import evaluate_clock, evaluate_published
from warehouse.alerts.findings import Evaluation
from warehouse.alerts.operations import users_below
from warehouse.alerts.state import (
    Message,
    State,
    changing,
    delivered,
    failed,
    read_state,
    without_routes,
    write_state,
)
from warehouse.published import published_warehouse

log = logging.getLogger(__name__)

# A run waits no longer for all its messages together.
BUDGET_SECONDS: Final = 30.0
# Another process delivers: it takes the messages of this one, too.
WAIT_SECONDS: Final = 2.0
USERS_LISTED: Final = 20


@dataclass(frozen=True)
class Trial:
    """A test message, and why it was not taken."""

    route: str
    reason: str | None


def notify_publication(settings: Settings) -> None:
    """Send what the evaluation of a publication has written down."""
    if settings.home.alerts_file.exists():
        with _harmless():
            deliver(settings)


def notify_failed_run(settings: Settings) -> None:
    """Evaluate the rules about failed runs, and send."""
    if settings.home.alerts_file.exists():
        with _harmless():
            evaluate_clock(settings)
            deliver(settings)


def notify_idle_run(settings: Settings) -> None:
    """Evaluate every rule on what is published, and send, while no run is at work.

    A run evaluates what it is about to publish, which the published file does not have yet.
    """
    if not settings.home.alerts_file.exists():
        return
    with _harmless():
        with settings.home.between_runs() as is_free:
            if is_free:
                evaluate_published(settings)
        deliver(settings)


@contextmanager
def _harmless() -> Iterator[None]:
    """Turn a mistake in this program into a warning. A run never fails because of an alert."""
    try:
        yield
    except Exception as error:
        # The text might contain a URL, so only the kind is shown.
        log.warning("Alerts were not sent, because of an error of the kind %s.", type(error).__name__)


def deliver(settings: Settings, sender: Sender | None = None, budget: float = BUDGET_SECONDS) -> int:
    """Send every message that is written down; return how many were taken. Never raises because of a route.

    One process delivers at a time, so that no message is sent twice.
    """
    sent = 0
    try:
        alerts_file = read_home(settings.home)
        if alerts_file is None or not read_state(settings.home).messages:
            return sent
        with FileLock(settings.home.root / ".alerts_delivery.lock", timeout=WAIT_SECONDS):
            sent = _deliver(settings, alerts_file, sender or Sender(), time.monotonic() + budget)
    except Timeout:
        log.info("Another process delivers alerts.")
    except (AlertsFileError, OSError) as error:
        log.warning("Alerts are not delivered: %s", error)
    return sent


def _deliver(settings: Settings, alerts_file: AlertsFile, sender: Sender, deadline: float) -> int:
    home = settings.home
    with changing(home):
        state = read_state(home)
        kept = without_routes(state, alerts_file.routes)
        if kept != state:
            write_state(home, kept)
    rules = {rule.name: rule for rule in alerts_file.rules}
    blocked: set[str] = set()
    tried: set[tuple[str, str]] = set()
    sent = 0
    while time.monotonic() < deadline:
        state = read_state(home)
        found = _next(state, blocked, tried)
        if found is None:
            break
        message, route = found
        tried.add((message.key, route))
        reason = _send(settings, alerts_file, rules.get(message.rule), state, message, route, sender)
        at = datetime.now(UTC)
        with changing(home):
            state = read_state(home)
            if reason is None:
                write_state(home, delivered(state, message, route, at))
            else:
                write_state(home, failed(state, route, at, str(reason)))
        if reason is None:
            sent += 1
            continue
        log.warning("The alert %s was not delivered by %s: %s.", message.rule, route, reason)
        if reason.is_of_route:
            blocked.add(route)
    return sent


def _next(state: State, blocked: set[str], tried: set[tuple[str, str]]) -> tuple[Message, str] | None:
    """Return the first message and route that were not tried yet."""
    return next(
        (
            (message, route)
            for message in state.messages
            for route in message.routes
            if route not in blocked and (message.key, route) not in tried
        ),
        None,
    )


def _send(
    settings: Settings,
    alerts_file: AlertsFile,
    rule: Rule | None,
    state: State,
    message: Message,
    route: str,
    sender: Sender,
) -> DeliveryError | None:
    """Send a message by a route; return why it was not taken, else None."""
    alerts = state.of(message)
    if rule is None or not alerts:
        return None
    users: list[str] = []
    if names_users(rule, message):
        # Looked up now, so that the state never has an id, and an erased person is not named.
        with suppress(Exception), published_warehouse(settings) as connection:
            evaluation = Evaluation(settings.home, settings.now(), (), connection)
            users = users_below(evaluation, rule, alerts[0].scope, USERS_LISTED)
    try:
        sender.send(alerts_file.routes[route], notification(alerts_file, message, alerts, rule, users))
    except DeliveryError as error:
        return error
    except Exception as error:
        # A mistake in this program. Its text might contain a URL, so only its kind is shown.
        return DeliveryError(f"an error of the kind {type(error).__name__}", is_of_route=False)
    return None


def send_test(alerts_file: AlertsFile, rule: Rule | None, sender: Sender | None = None) -> list[Trial]:
    """Send a marked test message to the routes of a rule, or to every route."""
    names = rule.routes if rule else tuple(alerts_file.routes)
    message = trial_notification(alerts_file, f"test-{uuid4().hex}", rule.name if rule else None)
    return [Trial(name, _tried(sender or Sender(), alerts_file.routes[name], message)) for name in names]


def _tried(sender: Sender, route: Route, message: Notification) -> str | None:
    try:
        sender.send(route, message)
    except DeliveryError as error:
        return str(error)
    return None
