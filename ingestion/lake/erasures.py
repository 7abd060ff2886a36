"""Who has been erased: the pseudonyms, and how an id is recognised that is kept nowhere any more.

The file lies in the lake, which is what gets backed up, and is nobody's but the owner's to read. A pseudonym
is random: it says nothing of the id. An id that comes back is recognised by its HMAC under a random key of
this file, which is never published.
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
    """When the lake last lost the id; None while that has not happened yet."""
    user: str | None = None
    """The id itself while the lake is rewritten: whoever takes an interrupted erasure up again has to know
    it.
    """


@dataclass(frozen=True)
class Registry:
    """All erasures of one home."""

    key: str
    erasures: tuple[Erasure, ...] = field(default=())

    def of(self, user: str) -> Erasure | None:
        """The erasure of the person with this id, None where there is none."""
        digest = self.digest(user)
        return next((erasure for erasure in self.erasures if erasure.recognised_by == digest), None)

    def digest(self, user: str) -> str:
        """What an id is recognised by."""
        return hmac.digest(bytes.fromhex(self.key), user.encode(errors="surrogatepass"), "sha256").hex()

    @property
    def unfinished(self) -> list[Erasure]:
        """The erasures that are under way, or were interrupted."""
        return [erasure for erasure in self.erasures if erasure.user is not None]

    @property
    def erased_at(self) -> str | None:
        """When the lake last lost an id (ISO 8601): what was made of it before may name somebody who is
        nowhere in it any more.
        """
        return max(
            (erasure.erased_at.isoformat() for erasure in self.erasures if erasure.erased_at), default=None
        )

    def with_erasure(self, changed: Erasure) -> "Registry":
        """The registry with one erasure added or changed."""
        others = (erasure for erasure in self.erasures if erasure.pseudonym != changed.pseudonym)
        return replace(self, erasures=(*others, changed))

    def begun(self, user: str) -> Erasure:
        """A new erasure of a person."""
        pseudonym = f"erased-{secrets.token_hex(PSEUDONYM_BYTES)}"
        return Erasure(pseudonym, self.digest(user), datetime.now(UTC), user=user)


def ended(erasure: Erasure) -> Erasure:
    """An erasure whose id is nowhere in the lake any more."""
    return replace(erasure, user=None, erased_at=datetime.now(UTC))


def read_registry(home: Home) -> Registry:
    """The erasures of a home; an empty registry with a fresh key where there were none."""
    try:
        stated: dict[str, Any] = json.loads(_file(home).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return Registry(secrets.token_hex(32))
    return Registry(stated["key"], tuple(_erasure(**one) for one in stated["erasures"]))


def write_registry(home: Home, registry: Registry) -> None:
    """Keep the registry, for good."""
    stated = {"key": registry.key, "erasures": [asdict(erasure) for erasure in registry.erasures]}

    def write(partial: Path) -> None:
        with open(partial, "w", encoding="utf-8", opener=private) as file:
            json.dump(stated, file, indent=1, default=datetime.isoformat)

    replace_file(_file(home), write)


def _file(home: Home) -> Path:
    return home.lake / "erasures.json"


def _erasure(requested_at: str, erased_at: str | None, **others: Any) -> Erasure:
    return Erasure(
        requested_at=datetime.fromisoformat(requested_at),
        erased_at=datetime.fromisoformat(erased_at) if erased_at else None,
        **others,
    )
