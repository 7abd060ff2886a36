"""The limits of a receiver. Deliveries beyond them take no memory, and their senders are asked to repeat
them.
"""

from dataclasses import dataclass

from ingestion.readers.text import MAX_RECORD_BYTES


@dataclass(frozen=True)
class Limits:
    """The limits of one receiver."""

    segment_seconds: float
    body_bytes: int = MAX_RECORD_BYTES
    """A larger body is refused, because a load would reject it as a record."""
    header_bytes: int = 32 << 10
    """Ten headers of the subscriber and those that proxies add have a few kB."""
    held_bytes: int = 64 << 20
    """The size of all bodies together, each from its first byte until it is on the disk."""
    connections: int = 2000
    """Requests on more connections are answered with 503."""
    cut_off_connections: int = 4000
    """More connections than these are closed at once."""
    request_seconds: float = 20
    """The time in which a request's headers must arrive, and again its body."""
    idle_seconds: int = 30
    """The time in which the next request of a connection must begin."""
    stop_seconds: int = 30
    """The time that requests in progress have to finish when the receiver is stopped."""
    segment_bytes: int = 64 << 20
