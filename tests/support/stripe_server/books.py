"""What the account holds: the rows that reports are made of, Checkout Sessions and opening balances."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

# What every private field says that a test does not set itself: whoever finds it in the lake or in a log has
# found a leak.
PRIVATE = "PRIVATE-MUST-NOT-LEAVE"

Row = dict[str, str]


@dataclass
class Books:
    """Everything is read when a request asks for it, so a test may change it between two pulls.

    A row holds text by column name: amounts in major units, times as `YYYY-MM-DD HH:MM:SS` (or a date) in
    UTC. A time is given as `created_utc` or `created`; the server writes both. Columns that a row does not
    state are empty, private ones say `PRIVATE`.
    """

    activity: list[Row] = field(default_factory=list)
    """Rows of `balance_change_from_activity.itemized`, dated by `created`."""
    payouts: list[Row] = field(default_factory=list)
    """Rows of `payouts.itemized`, dated by `effective_at`; gross and net of a payout are negative."""
    payout_reconciliation: list[Row] = field(default_factory=list)
    """Rows of `payout_reconciliation.itemized`, dated by `automatic_payout_effective_at`; rows without one
    are in no report yet.
    """
    sessions: list[dict[str, Any]] = field(default_factory=list)
    """Checkout Sessions: fields of the API object by name; `created` in Unix seconds or as text like above.
    """
    opening_balances: dict[str, str] = field(default_factory=dict)
    """The balance before the first row, in major units by currency."""

    def session_objects(self, *, livemode: bool) -> list[dict[str, Any]]:
        """The sessions as the API shows them, oldest first."""
        return [_session_object(session, livemode) for session in self.sessions]


def unix_seconds(text: str) -> int:
    """Unix seconds of `YYYY-MM-DD` or `YYYY-MM-DD HH:MM:SS` in UTC."""
    return int(as_datetime(text).timestamp())


def as_datetime(text: str) -> datetime:
    """The instant of a date or time of a row, in UTC."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def _session_object(session: dict[str, Any], livemode: bool) -> dict[str, Any]:
    created = session.get("created", 0)
    defaults = {
        "object": "checkout.session",
        "amount_subtotal": 1000,
        "amount_total": 1000,
        "client_reference_id": None,
        "currency": "usd",
        "customer": None,
        "customer_details": {
            "email": f"{PRIVATE}@example.com",
            "name": PRIVATE,
            "phone": PRIVATE,
            "address": {"line1": PRIVATE},
        },
        "customer_email": f"{PRIVATE}@example.com",
        "livemode": livemode,
        "metadata": {"note": PRIVATE},
        "mode": "payment",
        "payment_intent": None,
        "payment_method_types": ["card"],
        "payment_status": "paid",
        "status": "complete",
        "url": None,
    }
    return defaults | session | {"created": unix_seconds(created) if isinstance(created, str) else created}
