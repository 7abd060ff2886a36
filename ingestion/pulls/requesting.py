"""When a pull sends its requests: pauses between them, repetition after faults, and a deadline.

SDKs do not wait after 429, or have no overall deadline, so their own retries are switched off.
"""

import itertools
import math
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final, TypeVar

import requests

T = TypeVar("T")
E = TypeVar("E", bound=Exception)
RATE_LIMIT_TRIES: Final = 8
TRIES: Final = 3
# The timeout of a request that is necessary after the deadline, such as one that fetches a finished report.
LEAST_TIMEOUT: Final = 5


@dataclass(frozen=True)
class Pace:
    """The times of a pull in seconds; tests use shorter ones."""

    timeout: float = 30
    between_requests: float = 0.05
    """20 requests per second: below Stripe's limits of 25 per second and endpoint, and 20 file reads per
    second.
    """
    first_backoff: float = 0.5
    longest_backoff: float = 30


@dataclass(frozen=True)
class Fault:
    """A failed request: the error that is raised unless a repetition succeeds."""

    error: Exception
    may_pass: bool
    """Whether the request is repeated."""
    is_rate_limit: bool = False
    headers: Mapping[str, str] | None = None
    """Those of the answer, which may have `Retry-After`."""


class Requesting:
    """The timing of the requests to one server."""

    def __init__(self, pace: Pace) -> None:
        self.pace = pace
        self.deadline = math.inf
        """The time of the monotonic clock after which faults are not retried."""
        self._sent_at = 0.0

    def call(self, send: Callable[[], T], catch: type[E], fault_of: Callable[[E, int], Fault]) -> T:
        """Return the answer to a request.

        It is retried if that can help, up to a number of tries that depends on the fault, until the deadline.
        `fault_of` describes a caught exception, given the number of the try.
        """
        for attempt in itertools.count():
            try:
                return send()
            except catch as error:
                fault = fault_of(error, attempt + 1)
            wait = self.backoff(attempt)
            tries = TRIES if fault.may_pass else 1
            if fault.is_rate_limit:
                tries = RATE_LIMIT_TRIES
            if fault.headers is not None:
                wait = asked_to_wait(fault.headers, self.pace.longest_backoff) or wait
            if attempt + 1 >= tries or not self.has_time(wait):
                raise fault.error
            time.sleep(wait)
        raise AssertionError("tries are counted above")

    def pause(self) -> None:
        """Wait until the next request may be sent."""
        sleep(self._sent_at + self.pace.between_requests - time.monotonic())
        self._sent_at = time.monotonic()

    def timeout(self) -> float:
        """Return how many seconds the next request may take."""
        return min(self.pace.timeout, max(self.deadline - time.monotonic(), LEAST_TIMEOUT))

    def has_time(self, wait: float) -> bool:
        """Check whether the deadline leaves time for another try after a wait."""
        return time.monotonic() + wait < self.deadline

    def backoff(self, attempt: int) -> float:
        """Return the pause in seconds after a number of failed tries."""
        longest = min(self.pace.first_backoff * float(2**attempt), self.pace.longest_backoff)
        return longest * (0.5 + random.random() / 2)  # noqa: S311  jitter between two runs


class BoundedSession(requests.Session):
    """A session that computes the timeout of each request."""

    def __init__(self, timeout: Callable[[], float]) -> None:
        super().__init__()
        self._seconds = timeout

    def send(self, request: requests.PreparedRequest, **more: Any) -> requests.Response:
        """Send a request with its timeout."""
        return super().send(request, **(more | {"timeout": self._seconds()}))


def asked_to_wait(headers: Mapping[str, str], longest: float) -> float | None:
    """Return `Retry-After` in seconds, stated as a number or as a date; at most `longest`."""
    stated = {name.lower(): value for name, value in headers.items()}.get("retry-after")
    if stated is None:
        return None
    try:
        seconds = float(stated)
    except ValueError:
        try:
            seconds = (parsedate_to_datetime(stated) - datetime.now(UTC)).total_seconds()
        except (TypeError, ValueError):
            return None
    return None if math.isnan(seconds) else min(max(seconds, 0), longest)


def sleep(seconds: float) -> None:
    """Sleep, unless the time has passed."""
    if seconds > 0:
        time.sleep(seconds)


def without_key(message: str, key: str) -> str:
    """Return a message without the key, so that it can be shown."""
    return message.replace(key, "***")
