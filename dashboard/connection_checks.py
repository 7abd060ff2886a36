"""The checks of the page *Connection*: do webhooks arrive, and may this user use the paywall?"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal

from dashboard import formats
from dashboard.receiver_help import LOSING, REFUSALS
from dashboard.snapshot import Row
from ingestion.receiver.report import WRITE_EVERY_SECONDS, ReceiverState

# A receiver that runs writes its state more often, even if the disk is slow.
SILENT_AFTER = timedelta(seconds=6 * WRITE_EVERY_SECONDS)
# Sellers with little traffic have days without a delivery.
QUIET_AFTER = timedelta(days=3)
LATE_AFTER = timedelta(days=1)
NEVER_RAN = "The receiver has not run on this machine."
NO_EVENTS_NEEDED = "Nothing, if you land events as files or use no webhooks."
RECEIVE = (
    "Start paywall-warehouse receive where Paywalls.ai can reach it, and create a subscription with its"
    " address."
)
# By status of a user: what it means, and what to do.
STATUSES = {
    "requested": (
        "The user was asked to authorize the paywall, and has not answered",
        "Send the authorization link.",
    ),
    "declined": (
        "The user declined the authorization",
        "Ask why, then send the authorization link again.",
    ),
    "revoked": (
        "The user removed the authorization",
        "Send the authorization link, if the user wants to continue.",
    ),
}
NO_STATUS = (
    "No authorization event is known",
    "Send the authorization link. If the user has authorized the paywall already, its webhook did not"
    " arrive.",
)
# By state of the receiver.
RECEIVER_REMEDIES = {
    "unknown": "Let the dashboard read state/receiver.json in the home, or look at /health of the receiver.",
    "never ran": f"{RECEIVE} {NO_EVENTS_NEEDED}",
    "stopped": "Start paywall-warehouse receive again.",
    "silent": "See whether its process still runs, and start paywall-warehouse receive again.",
    "cannot write": (
        "Free space on the disk of the landing area. Paywalls.ai repeats deliveries for about an hour."
    ),
}


@dataclass(frozen=True)
class Check:
    """A question with its answer, and what to do if the answer is bad."""

    name: str
    is_ok: bool
    finding: str
    remedy: str = ""

    @property
    def verdict(self) -> str:
        """The verdict in words."""
        return "OK" if self.is_ok else "Look here"


@dataclass(frozen=True)
class ConnectionFacts:
    """What is known about webhooks and, if one is looked at, about a user."""

    now: datetime
    timezone: str
    state: ReceiverState | None
    """None if there is no file, or if it cannot be read."""
    state_fault: str | None
    """Why the receiver's file cannot be read."""
    has_secret: bool
    missing_links: Sequence[str]
    loaded: Row
    rejected: Sequence[Row] = ()
    user: Row | None = None
    balances: Mapping[str, Decimal] = field(default_factory=dict)
    """The user's balances by currency."""
    errors: int = 0

    def at(self, instant: datetime | None) -> str:
        """Return an instant in reporting time with its zone."""
        return f"{formats.instant(instant, self.timezone)} {self.timezone}"


def health(facts: ConnectionFacts) -> tuple[str, str]:
    """Return the state of the receiver in a word, and in a sentence."""
    state = facts.state
    if facts.state_fault:
        return "unknown", facts.state_fault
    if state is None:
        return "never ran", NEVER_RAN
    if state.stopped_at is not None:
        return "stopped", f"The receiver was stopped at {facts.at(state.stopped_at)}."
    if facts.now - state.written_at > SILENT_AFTER:
        return "silent", f"The receiver has not been heard from since {facts.at(state.written_at)}."
    if not state.can_write:
        return "cannot write", "The receiver runs, but cannot write deliveries to the disk."
    return "running", f"The receiver has been running since {facts.at(state.started_at)}."


def checks(facts: ConnectionFacts) -> list[Check]:
    """Return all checks, those about the user first."""
    about_user = () if facts.user is None else _user_checks(facts, facts.user)
    return [*about_user, *_receiver_checks(facts), *_loading_checks(facts), *_settings_checks(facts)]


