"""Stripe's API for the pull: the SDK, with retries, limits, and the removal of the key from messages.

The SDK repeats requests after 409, 5xx and lost connections, but not after 429
(docs/sources/stripe.md#2-limits-and-the-sdk, tried with 16.1), and it has no overall deadline. Its retries
are therefore switched off, and all waiting is done here.
"""

import itertools
import math
import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit

import requests
import stripe

from paywall_warehouse.settings import Settings

T = TypeVar("T")
FILES_BASE: Final = "https://files.stripe.com"
PAGE: Final = 100
CHUNK_BYTES: Final = 1 << 20
RATE_LIMIT_TRIES: Final = 8
TRIES: Final = 3
DOWNLOAD_TRIES: Final = 4
# The timeout of a request that is necessary after the deadline, such as one that fetches a finished report.
LEAST_TIMEOUT: Final = 5


class StripeRefusedError(Exception):
    """A request that Stripe refuses, with its message; a retry does not help. `status` is the HTTP status."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


class StripeUnavailableError(ConnectionError):
    """A failure to reach Stripe, or an unexpected answer. The next try may help."""


class _BoundedSession(requests.Session):
    """A session that computes the timeout of each request. The SDK's clients have a fixed one."""

    def __init__(self, timeout: Callable[[], float]) -> None:
        super().__init__()
        self._seconds = timeout

    def send(self, request: requests.PreparedRequest, **more: Any) -> requests.Response:
        return super().send(request, **(more | {"timeout": self._seconds()}))


class ReadBudgetSpentError(Exception):
    """The end of the read budget: the run has made all requests that it may make. The next run continues."""


@dataclass(frozen=True)
class Pace:
    """The times of the pull in seconds; tests use shorter ones."""

    timeout: float = 30
    between_requests: float = 0.05
    """20 requests per second: below Stripe's limits of 25 per second and endpoint, and 20 file reads per
    second.
    """
    first_poll: float = 1
    longest_poll: float = 15
    first_backoff: float = 0.5
    longest_backoff: float = 30


