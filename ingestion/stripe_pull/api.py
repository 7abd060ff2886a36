"""Stripe's API for the pull: the SDK, with retries, limits, and the removal of the key from messages.

The SDK repeats requests after 409, 5xx and lost connections, but not after 429
(docs/sources/stripe.md#2-limits-and-the-sdk, tried with 16.1), and it has no overall deadline. Its retries
are therefore switched off, and all waiting is done here.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit

import requests
import stripe

from ingestion.pulls import requesting
from ingestion.pulls.requesting import BoundedSession, Fault, Requesting, asked_to_wait, sleep
from paywall_warehouse.settings import Settings

T = TypeVar("T")
FILES_BASE: Final = "https://files.stripe.com"
PAGE: Final = 100
CHUNK_BYTES: Final = 1 << 20
DOWNLOAD_TRIES: Final = 4


class StripeRefusedError(Exception):
    """A request that Stripe refuses, with its message; a retry does not help. `status` is the HTTP status."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


class StripeUnavailableError(ConnectionError):
    """A failure to reach Stripe, or an unexpected answer. The next try may help."""


class ReadBudgetSpentError(Exception):
    """The end of the read budget: the run has made all requests that it may make. The next run continues."""


@dataclass(frozen=True)
class Pace(requesting.Pace):
    """The times of the pull in seconds, with the waits for a report; tests use shorter ones."""

    first_poll: float = 1
    longest_poll: float = 15


@dataclass
class StripeApi:
    """One account at Stripe."""

    settings: Settings
    pace: Pace = field(default_factory=Pace)
    requests_made: int = 0

    def __post_init__(self) -> None:
        self._requesting = Requesting(self.pace)
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
            http_client=stripe.RequestsClient(session=BoundedSession(self._requesting.timeout)),
        )
        self._account: str | None = None

    @property
    def deadline(self) -> float:
        """The time of the monotonic clock after which faults are not retried."""
        return self._requesting.deadline

    @deadline.setter
    def deadline(self, instant: float) -> None:
        self._requesting.deadline = instant

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
            pause = self._requesting.backoff(attempt)
            if attempt + 1 >= DOWNLOAD_TRIES or not self._requesting.has_time(pause):
                break
            sleep(pause)
        raise StripeUnavailableError(
            self.without_key(f"file {file.id} of Stripe could not be downloaded: {problem}")
        )

    def _fetch(self, url: str, path: Path) -> tuple[int, str | None]:
        """Return the number of bytes received, and the problem if a retry may help."""
        self._spend()
        received = 0
        try:
            with (
                requests.get(
                    url, auth=self._authorized, stream=True, timeout=self._requesting.timeout()
                ) as response,
                path.open("wb") as file,
            ):
                if response.status_code in (401, 403, 404):
                    message = f"Stripe refuses {urlsplit(url).path}: HTTP {response.status_code}"
                    raise StripeRefusedError(self.without_key(message), response.status_code)
                if response.status_code != 200:
                    asked = asked_to_wait(response.headers, self.pace.longest_backoff) or 0
                    if response.status_code == 429 and self._requesting.has_time(asked):
                        sleep(asked)
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
        """Return the answer to a request, which is retried if that can help, until the deadline."""

        def send() -> T:
            self._spend()
            return ask()

        return self._requesting.call(send, stripe.StripeError, self._fault)

    def _fault(self, error: stripe.StripeError, attempt: int) -> Fault:
        if isinstance(error, stripe.RateLimitError):
            message = f"Stripe asked {attempt} times for fewer requests (HTTP 429)"
            return Fault(
                StripeUnavailableError(message),
                may_pass=True,
                is_rate_limit=True,
                headers=error.headers or {},
            )
        if isinstance(error, stripe.APIConnectionError):
            message = f"Stripe cannot be reached: {' '.join(str(error).split())}"
            return Fault(StripeUnavailableError(self.without_key(message)), may_pass=True)
        return Fault(self._error_of(error), may_pass=_may_pass(error))

    def _error_of(self, error: stripe.StripeError) -> StripeUnavailableError | StripeRefusedError:
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

    def _spend(self) -> None:
        if self.requests_made >= self.settings.stripe_read_budget:
            raise ReadBudgetSpentError(
                f"the read budget of {self.settings.stripe_read_budget} requests (STRIPE_READ_BUDGET) is"
                " spent"
            )
        self._requesting.pause()
        self.requests_made += 1

    def without_key(self, message: str) -> str:
        """Return a message without the key, so that it can be shown."""
        return requesting.without_key(message, self._key)


def _may_pass(error: stripe.StripeError) -> bool:
    """Return whether a retry may succeed, by Stripe's advice or, as in the SDK, by the status."""
    advice = {name.lower(): value for name, value in (error.headers or {}).items()}.get("stripe-should-retry")
    status = error.http_status or 0
    return advice == "true" or (advice != "false" and (status == 409 or not 400 <= status < 500))