def _user_checks(facts: ConnectionFacts, user: Row) -> Iterator[Check]:
    at = f" ({facts.at(user['status_at'])})" if user.get("status_at") else ""
    name = "Is the user authorized?"
    if user["status"] == "connected":
        yield Check(name, True, f"The user has authorized the paywall{at}.")
    else:
        finding, remedy = STATUSES.get(user["status"], NO_STATUS)
        yield Check(name, False, f"{finding}{at}.", remedy)
    amounts = ", ".join(formats.with_currency(amount, code) for code, amount in facts.balances.items())
    has_credit = any(amount > 0 for amount in facts.balances.values())
    remedy = "" if has_credit else "Send the top-up link."
    yield Check("Can the user pay?", has_credit, f"Balance: {amounts or 'none yet'}.", remedy)
    name = "Do the user's requests succeed?"
    if facts.errors:
        finding = f"{formats.counted(facts.errors, 'error')} in the period."
        yield Check(name, False, finding, "The errors are listed above, with what they mean.")
    else:
        yield Check(name, True, "No errors in the period.")


def _receiver_checks(facts: ConnectionFacts) -> Iterator[Check]:
    word, sentence = health(facts)
    yield Check("Does the receiver run?", word == "running", sentence, RECEIVER_REMEDIES.get(word, ""))
    state = facts.state
    if state is None:
        return
    yield _arrival(facts, state)
    name = "Are deliveries accepted?"
    losing = [reason for reason in LOSING if reason in state.refused]
    if not losing:
        yield Check(name, True, "No delivery was refused since the receiver's start.")
    for reason in losing:
        (meaning, remedy), refused = REFUSALS[reason], state.refused[reason]
        counts = (
            f"{formats.counted(refused.count, 'request')} refused, the last at {facts.at(refused.last_at)}."
        )
        yield Check(name, False, f"{counts} {meaning}", remedy)


def _arrival(facts: ConnectionFacts, state: ReceiverState) -> Check:
    name = "Do webhooks arrive?"
    if state.last_delivery_at is None:
        remedy = (
            "Check the address of the subscription in Paywalls.ai, and the proxy in front of the receiver."
        )
        return Check(name, False, "No delivery has arrived yet.", remedy)
    sentence = f"The last delivery arrived at {facts.at(state.last_delivery_at)}."
    if facts.now - state.last_delivery_at > QUIET_AFTER:
        remedy = "See in Paywalls.ai whether it sends deliveries, and whether they fail."
        return Check(name, False, f"{sentence} That is more than {QUIET_AFTER.days} days ago.", remedy)
    return Check(name, True, sentence)


def _loading_checks(facts: ConnectionFacts) -> Iterator[Check]:
    name = "Are events loaded?"
    loaded_at, state = facts.loaded["last_loaded_at"], facts.state
    last = "none were loaded yet" if loaded_at is None else f"the last were loaded at {facts.at(loaded_at)}"
    if state is not None and _wait_too_long(facts.now, state, loaded_at):
        remedy = "Run paywall-warehouse run, or start its schedule."
        yield Check(name, False, f"Deliveries wait: {last}.", remedy)
    elif loaded_at is None:
        yield Check(name, False, "No webhook events were loaded.", NO_EVENTS_NEEDED)
    else:
        yield Check(name, True, f"{formats.counted(int(facts.loaded['accepted']), 'event')}, {last}.")
    name = "Are events understood?"
    if facts.rejected:
        records = sum(row["records"] for row in facts.rejected)
        last = facts.at(max(row["last_seen_at"] for row in facts.rejected))
        finding = f"{formats.counted(records, 'record')} rejected, the last at {last}."
        yield Check(name, False, finding, "The page Runs lists them with file, line and reason.")
    else:
        yield Check(name, True, "No record was rejected.")


def _wait_too_long(now: datetime, state: ReceiverState, loaded_at: datetime | None) -> bool:
    if state.last_delivery_at is None:
        return False
    since = loaded_at or state.started_at
    return state.last_delivery_at > since and now - since > LATE_AFTER


def _settings_checks(facts: ConnectionFacts) -> Iterator[Check]:
    name = "Is the webhook secret set?"
    if facts.has_secret:
        yield Check(name, True, "PAYWALLS_WEBHOOK_SECRET is set.")
    elif facts.state is not None:
        yield Check(name, True, "Not for the dashboard. The receiver has one: it does not start without.")
    else:
        remedy = "Set PAYWALLS_WEBHOOK_SECRET to the secret of the subscription in Paywalls.ai."
        finding = "PAYWALLS_WEBHOOK_SECRET is not set."
        yield Check(name, False, finding, f"{remedy} {NO_EVENTS_NEEDED}")
    name = "Can support send links?"
    if facts.missing_links:
        names = " and ".join(facts.missing_links)
        verb = "is" if len(facts.missing_links) == 1 else "are"
        yield Check(name, False, f"{names} {verb} not set.", f"Set {names} (docs/operations.md, Settings).")
    else:
        yield Check(name, True, "AUTHORIZATION_LINK and TOP_UP_LINK are set.")
