"""Checks that a delivery is from Paywalls.ai: the signature of its body, and its age
(docs/sources/paywalls.md#22-headers-on-a-delivery).
"""

import hashlib
import hmac
from collections.abc import Sequence
from datetime import UTC, datetime

SIGNATURE = "X-Paywalls-Signature"
TIMESTAMP = "X-Paywalls-Timestamp"


def keys_of(secret: str) -> list[bytes]:
    """Return the keys of a setting: several secrets, separated by commas, or one that contains a comma.

    A subscription belongs to one paywall and has its own secret. A secret is changed by creating another
    subscription.
    """
    texts = dict.fromkeys([secret, *(part.strip() for part in secret.split(","))])
    return [text.encode() for text in texts if text]


def is_signed(body: bytes, signature: str, keys: Sequence[bytes]) -> bool:
    """Check whether the signature is the HMAC-SHA256 of the raw body, in hexadecimal, under one of the keys.

    The time that the check takes reveals neither the right signature nor which key matched.
    """
    stated = signature.strip().lower().removeprefix("sha256=").encode()
    matches = [
        hmac.compare_digest(hmac.new(key, body, hashlib.sha256).hexdigest().encode(), stated) for key in keys
    ]
    return any(matches)


def is_too_old(timestamp: str | None, now: datetime, max_age_seconds: float) -> bool:
    """Check whether a delivery is older than allowed, or as far in the future; 0 allows any age.

    The signature does not cover the time, so that this check prevents mistakes and not attacks: a replay is
    recognised by its event id. A time that is missing, or that cannot be read, is therefore no reason to
    refuse a signed delivery.
    """
    made_at = _instant(timestamp)
    return (
        bool(max_age_seconds)
        and made_at is not None
        and abs((now - made_at).total_seconds()) > max_age_seconds
    )


def _instant(text: str | None) -> datetime | None:
    try:
        instant = datetime.fromisoformat((text or "").strip())
    except ValueError:
        return None
    return instant if instant.tzinfo else instant.replace(tzinfo=UTC)
