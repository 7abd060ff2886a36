"""Whether a delivery is from Paywalls.ai: the signature of its body, and how old it says it is
(`sources/paywalls.md` 2.2).
"""

import hashlib
import hmac
from collections.abc import Sequence
from datetime import UTC, datetime

SIGNATURE = "X-Paywalls-Signature"
TIMESTAMP = "X-Paywalls-Timestamp"


def keys_of(secret: str) -> list[bytes]:
    """The keys that a setting names: several secrets, comma-separated, or one that has a comma in it.

    A subscription belongs to one paywall and has a secret of its own, and a secret is changed by making
    another subscription.
    """
    texts = dict.fromkeys([secret, *(part.strip() for part in secret.split(","))])
    return [text.encode() for text in texts if text]


def is_signed(body: bytes, signature: str, keys: Sequence[bytes]) -> bool:
    """Whether the signature is the HMAC-SHA256 of the raw body, in hexadecimal, under one of the keys.

    How long the answer takes tells nothing of the right signature, nor of which key it was.
    """
    stated = signature.strip().lower().removeprefix("sha256=").encode()
    matches = [
        hmac.compare_digest(hmac.new(key, body, hashlib.sha256).hexdigest().encode(), stated) for key in keys
    ]
    return any(matches)


def is_too_old(timestamp: str | None, now: datetime, max_age_seconds: float) -> bool:
    """Whether a delivery says that it was made longer ago than allowed, or as far in the future; 0 allows any
    age.

    The signature does not cover the time, so that this keeps out mistakes and not attackers: what one can
    replay is told by its event id. A time that is missing, or that cannot be read, is therefore no reason to
    refuse what is signed.
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
