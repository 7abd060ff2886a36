"""Every request that arrived, for tests that count; it never holds a key."""

import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class LoggedRequest:
    """One request and how it was answered."""

    method: str
    path: str
    params: dict[str, Any]
    idempotency_key: str | None
    status: int
    """HTTP status; 0 where the answer was held back."""
    fault: str | None = None
    """The fault that met it: `answer`, `hang` or `cut`."""
    at: float = field(default_factory=time.monotonic)
    """Seconds of the monotonic clock when the answer was ready: differences show how long a client waited."""


class RequestLog:
    """A list that the server appends to while tests read it; iterating takes a copy."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._requests: list[LoggedRequest] = []

    def add(self, request: LoggedRequest) -> None:
        """Append one request."""
        with self._lock:
            self._requests.append(request)

    def to(self, path: str, *, method: str | None = None, status: int | None = None) -> list[LoggedRequest]:
        """The requests whose path starts with `path`, in the order of their arrival."""
        return [
            request
            for request in self
            if request.path.startswith(path)
            and method in (None, request.method)
            and status in (None, request.status)
        ]

    def clear(self) -> None:
        """Forget all requests."""
        with self._lock:
            self._requests.clear()

    def __iter__(self) -> Iterator[LoggedRequest]:
        with self._lock:
            return iter(list(self._requests))

    def __len__(self) -> int:
        return len(self._requests)
