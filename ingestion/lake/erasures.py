"""The registry of erased persons: their pseudonyms, and how an erased id is recognised if it comes back.

The file is in the lake, because the lake is what gets backed up, and only its owner may read it. A pseudonym
is random and reveals nothing about the id. An id that comes back is recognised by its HMAC under a random key
in this file, which is never published.
"""

import hmac
import json
import secrets
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from paywall_warehouse.files import private, replace_file
from paywall_warehouse.home import Home

PSEUDONYM_BYTES = 8


@dataclass(frozen=True)
class Erasure:
    """One erased person."""

    pseudonym: str
    recognised_by: str
    """HMAC-SHA256 of the id in hexadecimal."""
    requested_at: datetime
    erased_at: datetime | None = None
    """The time at which the id was last removed from the lake; None before the first time."""
    user: str | None = None
    """The id while the lake is being rewritten: the process that finishes an interrupted erasure needs it."""


@dataclass(frozen=True)
class Registry:
    """All erasures of one home."""

    key: str
    erasures: tuple[Erasure, ...] = field(default=())

    def of(self, user: str) -> Erasure | None:
        """Return the erasure of the person with this id; None if there is none."""
        digest = self.digest(user)
        return next((erasure for erasure in self.erasures if erasure.recognised_by == digest), None)

    def digest(self, user: str) -> str:
        """Return the HMAC by which an id is recognised."""
        return hmac.digest(bytes.fromhex(self.key), user.encode(errors="surrogatepass"), "sha256").hex()

    @property
    def unfinished(self) -> list[Erasure]:
        """Return the erasures that are in progress or were interrupted."""
        return [erasure for erasure in self.erasures if erasure.user is not None]

    @property
    def erased_at(self) -> str | None:
        """Return the time at which an id was last removed from the lake (ISO 8601), or None.

        What was built from the lake before that time may still name an erased person.
        """
        return max(
            (erasure.erased_at.isoformat() for erasure in self.erasures if erasure.erased_at), default=None
        )

    def with_erasure(self, changed: Erasure) -> "Registry":
        """Return the registry with one erasure added or changed."""
        others = (erasure for erasure in self.erasures if erasure.pseudonym != changed.pseudonym)
        return replace(self, erasures=(*others, changed))

    def begun(self, user: str) -> Erasure:
        """Return a new erasure of a person."""
        pseudonym = f"erased-{secrets.token_hex(PSEUDONYM_BYTES)}"
        return Erasure(pseudonym, self.digest(user), datetime.now(UTC), user=user)


def ended(erasure: Erasure) -> Erasure:
    """Return an erasure as finished: the id is no longer in the lake."""
    return replace(erasure, user=None, erased_at=datetime.now(UTC))


def read_registry(home: Home) -> Registry:
    """Return the registry of a home; an empty one with a new key before the first erasure."""
    try:
        content: dict[str, Any] = json.loads(_file(home).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return Registry(secrets.token_hex(32))
    return Registry(content["key"], tuple(_erasure(**one) for one in content["erasures"]))


def write_registry(home: Home, registry: Registry) -> None:
    """Write the registry durably."""
    content = {"key": registry.key, "erasures": [asdict(erasure) for erasure in registry.erasures]}

    def write(partial: Path) -> None:
        with open(partial, "w", encoding="utf-8", opener=private) as file:
            json.dump(content, file, indent=1, default=datetime.isoformat)

    replace_file(_file(home), write)


def _file(home: Home) -> Path:
    return home.lake / "erasures.json"


def _erasure(requested_at: str, erased_at: str | None, **others: Any) -> Erasure:
    return Erasure(
        requested_at=datetime.fromisoformat(requested_at),
        erased_at=datetime.fromisoformat(erased_at) if erased_at else None,
        **others,
    )