@dataclass
class StripeApi:
    """One account at Stripe."""

    settings: Settings
    pace: Pace = field(default_factory=Pace)
    requests_made: int = 0
    deadline: float = math.inf
    """The time of the monotonic clock after which faults are not retried."""
    _asked_at: float = 0

    def __post_init__(self) -> None:
        key = self.settings.stripe_api_key
        if key is None:
            raise ValueError("STRIPE_API_KEY is not set")
        self._key = key.get_secret_value()
        base = self.settings.stripe_api_base
        self._files_base = (base or FILES_BASE).rstrip("/")
        self._client = stripe.StripeClient(
            self._key,
            base_addresses={"api": base.rstrip("/"), "files": base.rstrip("/")} if base else {},
            max_network_retries=0,
            http_client=stripe.RequestsClient(session=_BoundedSession(self._timeout)),
        )
        self._account: str | None = None

    @property
    def livemode(self) -> bool:
        """Whether the key is a live key, by its text."""
        return "_test_" not in self._key

    @property
    def account(self) -> str | None:
        """Return the account's id; None if the key may not request it, because a restricted key need not."""
        if self._account is None:
            try:
                self._account = self._call(self._client.v1.accounts.retrieve_current).id
            except StripeRefusedError as error:
                if error.status not in (403, 404):
                    raise
                self._account = ""
        return self._account or None

    def available(self, report_type: str) -> tuple[datetime, datetime]:
        """Return the start and the end (exclusive) of Stripe's data for a report type."""
        kind = self._call(lambda: self._client.v1.reporting.report_types.retrieve(report_type))
        return datetime.fromtimestamp(kind.data_available_start, UTC), datetime.fromtimestamp(
            kind.data_available_end, UTC
        )

    def create_run(
        self, report_type: str, parameters: dict[str, Any], idempotency_key: str
    ) -> stripe.reporting.ReportRun:
        """Request a report. Repeated requests with the same idempotency key return the same run."""
        wanted: Any = {"report_type": report_type, "parameters": parameters}
        return self._call(
            lambda: self._client.v1.reporting.report_runs.create(wanted, {"idempotency_key": idempotency_key})
        )

    def run(self, run_id: str) -> stripe.reporting.ReportRun:
        """Return the present state of a report run."""
        return self._call(lambda: self._client.v1.reporting.report_runs.retrieve(run_id))

    def runs_since(self, instant: datetime) -> Iterator[stripe.reporting.ReportRun]:
        """Yield the runs that were created since an instant, the newest first."""
        yield from self._pages(
            self._client.v1.reporting.report_runs.list, {"created": {"gte": int(instant.timestamp())}}
        )

    def sessions(self, start: datetime, end: datetime) -> Iterator[stripe.checkout.Session]:
        """Yield the Checkout Sessions that were created in `[start, end)`, the newest first."""
        created = {"gte": int(start.timestamp()), "lt": int(end.timestamp())}
        yield from self._pages(self._client.v1.checkout.sessions.list, {"created": created})

    def _pages(self, ask: Callable[[Any], Any], parameters: dict[str, Any]) -> Iterator[Any]:
        """Yield the items of all pages, each page with the retries of `_call`. The SDK's iterator ends at
        429.
        """
        page = self._call(lambda: ask({**parameters, "limit": PAGE}))
        while True:
            yield from page.data
            if not page.has_more or not page.data:
                return
            last = page.data[-1].id
            following = {**parameters, "limit": PAGE, "starting_after": last}
            page = self._call(partial(ask, following))

    def download(self, file: stripe.File, path: Path) -> None:
        """Download the whole content of a report's file. Raises `StripeUnavailableError` if it stays
        incomplete.
        """
        # The key is sent only to the host of the settings, whichever host an answer names.
        stated = urlsplit(file.url or f"/v1/files/{file.id}/contents")
        place = stated.path + (f"?{stated.query}" if stated.query else "")
        for attempt in range(DOWNLOAD_TRIES):
            received, problem = self._fetch(self._files_base + place, path)
            if problem is None and file.size and received != file.size:
                problem = f"{received} bytes of {file.size} arrived"
            if problem is None:
                return
            wait = self._backoff(attempt)
            if attempt + 1 >= DOWNLOAD_TRIES or not self._has_time(wait):
                break
            self._wait(wait)
        raise StripeUnavailableError(
            self.without_key(f"file {file.id} of Stripe could not be downloaded: {problem}")
        )

    def _fetch(self, url: str, path: Path) -> tuple[int, str | None]:
        """Return the number of bytes received, and the problem if a retry may help."""
        self._spend()
        received = 0
        try:
            with (
                requests.get(url, auth=self._authorized, stream=True, timeout=self._timeout()) as response,
                path.open("wb") as file,
            ):
                if response.status_code in (401, 403, 404):
                    message = f"Stripe refuses {urlsplit(url).path}: HTTP {response.status_code}"
                    raise StripeRefusedError(self.without_key(message), response.status_code)
                if response.status_code != 200:
                    wait = self._asked_to_wait(response.headers) or 0
                    if response.status_code == 429 and self._has_time(wait):
                        self._wait(wait)
                    return 0, f"HTTP {response.status_code}"
                for block in response.iter_content(CHUNK_BYTES):
                    received += file.write(block)
        except requests.RequestException as error:
            return received, f"{type(error).__name__}: {error}"
        return received, None

    def _authorized(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        """Add the key as a header. A key in `headers` would be replaced by an entry in the user's .netrc."""
        request.headers["Authorization"] = f"Bearer {self._key}"
        return request

    def _call(self, ask: Callable[[], T]) -> T:
        """Return the answer to a request.

        It is retried if that can help, up to a number of tries that depends on the fault, until the deadline.
        """
        for attempt in itertools.count():
            self._spend()
            wait, tries = self._backoff(attempt), TRIES
            fault: StripeUnavailableError | StripeRefusedError
            try:
                return ask()
            except stripe.RateLimitError as error:
                wait, tries = self._asked_to_wait(error.headers or {}) or wait, RATE_LIMIT_TRIES
                fault = StripeUnavailableError(
                    f"Stripe asked {attempt + 1} times for fewer requests (HTTP 429)"
                )
            except stripe.APIConnectionError as error:
                fault = StripeUnavailableError(
                    self.without_key(f"Stripe cannot be reached: {' '.join(str(error).split())}")
                )
            except stripe.StripeError as error:
                fault = self._fault_of(error)
                if not _may_pass(error):
                    raise fault from None
            if attempt + 1 >= tries or not self._has_time(wait):
                raise fault
            self._wait(wait)
        raise AssertionError("tries are counted above")

    def _fault_of(self, error: stripe.StripeError) -> StripeUnavailableError | StripeRefusedError:
        status = error.http_status or 0
        # The SDK's error has the whole text of an answer that it could not read, which may have customers'
        # data.
        detail = (
            "its answer cannot be read"
            if str(error.user_message).startswith("Invalid response")
            else str(error)
        )
        if 400 <= status < 500:
            return StripeRefusedError(self.without_key(f"Stripe refuses, HTTP {status}: {detail}"), status)
        return StripeUnavailableError(self.without_key(f"Stripe answers HTTP {status}: {detail}"))

    def _timeout(self) -> float:
        """Return how many seconds the next request may take."""
        return min(self.pace.timeout, max(self.deadline - time.monotonic(), LEAST_TIMEOUT))

    def _has_time(self, wait: float) -> bool:
        """Return whether the deadline leaves time for another try after a wait."""
        return time.monotonic() + wait < self.deadline

    def _spend(self) -> None:
        if self.requests_made >= self.settings.stripe_read_budget:
            raise ReadBudgetSpentError(
                f"the read budget of {self.settings.stripe_read_budget} requests (STRIPE_READ_BUDGET) is"
                " spent"
            )
        self._wait(self._asked_at + self.pace.between_requests - time.monotonic())
        self.requests_made += 1
        self._asked_at = time.monotonic()

    def _backoff(self, attempt: int) -> float:
        longest = min(self.pace.first_backoff * float(2**attempt), self.pace.longest_backoff)
        return longest * (0.5 + random.random() / 2)  # noqa: S311  jitter between two runs

    def _asked_to_wait(self, headers: Any) -> float | None:
        """Return `Retry-After` in seconds, stated as a number or as a date; at most the longest back-off."""
        stated: str | None = {name.lower(): value for name, value in headers.items()}.get("retry-after")
        if stated is None:
            return None
        try:
            seconds = float(stated)
        except ValueError:
            try:
                seconds = (parsedate_to_datetime(stated) - datetime.now(UTC)).total_seconds()
            except (TypeError, ValueError):
                return None
        return min(max(seconds, 0), self.pace.longest_backoff)

    def _wait(self, seconds: float) -> None:
        if seconds > 0:
            time.sleep(seconds)

    def without_key(self, message: str) -> str:
        """Return a message without the key, so that it can be shown."""
        return message.replace(self._key, "***")


def _may_pass(error: stripe.StripeError) -> bool:
    """Return whether a retry may succeed, by Stripe's advice or, as in the SDK, by the status."""
    advice = {name.lower(): value for name, value in (error.headers or {}).items()}.get("stripe-should-retry")
    status = error.http_status or 0
    return advice == "true" or (advice != "false" and (status == 409 or not 400 <= status < 500))
