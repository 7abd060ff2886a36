"""Stripe's API as the pull uses it: the SDK, with the waiting, the limits and the discretion that it leaves
to its users.

The SDK repeats requests after 409, 5xx and lost connections, but not after 429 (`sources/stripe.md`, tried
with 16.1), and it knows of no time by which a caller has to be done. So its repetition is off, and all
waiting is here.
"""

import itertools
import math
import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
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
# Past the deadline a request that is needed all the same, such as one that picks up a finished report, gets
# so many seconds.
LEAST_TIMEOUT: Final = 5


class StripeRefusedError(Exception):
    """Stripe says no, in its own words; asking again does not help. `status` is the HTTP status."""

    def __init__(self, words: str, status: int) -> None:
        super().__init__(words)
        self.status = status


class StripeUnavailableError(ConnectionError):
    """Stripe cannot be reached, or does not answer as it should; the next try may help."""


class _BoundedSession(requests.Session):
    """A session that asks before every request how long it may take; the SDK's clients have one timeout for
    ever.
    """

    def __init__(self, timeout: Callable[[], float]) -> None:
        super().__init__()
        self._seconds = timeout

    def send(self, request: requests.PreparedRequest, **more: Any) -> requests.Response:
        return super().send(request, **(more | {"timeout": self._seconds()}))


class ReadBudgetSpentError(Exception):
    """The run has made as many requests as it may; what is left is left to the next run."""


@dataclass(frozen=True)
class Pace:
    """How patient the pull is, in seconds; tests wait less."""

    timeout: float = 30
    between_requests: float = 0.05
    """20 requests a second: below Stripe's 25 a second and endpoint, and its 20 reads of files a second."""
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
    """Until when a fault is waited out, by the monotonic clock."""
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
        """Whether the key is one of the live mode; keys say so themselves."""
        return "_test_" not in self._key

    @property
    def account(self) -> str | None:
        """The account's id, None where the key may not ask for it: a restricted key needs no such right."""
        if self._account is None:
            try:
                self._account = self._call(self._client.v1.accounts.retrieve_current).id
            except StripeRefusedError as error:
                if error.status not in (403, 404):
                    raise
                self._account = ""
        return self._account or None

    def available(self, report_type: str) -> tuple[datetime, datetime]:
        """From when until when (exclusive) Stripe has data for a report type."""
        kind = self._call(lambda: self._client.v1.reporting.report_types.retrieve(report_type))
        return datetime.fromtimestamp(kind.data_available_start, UTC), datetime.fromtimestamp(
            kind.data_available_end, UTC
        )

    def create_run(
        self, report_type: str, parameters: dict[str, Any], idempotency_key: str
    ) -> stripe.reporting.ReportRun:
        """Ask for a report. The same key gives the same run, however often it is asked."""
        wanted: Any = {"report_type": report_type, "parameters": parameters}
        return self._call(
            lambda: self._client.v1.reporting.report_runs.create(wanted, {"idempotency_key": idempotency_key})
        )

    def run(self, run_id: str) -> stripe.reporting.ReportRun:
        """How a run stands."""
        return self._call(lambda: self._client.v1.reporting.report_runs.retrieve(run_id))

    def runs_since(self, instant: datetime) -> Iterator[stripe.reporting.ReportRun]:
        """The runs that were created since an instant, the newest first."""
        yield from self._pages(
            self._client.v1.reporting.report_runs.list, {"created": {"gte": int(instant.timestamp())}}
        )

    def sessions(self, start: datetime, end: datetime) -> Iterator[stripe.checkout.Session]:
        """The Checkout Sessions that were created in `[start, end)`, the newest first."""
        created = {"gte": int(start.timestamp()), "lt": int(end.timestamp())}
        yield from self._pages(self._client.v1.checkout.sessions.list, {"created": created})

    def _pages(self, ask: Callable[[Any], Any], parameters: dict[str, Any]) -> Iterator[Any]:
        """Page by page, each of them with the patience of `_call`; the SDK's own iterator ends at a 429."""
        page = self._call(lambda: ask({**parameters, "limit": PAGE}))
        while True:
            yield from page.data
            if not page.has_more or not page.data:
                return
            last = page.data[-1].id
            page = self._call(lambda last=last: ask({**parameters, "limit": PAGE, "starting_after": last}))  # type: ignore[misc]

    def download(self, file: stripe.File, path: Path) -> None:
        """The content of a report's file, whole; raises `StripeUnavailableError` where it stays cut short."""
        # The key goes to the host of the settings only, whatever host an answer names.
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
            self.discreet(f"file {file.id} of Stripe could not be downloaded: {problem}")
        )

    def _fetch(self, url: str, path: Path) -> tuple[int, str | None]:
        """Bytes received, and what went wrong if it may pass."""
        self._spend()
        received = 0
        try:
            with (
                requests.get(url, auth=self._authorized, stream=True, timeout=self._timeout()) as response,
                path.open("wb") as file,
            ):
                if response.status_code in (401, 403, 404):
                    words = f"Stripe refuses {urlsplit(url).path}: HTTP {response.status_code}"
                    raise StripeRefusedError(self.discreet(words), response.status_code)
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
        """The key as a header. Given as such, an entry in the user's .netrc would replace it."""
        request.headers["Authorization"] = f"Bearer {self._key}"
        return request

    def _call(self, ask: Callable[[], T]) -> T:
        """Return the answer to a request, made again where that can help, as often as the fault is worth and
        until the deadline.
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
                    self.discreet(f"Stripe cannot be reached: {' '.join(str(error).split())}")
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
        # An answer that the SDK could not read is in its text, whole: it may hold customers' data.
        said = (
            "its answer cannot be read"
            if str(error.user_message).startswith("Invalid response")
            else str(error)
        )
        if 400 <= status < 500:
            return StripeRefusedError(self.discreet(f"Stripe refuses, HTTP {status}: {said}"), status)
        return StripeUnavailableError(self.discreet(f"Stripe answers HTTP {status}: {said}"))

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
        return longest * (0.5 + random.random() / 2)  # noqa: S311  jitter, so that two runs do not knock together

    def _asked_to_wait(self, headers: Any) -> float | None:
        """`Retry-After` in seconds, as a number or as a date; never longer than the longest back-off of our
        own.
        """
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

    def discreet(self, words: str) -> str:
        """Words that may be shown: without the key, whoever wrote it into them."""
        return words.replace(self._key, "***")


def _may_pass(error: stripe.StripeError) -> bool:
    """Return whether Stripe may answer the same request otherwise in a moment, by its own words or, as the
    SDK does, by the status.
    """
    advice = {name.lower(): value for name, value in (error.headers or {}).items()}.get("stripe-should-retry")
    status = error.http_status or 0
    return advice == "true" or (advice != "false" and (status == 409 or not 400 <= status < 500))
