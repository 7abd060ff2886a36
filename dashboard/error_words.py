"""What errors of requests mean, in words for whoever talks to the user."""

from dashboard import formats
from dashboard.context import Context
from dashboard.snapshot import Row
from dashboard.tables import Column, instant_column, text_column

# By kind of event (contract 2.3).
KINDS = {
    "balance.depleted": "The balance is used up: requests are refused until the user tops up.",
    "balance.charge.failed": "A manual charge could not be taken from the balance.",
    "request.blocked": "The paywall refused the request before it reached a model.",
    "usage.rate.limited": (
        "More requests or tokens than the paywall's limit allows: the user has to wait, or the limit to be"
        " raised."
    ),
    "proxy.request.failed": "The request reached the provider and failed there, or on the way.",
    "proxy.request.blocked": "The proxy refused to pass the request on.",
}
# By error code, where one says more than the kind.
CODES = {
    "insufficient_funds": "The balance is lower than the charge: the user has to top up.",
    "insufficient_balance": "The balance does not cover the request: the user has to top up.",
    "balance_depleted": "The balance is used up: requests are refused until the user tops up.",
    "not_authorized": (
        "The user has not authorized the paywall, or has revoked it: send the authorization link."
    ),
    "unauthorized": (
        "The user has not authorized the paywall, or has revoked it: send the authorization link."
    ),
    "policy_violation": "A rule of the paywall forbids this request.",
    "content_filter": "The provider's content filter stopped the answer.",
    "provider_timeout": "The provider did not answer in time; a new try may do.",
    "provider_overloaded": "The provider had no capacity; a new try may do.",
    "rate_limited": (
        "More requests or tokens than the paywall's limit allows: the user has to wait, or the limit to be"
        " raised."
    ),
    "stream_interrupted": "The answer broke off on its way; a part of it may have been charged.",
}
UNKNOWN = "No explanation is known for this code; ask whoever sent the event."


def meaning(row: Row) -> str:
    """What an error means for the user."""
    kind = (row["error_kind"] or "").removeprefix("paywall.")
    return CODES.get(row["error_code"] or "") or KINDS.get(kind) or UNKNOWN


def error_columns(context: Context) -> list[Column]:
    """The columns of a table of errors."""
    return [
        instant_column("occurred_at", "Time", context.timezone),
        text_column("error_kind", "Event"),
        text_column("error_code", "Code"),
        Column("meaning", "What it means", meaning),
        text_column("model_id", "Model"),
        text_column("paywall_id", "Paywall"),
        # Events state these without a currency.
        Column(
            "requested_amount",
            "Requested",
            lambda row: formats.money(row["requested_amount"], None),
            right=True,
        ),
        Column(
            "available_balance",
            "Available",
            lambda row: formats.money(row["available_balance"], None),
            right=True,
        ),
        text_column("request_id", "Request"),
    ]
