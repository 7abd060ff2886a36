"""The history of alerts, and the messages that are still to be sent: one small file in the lake.

It is in the lake because the lake is what gets backed up, and because rebuilds and erasures keep it. It has
no id of a user: messages that may name users look them up when they are sent.

A message is written down before it is sent, and removed for a route after the route has taken it. A process
that is killed between the two sends it again with the same key.
"""

import hashlib
import json
import logging
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Final

import duckdb
from filelock import FileLock

from paywall_warehouse.duckdb_connections import insert_rows
from paywall_warehouse.files import replace_text
from paywall_warehouse.home import Home
from warehouse.alerts.definitions import Rule
from warehouse.alerts.findings import Finding, rounded

log = logging.getLogger(__name__)

VERSION: Final = 1
OPENED, RESOLVED = "opened", "resolved"
# With more alerts of one rule at once, one message is about all of them.
ALERTS_IN_MESSAGES: Final = 5
# A message that no route has taken for so long is dropped.
MESSAGE_DAYS: Final = 30
# Resolved alerts beyond this number are dropped, the oldest first.
ALERTS_KEPT: Final = 20_000
INSTANTS: Final = (
    "opened_at",
    "last_seen_at",
    "resolved_at",
    "notified_at",
    "resolution_notified_at",
    "created_at",
    "failed_at",
)
AMOUNTS: Final = ("value", "expected")

OPS_ALERTS: Final = """
create or replace table ops.alerts (
    alert_id varchar,
    occurrence bigint,
    rule varchar,
    scope varchar,
    opened_at timestamptz,
    last_seen_at timestamptz,
    resolved_at timestamptz,
    value decimal(38, 12),
    expected decimal(38, 12),
    notified_at timestamptz,
    resolution_notified_at timestamptz,
    summary varchar
)
"""


@dataclass(frozen=True)
class Alert:
    """A time during which a rule held in a scope: a row of `ops.alerts`."""

    alert_id: str
    """The same for the same rule and scope, for ever."""
    occurrence: int
    """1 for the first time that the alert opened."""
    rule: str
    scope: str
    opened_at: datetime
    last_seen_at: datetime
    summary: str
    label: str
    """The scope without ids of users and cases."""
    value: Decimal | None = None
    expected: Decimal | None = None
    resolved_at: datetime | None = None
    notified_at: datetime | None = None
    """When the last of the routes took the message that it opened."""
    resolution_notified_at: datetime | None = None

    @property
    def identity(self) -> tuple[str, int]:
        """Identifies the row."""
        return self.alert_id, self.occurrence


@dataclass(frozen=True)
class Message:
    """A message that is still to be sent to some routes."""

    key: str
    """Identifies the message: the same in every try."""
    rule: str
    transition: str
    """`OPENED` or `RESOLVED`."""
    alerts: tuple[tuple[str, int], ...]
    routes: tuple[str, ...]
    """The routes that have not taken it yet."""
    created_at: datetime


@dataclass(frozen=True)
class RouteFailure:
    """The last delivery by a route failed. The reason contains neither URL nor secret."""

    failed_at: datetime
    reason: str


@dataclass(frozen=True)
class State:
    """All that is known about the alerts of a home."""

    alerts: tuple[Alert, ...] = ()
    messages: tuple[Message, ...] = ()
    """In the order in which they are sent."""
    since: Mapping[str, datetime] = field(default_factory=dict)
    """Since when rules hold that have to hold for some days, by rule and alert id."""
    failures: Mapping[str, RouteFailure] = field(default_factory=dict)
    """By route."""
    problems: Mapping[str, str] = field(default_factory=dict)
    """Why a rule could not be evaluated the last time, by rule."""

    @property
    def open_alerts(self) -> list[Alert]:
        """The alerts that are open, the oldest first."""
        return [alert for alert in self.alerts if alert.resolved_at is None]

    def of(self, message: Message) -> list[Alert]:
        """Return the alerts that a message is about."""
        wanted = set(message.alerts)
        return [alert for alert in self.alerts if alert.identity in wanted]


def alert_id(rule: str, scope: str) -> str:
    """Return the id of an alert, which depends on nothing but the names of its rule and scope."""
    return hashlib.sha256(f"{rule}\0{scope}".encode(errors="surrogatepass")).hexdigest()[:16]


