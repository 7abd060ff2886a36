"""The limits of the pull API. They bound memory, disk and time, whatever clients request."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """The limits of one server."""

    queries: int = 4
    """The slices that are computed at the same time. More only share the processors."""
    waiting: int = 400
    """The requests that may wait for one of them. Further ones are answered with 503."""
    wait_seconds: float = 60
    query_seconds: float = 120
    """The time in which a slice must be computed."""
    rows: int = 5_000_000
    """The rows of one response."""
    file_bytes: int = 2 << 30
    """The size of one response. It is written to the disk before it is sent."""
    kept_pages: int = 200
    """The pages that are kept for the next requests of the same rows. Each one is an open file."""
    kept_bytes: int = 256 << 20
    """The size of all kept pages, on the disk."""
    kept_page_bytes: int = 32 << 20
    """The size of a kept page. Larger ones are computed for each request."""
    memory: str = "256MB"
    """DuckDB's memory. Beyond it, DuckDB spills to the disk."""
    header_bytes: int = 32 << 10
    conditions: int = 50
    """The number of `where` parameters."""
    connections: int = 500
    """Requests on more connections are answered with 503."""
    cut_off_connections: int = 1000
    """More connections than these are closed at once."""
    stall_seconds: float = 30
    """The time in which headers must arrive, and in which a client must read something of a response."""
    response_seconds: float = 1800
    """The time in which a response must be read."""
