"""The HTTP client for the admin APIs: GET requests with retries, limits, and the removal of the key.

It serves three APIs, two of whose SDKs read amounts as floats (docs/decisions.md#no-sdk-for-bills).
"""

import codecs
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import requests
import urllib3

from ingestion.pulls.requesting import BoundedSession, Fault, Pace, Requesting, without_key

# A page has at most seven days; this is room for 40,000 results a day.
MAX_PAGE_BYTES: Final = 64 << 20
CHUNK_BYTES: Final = 64 << 10
SHOWN_CHARACTERS: Final = 200
Parameters = Sequence[tuple[str, str]]


class BillsRefusedError(Exception):
    """A request that an API refuses, or an answer that is not a bill; a retry does not help.

    `status` is the HTTP status.
    """

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


class BillsUnavailableError(ConnectionError):
    """A failure to reach an API, or an answer that may be another one at the next try."""


class _AnswerError(requests.RequestException):
    """An answer that is not a page. Its text is the message of the API, or what is wrong."""

    def __init__(self, words: str, status: int, headers: Mapping[str, str]) -> None:
        super().__init__(words)
        self.status = status
        self.answer_headers = headers


@dataclass(frozen=True)
class Answer:
    """The text of a page as received, and its JSON, in which numbers with a fraction are texts."""

    text: bytes
    page: Any


class AdminClient:
    """A connection to one admin API."""

    def __init__(
        self, provider: str, base: str, key: str, headers: Mapping[str, str], key_hint: str, pace: Pace
    ) -> None:
        """`headers` are sent with each request. `key_hint` states which key is needed, for a refused one."""
        self.requesting = Requesting(pace)
        self._provider, self._base, self._key, self._key_hint = provider, base, key, key_hint
        self._headers = dict(headers)
        self._session = BoundedSession(self.requesting.timeout)

    def get(self, path: str, parameters: Parameters) -> Answer:
        """Return the page at a path. A fault is retried if that can help, until the deadline.

        Raises `BillsRefusedError`, and `BillsUnavailableError` if another try may help.
        """
        return self.requesting.call(
            lambda: self._request(path, parameters), requests.RequestException, self._fault
        )

    def _request(self, path: str, parameters: Parameters) -> Answer:
        self.requesting.pause()
        # Redirects are not followed: they would take the key along to another host.
        with self._session.get(
            self._base + path, params=parameters, auth=self._authorized, stream=True, allow_redirects=False
        ) as response:
            text = self._read(response)
            if response.status_code != 200:
                raise _AnswerError(self._message_in(text), response.status_code, response.headers)
        text = text.removeprefix(codecs.BOM_UTF8)
        try:
            page = json.loads(text.decode(), parse_float=str)
        except (ValueError, RecursionError):
            raise _AnswerError("its answer is not JSON", 200, response.headers) from None
        return Answer(text, page)

    def _read(self, response: requests.Response) -> bytes:
        """Return the body. A server that sends slowly is left when a request's time is over."""
        end = time.monotonic() + self.requesting.timeout()
        text = bytearray()
        # `iter_content` waits until a block is full, however slowly it fills.
        while piece := self._piece(response):
            text += piece
            if len(text) > MAX_PAGE_BYTES:
                raise BillsRefusedError(
                    f"{self._provider} answers with more than {MAX_PAGE_BYTES:,} bytes, which no page has",
                    200,
                )
            if time.monotonic() > end:
                raise requests.ReadTimeout("the answer takes too long")
        return bytes(text)

    def _piece(self, response: requests.Response) -> bytes:
        try:
            return bytes(response.raw.read1(CHUNK_BYTES, decode_content=True))
        except urllib3.exceptions.HTTPError as error:
            raise requests.ConnectionError(f"the answer broke off: {error}") from None

    def _authorized(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        """Add the key. A key in `headers` would be replaced by an entry in the user's .netrc."""
        request.headers.update(self._headers)
        return request

    def _fault(self, error: requests.RequestException, attempt: int) -> Fault:
        if not isinstance(error, _AnswerError):
            message = f"{self._provider} cannot be reached: {type(error).__name__}: {error}"
            return Fault(BillsUnavailableError(self._shown(message)), may_pass=True)
        if error.status == 429:
            message = f"{self._provider} asked {attempt} times for fewer requests (HTTP 429)"
            return Fault(
                BillsUnavailableError(message),
                may_pass=True,
                is_rate_limit=True,
                headers=error.answer_headers,
            )
        if error.status in (401, 403):
            # The message to a wrong key, HTTP 401, may repeat a part of it.
            detail = "" if error.status == 401 else f": {error}"
            message = f"{self._provider} refuses the key, HTTP {error.status}{detail}. {self._key_hint}"
            return Fault(BillsRefusedError(self._shown(message), error.status), may_pass=False)
        if 300 <= error.status < 500 and error.status != 408:
            message = f"{self._provider} refuses, HTTP {error.status}: {error}"
            return Fault(BillsRefusedError(self._shown(message), error.status), may_pass=False)
        message = f"{self._provider} answers HTTP {error.status}: {error}"
        return Fault(BillsUnavailableError(self._shown(message)), may_pass=True, headers=error.answer_headers)

    def _message_in(self, text: bytes) -> str:
        """Return the message of an error, which the three APIs have at the same place.

        The rest of an answer is not shown.
        """
        try:
            message = json.loads(text)["error"]["message"]
        except (ValueError, RecursionError, KeyError, TypeError):
            return "no message"
        return self._shown(str(message))[:SHOWN_CHARACTERS]

    def _shown(self, message: str) -> str:
        return without_key(" ".join(message.split()), self._key)
