"""What goes wrong, set by a test while the server runs: a queue of rules, of which the first that fits a
request takes it.
"""

import threading
from dataclasses import dataclass, field

from tests.support.loopback.errors import ApiError

Header = dict[str, str]


@dataclass
class Fault:
    """What happens to one request instead of, or after, its answer."""

    kind: str
    """`answer` (an error status), `hang` (no answer for some time), `cut` (the connection closes in the
    middle of the answer) or `drip` (the answer comes byte by byte).
    """
    error: ApiError | None = None
    seconds: float = 0
    keep: int | None = None
    """How many bytes of a cut answer are sent; None: the first half."""
    executed: bool = False
    """The server does what was asked, and only the answer is lost: what a client sees whose network fails on
    the way back.
    """
    remembered: bool = False
    """The error is the answer that is kept for the request's idempotency key."""


@dataclass
class Rule:
    """A fault for the next `times` requests (None: for all) of a method whose path starts and ends with these
    texts.
    """

    fault: Fault
    path: str
    times: int | None
    method: str | None = None
    path_end: str = ""

    def fits(self, method: str, path: str) -> bool:
        """Whether this request is one that the rule waits for."""
        return self.method in (None, method) and path.startswith(self.path) and path.endswith(self.path_end)


@dataclass
class Faults:
    """All methods may be called from any thread. `times=None` means until `clear`."""

    _rules: list[Rule] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    # ------------------------------------------------------------------------------------------ requests

    def rate_limit(
        self,
        path: str = "/v1/",
        times: int | None = 1,
        *,
        method: str | None = None,
        retry_after: float | str | None = None,
        should_retry: bool | None = None,
    ) -> None:
        """Answer 429, with or without `Retry-After` (seconds) and `Stripe-Should-Retry`; nothing is
        executed.
        """
        message = (
            "Request rate limit exceeded. Learn more about rate limits here"
            " https://docs.stripe.com/rate-limits."
        )
        error = ApiError(429, message, code="rate_limit", headers=_hints(retry_after, should_retry))
        self._add(Rule(Fault("answer", error=error), path, times, method))

    def server_error(
        self,
        path: str = "/v1/",
        times: int | None = 1,
        *,
        status: int = 500,
        method: str | None = None,
        should_retry: bool | None = None,
        executed: bool = False,
        remembered: bool = False,
    ) -> None:
        """Answer 500 (or another status); `executed`: after the request took effect.

        `remembered`: whoever creates a run again with the same idempotency key gets the same error again,
        until the keys are forgotten. So does Stripe with a 500 of its own, other than one of a gateway before
        it.
        """
        message = "Sorry! There was an error while talking to one of our backends."
        error = ApiError(status, message, kind="api_error", headers=_hints(None, should_retry))
        self._add(
            Rule(Fault("answer", error=error, executed=executed, remembered=remembered), path, times, method)
        )

    def permission_denied(
        self, path: str = "/v1/", times: int | None = 1, *, method: str | None = None
    ) -> None:
        """Answer 403, as to a restricted key without the permission."""
        self._add(Rule(Fault("answer", error=permission_error()), path, times, method))

    def hang(
        self,
        path: str = "/v1/",
        times: int | None = 1,
        *,
        seconds: float = 30,
        method: str | None = None,
        executed: bool = False,
    ) -> None:
        """Hold the answer back, longer than the client's timeout. Whoever waits so long gets a 503, or the
        answer if `executed`.
        """
        self._add(Rule(Fault("hang", seconds=seconds, executed=executed), path, times, method))

    def cut(
        self, path: str = "/v1/", times: int | None = 1, *, keep: int | None = None, method: str | None = None
    ) -> None:
        """Close the connection after `keep` bytes of the answer (None: half of it), of which Content-Length
        promised more.
        """
        self._add(Rule(Fault("cut", keep=keep, executed=True), path, times, method))

    def drip(self, path: str = "/v1/", times: int | None = 1, *, pause: float = 0.05) -> None:
        """Send the answer byte by byte, with a pause in seconds after each."""
        self._add(Rule(Fault("drip", seconds=pause, executed=True), path, times))

    # ------------------------------------------------------------------------------------------ state

    def clear(self) -> None:
        """From now on nothing goes wrong."""
        with self._lock:
            self._rules.clear()

    @property
    def waiting(self) -> int:
        """Rules that have not met all their requests yet: 0 shows that everything that was set did happen."""
        with self._lock:
            return len(self._rules)

    def take(self, method: str, path: str) -> Fault | None:
        """For the server: the fault that meets this request."""
        with self._lock:
            for rule in self._rules:
                if rule.fits(method, path):
                    rule.times = one_less(rule.times)
                    self._rules = [rule for rule in self._rules if rule.times != 0]
                    return rule.fault
        return None

    def _add(self, rule: Rule) -> None:
        with self._lock:
            self._rules.append(rule)


def permission_error() -> ApiError:
    """What a restricted key hears where it has no permission."""
    return ApiError(
        403,
        "The provided key does not have the required permissions for this endpoint on account 'acct_test'.",
    )


def one_less(times: int | None) -> int | None:
    """How often something still happens after it has happened once more; None: for ever."""
    return None if times is None else times - 1


def _hints(retry_after: float | str | None, should_retry: bool | None) -> Header:
    headers = {} if retry_after is None else {"Retry-After": str(retry_after)}
    return headers if should_retry is None else headers | {"Stripe-Should-Retry": str(should_retry).lower()}
