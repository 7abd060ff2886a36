"""A delivery's body as one line of a JSONL file, and the event that it states."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

# Of one event these differ between the attempts to deliver it.
OF_AN_ATTEMPT = ("attempts", "status")


@dataclass(frozen=True)
class Delivery:
    """What is stored of a webhook, and what a repetition of it is told by."""

    line: bytes
    """The body as it came, on one line, with its line feed."""
    event_id: str | None
    """None where a load may refuse the body as no event: then it is stored each time it comes."""
    content: bytes
    """A digest of what the event states, whichever attempt delivered it."""


def delivery(body: bytes) -> Delivery:
    """The delivery of a body; both documented shapes, and what is neither, are kept byte for byte, but for
    line ends.

    Between the values of a JSON text a line end is a space, and within a value it cannot stand (RFC 8259).
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
        said = {name: value for name, value in event.items() if name not in OF_AN_ATTEMPT}
        content = json.dumps(said, sort_keys=True, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        return Delivery(line, None, b"")
    return Delivery(line, str(event["id"]), hashlib.sha256(content).digest())


def _refuse(constant: str) -> None:
    raise ValueError(constant)


def _stated_once(members: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    """An object; a load refuses one that states a member twice, and a later copy of the event may be a good
    one.
    """
    stated = dict(members)
    if len(stated) < len(members):
        raise ValueError("a member stands there twice")
    return stated