def evaluated(
    state: State,
    rules: Sequence[Rule],
    found: Mapping[str, Sequence[Finding]],
    problems: Mapping[str, str],
    now: datetime,
) -> State:
    """Return the state after an evaluation: opened, seen and resolved alerts, and the messages about them.

    `rules` are all rules of the file, `found` has what each evaluated rule found. Alerts of other rules stay
    as they are, and those of rules that are gone are closed without a message.
    """
    alerts, messages, since = list(state.alerts), list(state.messages), dict(state.since)
    position = {alert.identity: number for number, alert in enumerate(alerts)}
    last = {alert.alert_id: alert.occurrence for alert in sorted(alerts, key=lambda one: one.occurrence)}
    for rule in rules:
        if rule.name not in found:
            continue
        findings = {alert_id(rule.name, one.scope): one for one in found[rule.name]}
        known = {one.alert_id: one for one in state.open_alerts if one.rule == rule.name}
        held = {f"{rule.name} {identifier}" for identifier, one in findings.items() if one.for_days}
        since = {
            key: began for key, began in since.items() if key in held or key.partition(" ")[0] != rule.name
        }
        opened, resolved = [], []
        for identifier, finding in findings.items():
            if identifier in known:
                seen = _seen(known[identifier], finding, now)
                alerts[position[seen.identity]] = seen
            elif not finding.for_days or _has_held(since, f"{rule.name} {identifier}", finding, now):
                opened.append(_opened(identifier, last.get(identifier, 0) + 1, rule, finding, now))
        for identifier, alert in known.items():
            if identifier not in findings:
                closed = replace(alert, resolved_at=max(now, alert.opened_at))
                alerts[position[alert.identity]] = closed
                resolved.append(closed)
        alerts += opened
        messages += [*_messages(rule, OPENED, opened, now), *_messages(rule, RESOLVED, resolved, now)]
    names = {rule.name for rule in rules}
    return replace(
        state,
        alerts=tuple(_kept([_without_rule(alert, names, now) for alert in alerts])),
        messages=tuple(_current(messages, names, now)),
        since={key: began for key, began in since.items() if key.partition(" ")[0] in names},
        problems={
            name: text for name, text in {**state.problems, **problems}.items() if name in names - set(found)
        },
    )


def delivered(state: State, message: Message, route: str, at: datetime) -> State:
    """Return the state after a route took a message. Its alerts are notified when the last route has."""
    messages, finished = [], False
    for one in state.messages:
        if one.key != message.key:
            messages.append(one)
            continue
        left = tuple(name for name in one.routes if name != route)
        finished = not left
        if left:
            messages.append(replace(one, routes=left))
    alerts = state.alerts
    if finished:
        wanted = set(message.alerts)
        alerts = tuple(
            _notified(alert, message.transition, at) if alert.identity in wanted else alert
            for alert in alerts
        )
    failures = {name: failure for name, failure in state.failures.items() if name != route}
    return replace(state, alerts=alerts, messages=tuple(messages), failures=failures)


def failed(state: State, route: str, at: datetime, reason: str) -> State:
    """Return the state after a route did not take a message."""
    return replace(state, failures={**state.failures, route: RouteFailure(at, reason)})


def without_routes(state: State, names: Collection[str]) -> State:
    """Return the state without routes that the file no longer has."""
    messages = tuple(
        replace(message, routes=left)
        for message in state.messages
        if (left := tuple(name for name in message.routes if name in names))
    )
    failures = {name: failure for name, failure in state.failures.items() if name in names}
    return replace(state, messages=messages, failures=failures)


def _notified(alert: Alert, transition: str, at: datetime) -> Alert:
    if transition == OPENED:
        return replace(alert, notified_at=at)
    return replace(alert, resolution_notified_at=at)


def _has_held(since: dict[str, datetime], key: str, finding: Finding, now: datetime) -> bool:
    """Check whether a rule has held for as long as it must, and note when it began."""
    return now - since.setdefault(key, now) >= timedelta(days=finding.for_days)


def _seen(alert: Alert, finding: Finding, now: datetime) -> Alert:
    return replace(
        alert,
        last_seen_at=max(now, alert.last_seen_at),
        value=_stored(finding.value),
        expected=_stored(finding.expected),
        summary=finding.summary,
    )


def _opened(identifier: str, occurrence: int, rule: Rule, finding: Finding, now: datetime) -> Alert:
    return Alert(
        alert_id=identifier,
        occurrence=occurrence,
        rule=rule.name,
        scope=finding.scope,
        opened_at=now,
        last_seen_at=now,
        summary=finding.summary,
        label=finding.label or finding.scope,
        value=_stored(finding.value),
        expected=_stored(finding.expected),
    )


def _stored(value: Decimal | None) -> Decimal | None:
    return None if value is None else rounded(value)


def _without_rule(alert: Alert, names: Collection[str], now: datetime) -> Alert:
    """Close an alert whose rule is no longer in the file."""
    if alert.resolved_at is not None or alert.rule in names:
        return alert
    return replace(alert, resolved_at=max(now, alert.opened_at))


def _messages(rule: Rule, transition: str, alerts: Sequence[Alert], now: datetime) -> Iterator[Message]:
    """Yield a message for each alert, or one for all if there are many."""
    if not rule.routes or not alerts:
        return
    groups = [alerts] if len(alerts) > ALERTS_IN_MESSAGES else [[alert] for alert in alerts]
    for group in groups:
        identities = tuple(alert.identity for alert in group)
        yield Message(_key(identities, transition), rule.name, transition, identities, rule.routes, now)


