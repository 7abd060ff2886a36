"""The meaning of request errors, for the people who support users."""

from collections.abc import Sequence

from dashboard.context import Context, address
from dashboard.snapshot import Row
from dashboard.tables import Column, instant_column, money_column, text_column

# By kind of event (docs/contract.md#23-webhook-events).
KINDS = {
    "balance.depleted": "The balance is used up. Requests are refused until the user tops up.",
    "balance.charge.failed": "A manual charge could not be taken from the balance.",
    "request.blocked": "The paywall refused the request before it reached a model.",
    "usage.rate.limited": (
        "The user exceeded the paywall's limit of requests or tokens. The user has to wait, or the limit has"
        " to be raised."
    ),
    "proxy.request.failed": "The request failed at the provider, or on the way there.",
    "proxy.request.blocked": "The proxy refused to forward the request.",
}
# By error code, if that is more specific than the kind.
CODES = {
    "insufficient_funds": "The balance is lower than the charge. The user has to top up.",
    "insufficient_balance": "The balance does not cover the request. The user has to top up.",
    "balance_depleted": "The balance is used up. Requests are refused until the user tops up.",
    "not_authorized": (
        "The user has not authorized the paywall, or has revoked the authorization. Send the authorization"
        " link."
    ),
    "unauthorized": (
        "The user has not authorized the paywall, or has revoked the authorization. Send the authorization"
        " link."
    ),
    "authorization_required": (
        "The user has not authorized the paywall, or has revoked the authorization. Send the authorization"
        " link."
    ),
    "policy_violation": "A rule of the paywall forbids this request.",
    "content_filter": "The provider's content filter stopped the answer.",
    "provider_timeout": "The provider did not answer in time. Another attempt may succeed.",
    "provider_overloaded": "The provider had no capacity. Another attempt may succeed.",
    "rate_limited": (
        "The user exceeded the paywall's limit of requests or tokens. The user has to wait, or the limit has"
        " to be raised."
    ),
    "stream_interrupted": "The response was interrupted. A part of it may have been charged.",
}
UNKNOWN = "This code is not known. Ask the sender of the event."


def meaning(row: Row) -> str:
    """Return what an error means for the user."""
    kind = (row["error_kind"] or "").removeprefix("paywall.")
    return CODES.get(row["error_code"] or "") or KINDS.get(kind) or UNKNOWN


def error_columns(context: Context, rows: Sequence[Row]) -> list[Column]:
    """Return the columns of a table of errors. Amounts are left out if no error states any."""
    amounts = (("requested_amount", "Requested"), ("available_balance", "Available"))
    return [
        instant_column("occurred_at", "Time", context.timezone),
        text_column("error_kind", "Event"),
        text_column("error_code", "Code"),
        Column("meaning", "What it means", meaning),
        text_column("model_id", "Model"),
        text_column("paywall_id", "Paywall"),
        # Events have no currency for these.
        *(
            money_column(name, label, lambda _: None)
            for name, label in amounts
            if any(row[name] is not None for row in rows)
        ),
        text_column("request_id", "Request", link=_request),
    ]


def _request(row: Row) -> str | None:
    return None if row["request_id"] is None else address("ledger", id=row["request_id"])
