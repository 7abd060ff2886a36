"""How much a receiver takes at once: what is beyond is told to come again, and takes no memory."""

from dataclasses import dataclass

from ingestion.readers.text import MAX_RECORD_BYTES


@dataclass(frozen=True)
class Limits:
    """The bounds of one receiver."""

    segment_seconds: float
    body_bytes: int = MAX_RECORD_BYTES
    """What a load would refuse as one record is not taken."""
    header_bytes: int = 32 << 10
    """Ten headers of the subscriber's own, and what proxies add, have a few kB."""
    held_bytes: int = 64 << 20
    """Of all bodies together, from their first byte until they are on the disk."""
    connections: int = 2000
    """What comes by more of them at once is answered 503."""
    cut_off_connections: int = 4000
    """More of them are not even listened to."""
    request_seconds: float = 20
    """For a request's headers, and for its body, to arrive whole."""
    idle_seconds: int = 30
    """For the next request of a connection to begin."""
    stop_seconds: int = 30
    """For requests that are under way to come to their end when the receiver is stopped."""
    segment_bytes: int = 64 << 20
