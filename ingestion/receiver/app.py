"""The ASGI application of the receiver: how a delivery is answered.

Paywalls.ai gives up a delivery for good at 400, 401, 403, 404, 410 and 422
(docs/sources/paywalls.md#31-documented). Only faults of the sender get one of these. A fault of the receiver
gets 5xx, and too many deliveries at the same time get 429, after which the sender repeats the delivery.
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

from ingestion.receiver.deliveries import delivery
from ingestion.receiver.journal import Journal, NotStoredError
from ingestion.receiver.limits import Limits
from ingestion.receiver.report import (
    COMPRESSED,
    EMPTY,
    LONG_HEADERS,
    TOO_LARGE,
    TOO_MANY,
    TOO_OLD,
    TOO_SLOW,
    UNSIGNED,
    WRONG_SIGNATURE,
    Report,
)
from ingestion.receiver.segments import SegmentWriter, seal_open_segments
from ingestion.receiver.signatures import SIGNATURE, TIMESTAMP, is_signed, is_too_old, keys_of

HEALTH = "/health"
RETRY_AFTER_SECONDS = "30"
# One line for each kind of refusal in this time, so that a flood of requests does not fill the log.
LOG_EVERY_SECONDS = 60.0
log = logging.getLogger(__name__)


class _RefusedError(Exception):
    """A request that is refused: the reason, and the status and the message of the answer."""

    def __init__(self, reason: str, status: int, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.status = status
        self.message = message


class Receiver:
    """Receives deliveries and reports its health."""

    def __init__(
        self,
        landing: Path,
        secret: str,
        max_age_seconds: float,
        limits: Limits,
        state_file: Path | None = None,
    ) -> None:
        """`secret` may be several secrets, separated by commas (`signatures.keys_of`).

        `state_file` is written for the dashboard.
        """
        self._landing = landing
        self._keys = keys_of(secret)
        self._max_age_seconds = max_age_seconds
        self._limits = limits
        self._journal = Journal(SegmentWriter(landing, limits.segment_bytes, limits.segment_seconds))
        self._held_bytes = 0
        """The size of all bodies that have begun to arrive and are not answered yet."""
        self._report = Report(state_file)
        self._logged_at: dict[int, float] = {}

    def application(self) -> Starlette:
        """Return the application for an ASGI server."""
        application = Starlette(lifespan=self._lifespan)
        # Deliveries are accepted at every path that a proxy may leave, `/health` included: a delivery that is
        # answered with 404 would be lost.
        application.router.default = self._anywhere
        application.router.redirect_slashes = False
        return application

    async def _anywhere(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        if sum(len(name) + len(value) for name, value in request.headers.raw) > self._limits.header_bytes:
            # The server's own limit does not apply to headers that arrive in one piece.
            response = self._refused(
                request,
                _RefusedError(
                    LONG_HEADERS, 400, f"the headers have more than {self._limits.header_bytes} bytes"
                ),
            )
        elif request.method == "POST":
            response = await self._receive(request)
        elif request.method in ("GET", "HEAD") and request.url.path == HEALTH:
            response = self._health()
        else:
            response = _answer(405, "send deliveries with POST", {"Allow": "POST"})
        await response(scope, receive, send)

    @asynccontextmanager
    async def _lifespan(self, _: Starlette) -> AsyncIterator[None]:
        for sealed in seal_open_segments(self._landing):
            log.info("sealed a segment of an earlier receiver: %s", sealed)
        writing = asyncio.create_task(self._journal.write())
        reporting = asyncio.create_task(self._report.keep(self._can_write))
        yield
        self._journal.end()
        await writing
        self._report.end()
        await reporting

    def _can_write(self) -> bool:
        return self._journal.fault is None

    def _health(self) -> Response:
        """Answer 200 while deliveries can be stored, and 503 if the last ones could not."""
        is_well = self._can_write()
        state = {
            "status": "ok" if is_well else "cannot write",
            "held_bytes": self._held_bytes,
            **self._report.counts,
        }
        return JSONResponse(state, 200 if is_well else 503)

    async def _receive(self, request: Request) -> Response:
        """Store a delivery and answer. The answer is 2xx only when the delivery is on the disk."""
        body = bytearray()
        try:
            await self._read(request, body)
            self._check(request, bytes(body))
            received = delivery(bytes(body))
            is_new = await self._journal.store(received)
        except _RefusedError as refusal:
            return self._refused(request, refusal)
        except NotStoredError:
            self._report.failed()
            return _answer(503, "the delivery could not be stored; send it again")
        except ClientDisconnect:
            return Response()  # the sender has gone
        finally:
            self._held_bytes -= len(body)
        self._report.delivered(received.event_type, is_new=is_new)
        return JSONResponse({"stored": True, "repeated": not is_new})

    async def _read(self, request: Request, body: bytearray) -> None:
        """Read the raw body within the limits of its size, of time, and of the size of all bodies
        together.
        """
        if request.headers.get("Content-Encoding", "").strip().lower() not in ("", "identity"):
            raise _RefusedError(COMPRESSED, 415, "a compressed body is not accepted")
        try:
            async with asyncio.timeout(self._limits.request_seconds):
                async for chunk in request.stream():
                    if len(body) + len(chunk) > self._limits.body_bytes:
                        raise _RefusedError(
                            TOO_LARGE, 413, f"the body has more than {self._limits.body_bytes} bytes"
                        )
                    if self._held_bytes + len(chunk) > self._limits.held_bytes:
                        raise _RefusedError(TOO_MANY, 429, "too many deliveries at once; send it again later")
                    body += chunk
                    self._held_bytes += len(chunk)
        except TimeoutError:
            raise _RefusedError(
                TOO_SLOW, 408, f"the body did not arrive within {self._limits.request_seconds:g} seconds"
            ) from None

    def _check(self, request: Request, body: bytes) -> None:
        """Raise `_RefusedError` if a request is not a delivery of Paywalls.ai, or an old one."""
        signature = request.headers.get(SIGNATURE, "")
        if not is_signed(body, signature, self._keys):
            raise _RefusedError(
                WRONG_SIGNATURE if signature.strip() else UNSIGNED,
                401,
                f"{SIGNATURE} is missing, or is not the HMAC-SHA256 of this body under a configured secret",
            )
        if is_too_old(request.headers.get(TIMESTAMP), datetime.now(UTC), self._max_age_seconds):
            raise _RefusedError(
                TOO_OLD, 401, f"{TIMESTAMP} is more than {self._max_age_seconds:g} seconds away from now"
            )
        if not body.strip():
            raise _RefusedError(EMPTY, 400, "the body is empty")

    def _refused(self, request: Request, refusal: _RefusedError) -> Response:
        self._report.refused(refusal.reason)
        now = time.monotonic()
        if now - self._logged_at.get(refusal.status, -LOG_EVERY_SECONDS) >= LOG_EVERY_SECONDS:
            self._logged_at[refusal.status] = now
            host = request.client.host if request.client else "an unknown host"
            log.warning(
                "refused with %d: %s (from %s; %d refused since the start)",
                refusal.status,
                refusal,
                host,
                self._report.counts["refused"],
            )
        return _answer(refusal.status, refusal.message)


def _answer(status: int, message: str, headers: dict[str, str] | None = None) -> Response:
    if status == 429 or status >= 500:
        headers = {"Retry-After": RETRY_AFTER_SECONDS}
    return JSONResponse({"stored": False, "reason": message}, status, headers)
