"""A delivery's body as one line of a JSONL file, and the event that it states."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from paywall_warehouse.quoting import printable

TYPE_CHARACTERS = 100
# Fields of an event that differ between the attempts to deliver it.
OF_AN_ATTEMPT = ("attempts", "status")


@dataclass(frozen=True)
class Delivery:
    """The stored form of a webhook, and the values by which its repetitions are recognised."""

    line: bytes
    """The body on one line, with a line feed at its end."""
    event_id: str | None
    """None if a load may reject the body because it is not an event: then every repetition is stored."""
    content: bytes
    """A digest of the event's content, which is the same for every attempt."""
    event_type: str | None = None
    """The type that the body states, without unprintable characters; None if it states none."""


def delivery(body: bytes) -> Delivery:
    """Return the delivery of a body. Bodies of any shape are kept byte for byte except for line ends.

    Between the values of a JSON text a line end means the same as a space, and a value cannot contain one
    (RFC 8259).
    """
    line = body.replace(b"\r", b" ").replace(b"\n", b" ") + b"\n"
    try:
        stated = json.loads(
            body.decode(),
            parse_float=str,
            parse_int=str,
            parse_constant=_refuse,
            object_pairs_hook=_stated_once,
        )
        event = stated.get("event", stated) if isinstance(stated, Mapping) else None
        if not isinstance(event, Mapping) or not event.get("id"):
            return Delivery(line, None, b"")
        kept = {name: value for name, value in event.items() if name not in OF_AN_ATTEMPT}
        content = json.dumps(kept, sort_keys=True, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        return Delivery(line, None, b"")
    stated_type = event.get("type")
    event_type = printable(stated_type[:TYPE_CHARACTERS]) if isinstance(stated_type, str) else None
    return Delivery(line, str(event["id"]), hashlib.sha256(content).digest(), event_type)


def _refuse(constant: str) -> None:
    raise ValueError(constant)


def _stated_once(members: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    """Return an object; raise `ValueError` if it has a member twice.

    A load rejects such an object, and a later copy of the event may be a valid one.
    """
    stated = dict(members)
    if len(stated) < len(members):
        raise ValueError("an object has a member twice")
    return stated
