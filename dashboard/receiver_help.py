"""Why the webhook receiver refuses requests, and what to do about it, for people who did not set it up."""

from ingestion.receiver.report import (
    COMPRESSED,
    EMPTY,
    LONG_HEADERS,
    TOO_LARGE,
    TOO_MANY,
    TOO_OLD,
    TOO_SLOW,
    UNSIGNED,
    WRONG_SIGNATURE,
)

# By reason: what happened, and what to do.
REFUSALS = {
    WRONG_SIGNATURE: (
        "The signature does not belong to this body under a known secret.",
        "Compare PAYWALLS_WEBHOOK_SECRET with the secret of the subscription in Paywalls.ai, restart the"
        " receiver, and send the lost deliveries again from Paywalls.ai: it does not repeat them by itself."
        " A proxy that changes the body has the same effect.",
    ),
    UNSIGNED: (
        "The request has no signature, so that it is not from Paywalls.ai.",
        "Nothing, if these are few: programs on the internet try every address. If deliveries are missing,"
        " see whether a proxy removes the header X-Paywalls-Signature.",
    ),
    TOO_OLD: (
        "The delivery is older than WEBHOOK_MAX_AGE_SECONDS allows, or is from the future.",
        "Check the clock of this machine. Raise WEBHOOK_MAX_AGE_SECONDS if late deliveries are expected.",
    ),
    EMPTY: ("A signed request has no body.", "See whether a proxy removes the body."),
    TOO_LARGE: (
        "The body has more than 1 MiB, which a load would reject.",
        "Ask Paywalls.ai about this delivery.",
    ),
    COMPRESSED: ("The body is compressed.", "Turn off compression of requests in the proxy."),
    TOO_SLOW: (
        "The body did not arrive in time.",
        "Nothing, if these are few. Otherwise check the network between proxy and receiver.",
    ),
    TOO_MANY: (
        "Too many deliveries arrived at once.",
        "Nothing: Paywalls.ai sends them again for about an hour.",
    ),
    LONG_HEADERS: ("The headers are too long.", "See which headers the proxy adds."),
}
# Refusals that lose deliveries of Paywalls.ai, which gives them up.
LOSING = (WRONG_SIGNATURE, TOO_OLD, EMPTY, LONG_HEADERS)
