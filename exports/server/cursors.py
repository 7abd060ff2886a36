"""Cursors: how far a client has read a slice, signed.

A cursor holds no values of rows. It has the number of rows so far and a digest of them. While the first rows
of the slice are those that the client has, the next page begins right after them, also in a later
publication. All pages together are then the slice of one publication: that of the last page.
"""

import base64
import hashlib
import hmac
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from exports.server.answers import ApiError

VERSION = 1
SIGNATURE_BYTES = 32


@dataclass(frozen=True)
class Digest:
    """A digest of some rows. It can be continued with the rows that follow."""

    rows: int = 0
    summed: int = 0
    mixed: int = 0

    def plus(self, other: "Digest") -> "Digest":
        """Return the digest of these rows and other ones."""
        return Digest(self.rows + other.rows, self.summed + other.summed, self.mixed ^ other.mixed)

    def revision(self, shape: Sequence[Sequence[str]]) -> str:
        """Return the revision of these rows, as columns of these names and types."""
        content = [self.rows, f"{self.summed:x}", f"{self.mixed:x}", shape]
        return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:32]


@dataclass(frozen=True)
class Position:
    """What a client has read of a slice."""

    slice: str
    """A digest of the request and of the token's scope."""
    shape: str
    """A digest of the columns with their types."""
    publication: str
    """A digest of the publication that it was read from."""
    read: Digest


def seal(position: Position, key: bytes) -> str:
    """Return the cursor of a position."""
    content = json.dumps(
        [
            VERSION,
            position.slice,
            position.shape,
            position.publication,
            position.read.rows,
            f"{position.read.summed:x}",
            f"{position.read.mixed:x}",
        ]
    ).encode()
    return base64.urlsafe_b64encode(_signature(content, key) + content).decode().rstrip("=")


def unseal(cursor: str, key: bytes) -> Position:
    """Return the position of a cursor. Raises `ApiError` for a text that is no cursor of this server."""
    try:
        sealed = base64.urlsafe_b64decode(cursor.encode("ascii") + b"=" * (-len(cursor) % 4))
    except ValueError:
        raise _wrong() from None
    signature, content = sealed[:SIGNATURE_BYTES], sealed[SIGNATURE_BYTES:]
    if not hmac.compare_digest(signature, _signature(content, key)):
        raise _wrong()
    parts: list[Any] = json.loads(content)
    if parts[0] != VERSION:
        raise _wrong()
    _, slice_digest, shape, publication, rows, summed, mixed = parts
    return Position(slice_digest, shape, publication, Digest(rows, int(summed, 16), int(mixed, 16)))


def _signature(content: bytes, key: bytes) -> bytes:
    return hmac.new(key, content, hashlib.sha256).digest()


def _wrong() -> ApiError:
    return ApiError(
        400,
        "cursor: it is not one of this server; allowed: the cursor in the Link header of a page, unchanged",
    )
