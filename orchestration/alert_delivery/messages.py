"""What a message contains: one text for people, and one object for programs.

Ids of users and cases are in it only if the rule has `with_ids: true`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from paywall_warehouse.quoting import printable
from warehouse.alerts.definitions import BALANCES, BREAKS, AlertsFile, Rule
from warehouse.alerts.state import OPENED, Alert, Message
from warehouse.checks.invariant import exact_text

VERSION: Final = 1
ALERTS_LISTED: Final = 20


@dataclass(frozen=True)
class Notification:
    """A message as a route sends it."""

    key: str
    """The idempotency key: the same in every try."""
    subject: str
    lines: tuple[str, ...]
    payload: dict[str, Any] = field(default_factory=dict)

    @property
    def text(self) -> str:
        """The whole text."""
        return "\n".join([self.subject, *self.lines])


def notification(
    alerts_file: AlertsFile, message: Message, alerts: Sequence[Alert], rule: Rule, users: Sequence[str] = ()
) -> Notification:
    """Return what is sent about these alerts. `users` are those whom the rule allows to name."""
    verb = "opened" if message.transition == OPENED else "resolved"
    many = f" ({len(alerts):,} alerts)" if len(alerts) > 1 else ""
    lines = [_line(alert, rule) for alert in alerts[:ALERTS_LISTED]]
    if len(alerts) > ALERTS_LISTED:
        lines.append(f"… and {len(alerts) - ALERTS_LISTED:,} more: `paywall-warehouse alerts status`")
    if users and rule.with_ids:
        lines.append(f"Users: {', '.join(map(printable, users))}")
    payload: dict[str, Any] = {
        "version": VERSION,
        "type": f"alert.{verb}",
        "key": message.key,
        "title": alerts_file.title,
        "rule": rule.name,
        "count": len(alerts),
        "alerts": [_facts(alert, rule) for alert in alerts[:ALERTS_LISTED]],
    }
    if users and rule.with_ids:
        payload["users"] = list(users)
    return Notification(message.key, f"{_prefix(alerts_file)}{rule.name} {verb}{many}", tuple(lines), payload)


def trial_notification(alerts_file: AlertsFile, key: str, rule: str | None) -> Notification:
    """Return a message that is marked as a test."""
    about = f" of the rule {rule}" if rule else ""
    line = f"This is a test message{about} from `paywall-warehouse alerts test`. Nothing has happened."
    payload = {
        "version": VERSION,
        "type": "alert.test",
        "key": key,
        "title": alerts_file.title,
        "rule": rule,
        "count": 0,
        "alerts": [],
    }
    return Notification(key, f"{_prefix(alerts_file)}TEST{about}", (line,), payload)


def _prefix(alerts_file: AlertsFile) -> str:
    return f"[{alerts_file.title or 'paywall-warehouse'}] "


def _line(alert: Alert, rule: Rule) -> str:
    """Return a line about an alert: what was found, or since when it was open."""
    ids = f" Case: {printable(alert.scope)}." if rule.kind == BREAKS and rule.with_ids else ""
    if alert.resolved_at is None:
        return f"{alert.summary}{ids} Since {_shown(alert.opened_at)}. Alert {alert.alert_id}."
    return (
        f"{alert.label}: no longer. Open from {_shown(alert.opened_at)} to {_shown(alert.resolved_at)}; last:"
        f" {alert.summary}{ids} Alert {alert.alert_id}."
    )


def _facts(alert: Alert, rule: Rule) -> dict[str, Any]:
    """Return the fields of an alert. Instants are ISO 8601, numbers exact texts."""
    return {
        "alert_id": alert.alert_id,
        "occurrence": alert.occurrence,
        "rule": alert.rule,
        "scope": alert.scope if rule.with_ids else alert.label,
        "opened_at": alert.opened_at.isoformat(),
        "last_seen_at": alert.last_seen_at.isoformat(),
        "resolved_at": alert.resolved_at.isoformat() if alert.resolved_at else None,
        "value": None if alert.value is None else exact_text(alert.value),
        "expected": None if alert.expected is None else exact_text(alert.expected),
        "summary": alert.summary,
    }


def names_users(rule: Rule, message: Message) -> bool:
    """Check whether a message lists users."""
    return rule.kind == BALANCES and rule.with_ids and message.transition == OPENED


def _shown(instant: datetime) -> str:
    return f"{instant:%Y-%m-%d %H:%M} UTC"
