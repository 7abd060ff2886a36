"""The checks of the page *Connection*: what is bad is named, with what to do."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from dashboard.connection_checks import Check, ConnectionFacts, checks, health
from dashboard.error_help import CODES
from dashboard.receiver_help import LOSING, REFUSALS
from ingestion.receiver.report import REASONS, ReceiverState, Refusals

NOW = datetime(2026, 10, 5, 12, tzinfo=UTC)
AN_HOUR_AGO = NOW - timedelta(hours=1)
STATE = ReceiverState(
    started_at=NOW - timedelta(days=10),
    written_at=NOW - timedelta(seconds=5),
    stopped_at=None,
    can_write=True,
    stored=3,
    repeated=1,
    failed=0,
    last_delivery_at=AN_HOUR_AGO,
    last_event_type="paywall.usage.charge.created",
    refused={},
)
WELL = ConnectionFacts(
    now=NOW,
    timezone="Europe/Berlin",
    state=STATE,
    state_fault=None,
    has_secret=True,
    missing_links=(),
    loaded={"files": 1, "accepted": 1, "last_loaded_at": AN_HOUR_AGO},
    user={"status": "connected", "status_at": AN_HOUR_AGO},
    balances={"usd": Decimal(5), "eur": Decimal(0)},
)


def bad(facts: ConnectionFacts) -> list[Check]:
    return [check for check in checks(facts) if not check.is_ok]


def with_state(**changes: Any) -> ConnectionFacts:
    return replace(WELL, state=replace(STATE, **changes))


def test_all_is_well() -> None:
    assert bad(WELL) == []
    assert {check.verdict for check in checks(WELL)} == {"OK"}
    # 11:00 UTC is 13:00 in Berlin.
    assert (
        checks(WELL)[0].finding == "The user has authorized the paywall (2026-10-05 13:00:00 Europe/Berlin)."
    )
    assert len(checks(replace(WELL, user=None))) == len(checks(WELL)) - 3


@pytest.mark.parametrize(
    ("facts", "word", "sentence"),
    [
        (WELL, "running", "has been running since 2026-09-25 14:00:00"),
        (with_state(written_at=NOW - timedelta(seconds=59)), "running", "running since"),
        (with_state(written_at=AN_HOUR_AGO), "silent", "not been heard from since 2026-10-05 13:00:00"),
        (with_state(stopped_at=AN_HOUR_AGO), "stopped", "was stopped at 2026-10-05 13:00:00"),
        (with_state(can_write=False), "cannot write", "cannot write deliveries to the disk"),
        (replace(WELL, state=None), "never ran", "has not run on this machine"),
        (replace(WELL, state=None, state_fault="It is damaged."), "unknown", "It is damaged."),
    ],
)
def test_the_state_of_the_receiver(facts: ConnectionFacts, word: str, sentence: str) -> None:
    found, text = health(facts)
    assert found == word
    assert sentence in text
    names = [check.name for check in bad(facts)]
    assert names == ([] if word == "running" else ["Does the receiver run?"])


@pytest.mark.parametrize(
    ("facts", "name", "finding", "remedy"),
    [
        (
            with_state(refused={"wrong_signature": Refusals(1, AN_HOUR_AGO)}),
            "Are deliveries accepted?",
            "1 request refused, the last at 2026-10-05 13:00:00 Europe/Berlin.",
            "PAYWALLS_WEBHOOK_SECRET",
        ),
        (with_state(last_delivery_at=None), "Do webhooks arrive?", "No delivery has arrived yet.", "address"),
        (
            with_state(last_delivery_at=NOW - timedelta(days=4)),
            "Do webhooks arrive?",
            "more than 3 days ago",
            "Paywalls.ai",
        ),
        (
            replace(WELL, loaded={"files": 1, "accepted": 1, "last_loaded_at": NOW - timedelta(days=2)}),
            "Are events loaded?",
            "Deliveries wait: the last were loaded at 2026-10-03 14:00:00",
            "paywall-warehouse run",
        ),
        (
            replace(WELL, rejected=({"records": 2, "last_seen_at": AN_HOUR_AGO},)),
            "Are events understood?",
            "2 records rejected, the last at 2026-10-05 13:00:00",
            "Runs",
        ),
        (
            replace(WELL, missing_links=("TOP_UP_LINK",)),
            "Can support send links?",
            "TOP_UP_LINK is not set.",
            "Set",
        ),
        (
            replace(WELL, user={"status": "revoked", "status_at": AN_HOUR_AGO}),
            "Is the user authorized?",
            "The user removed the authorization (2026-10-05 13:00:00 Europe/Berlin).",
            "authorization link",
        ),
        # Published by an earlier version: no times.
        (
            replace(WELL, user={"status": "unknown"}),
            "Is the user authorized?",
            "No authorization event is known.",
            "link",
        ),
        (
            replace(WELL, balances={"usd": Decimal(0), "eur": Decimal("-0.5")}),
            "Can the user pay?",
            "Balance: 0.00 USD, −0.50 EUR.",
            "top-up link",
        ),
        (
            replace(WELL, errors=1),
            "Do the user's requests succeed?",
            "1 error in the period.",
            "listed above",
        ),
    ],
)
def test_what_is_bad_is_named_with_what_to_do(
    facts: ConnectionFacts, name: str, finding: str, remedy: str
) -> None:
    (found,) = bad(facts)
    assert (found.name, found.verdict) == (name, "Look here")
    assert finding in found.finding
    assert remedy in found.remedy


def test_what_is_no_loss_is_no_fault() -> None:
    """Strangers try every address, and a sender that is asked to repeat a delivery does so."""
    assert bad(with_state(refused={reason: Refusals(9, NOW) for reason in set(REASONS) - set(LOSING)})) == []
    # One minute after the first start of all, nothing can be loaded yet.
    facts = replace(
        with_state(started_at=NOW - timedelta(minutes=1)),
        loaded={"files": 0, "accepted": 0, "last_loaded_at": None},
    )
    assert [check.finding for check in bad(facts)] == ["No webhook events were loaded."]


def test_without_a_receiver_and_a_secret_both_are_named() -> None:
    names = [check.name for check in bad(replace(WELL, state=None, has_secret=False))]
    assert names == ["Does the receiver run?", "Is the webhook secret set?"]
    # A receiver does not start without a secret, which the dashboard's environment may lack.
    assert bad(replace(WELL, has_secret=False)) == []


def test_every_reason_is_explained() -> None:
    assert set(REFUSALS) == set(REASONS)
    assert all(what and to_do for what, to_do in REFUSALS.values())
    assert "authorization_required" in CODES  # documented by Paywalls.ai