def _key(identities: Sequence[tuple[str, int]], transition: str) -> str:
    """Return the idempotency key: alert id, occurrence and transition, or a digest for several alerts."""
    texts = [f"{identifier}-{occurrence}" for identifier, occurrence in identities]
    if len(texts) == 1:
        return f"{texts[0]}-{transition}"
    return f"{hashlib.sha256(' '.join(texts).encode()).hexdigest()[:32]}-{transition}"


def _current(messages: Sequence[Message], names: Collection[str], now: datetime) -> Iterator[Message]:
    """Yield the messages that are still to be sent: of a rule in the file, and not too old."""
    for message in messages:
        if message.rule in names and now - message.created_at <= timedelta(days=MESSAGE_DAYS):
            yield message


def _kept(alerts: Sequence[Alert]) -> Sequence[Alert]:
    """Return the alerts without the oldest resolved ones if there are too many."""
    excess = len(alerts) - ALERTS_KEPT
    if excess <= 0:
        return alerts
    resolved = [alert for alert in alerts if alert.resolved_at is not None]
    dropped = {
        alert.identity
        for alert in sorted(resolved, key=lambda one: (one.last_seen_at, one.identity))[:excess]
    }
    return [alert for alert in alerts if alert.identity not in dropped]


@contextmanager
def changing(home: Home) -> Iterator[None]:
    """Hold the lock of the state while it is read, changed and written."""
    with FileLock(home.root / ".alerts.lock"):
        yield


def read_state(home: Home) -> State:
    """Return the state of a home. A damaged file counts as none, with a warning."""
    try:
        return _parsed(json.loads(home.alerts_state_file.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return State()
    except (ValueError, KeyError, TypeError, AttributeError, ArithmeticError):
        log.warning("%s cannot be read: alerts begin anew", home.alerts_state_file)
        return State()


def write_state(home: Home, state: State) -> None:
    """Replace the state, durably. The caller holds the lock."""
    replace_text(home.alerts_state_file, json.dumps(_jsonable(state), ensure_ascii=False, indent=1))


def transitions_digest(home: Home) -> str | None:
    """Return a digest of what has opened, resolved and been sent; None if there has never been an alert.

    The published file lists it, so it is published again when it changes.
    """
    if not home.alerts_state_file.exists():
        return None
    facts = [
        (alert.identity, alert.opened_at, alert.resolved_at, alert.notified_at, alert.resolution_notified_at)
        for alert in read_state(home).alerts
    ]
    return hashlib.sha256(repr(facts).encode()).hexdigest() if facts else None


def write_table(connection: duckdb.DuckDBPyConnection, alerts: Sequence[Alert]) -> None:
    """Write `ops.alerts`."""
    connection.execute(OPS_ALERTS)
    names = [name for (name, *_) in connection.execute("describe ops.alerts").fetchall()]
    rows = [
        [str(value) if isinstance(value := getattr(alert, name), Decimal) else value for name in names]
        for alert in sorted(alerts, key=lambda one: (one.opened_at, one.rule, one.scope, one.occurrence))
    ]
    insert_rows(connection, "ops.alerts", rows)


def _jsonable(state: State) -> dict[str, Any]:
    return {
        "version": VERSION,
        "alerts": [_texts(alert) for alert in state.alerts],
        "messages": [_texts(message) for message in state.messages],
        "since": {key: began.isoformat() for key, began in state.since.items()},
        "failures": {route: _texts(failure) for route, failure in state.failures.items()},
        "problems": dict(state.problems),
    }


def _texts(record: Alert | Message | RouteFailure) -> dict[str, Any]:
    """Return a record with texts for instants and amounts, without what is None."""
    return {
        name: value.isoformat()
        if isinstance(value, datetime)
        else f"{value:f}"
        if isinstance(value, Decimal)
        else value
        for name, value in asdict(record).items()
        if value is not None
    }


def _parsed(content: dict[str, Any]) -> State:
    return State(
        alerts=tuple(Alert(**_values(Alert, one)) for one in content["alerts"]),
        messages=tuple(
            Message(
                **_values(Message, one)
                | {
                    "alerts": tuple((identifier, number) for identifier, number in one["alerts"]),
                    "routes": tuple(one["routes"]),
                }
            )
            for one in content["messages"]
        ),
        since={key: datetime.fromisoformat(began) for key, began in content["since"].items()},
        failures={
            route: RouteFailure(**_values(RouteFailure, one)) for route, one in content["failures"].items()
        },
        problems=content["problems"],
    )


def _values(kind: type, record: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of a record. Keys that a later version added are ignored."""
    known = {one.name for one in fields(kind)}
    return {
        name: datetime.fromisoformat(value)
        if name in INSTANTS
        else Decimal(value)
        if name in AMOUNTS
        else value
        for name, value in record.items()
        if name in known
    }
