"""The ASGI application: what a delivery is answered.

Paywalls.ai gives a delivery up for good at 400, 401, 403, 404, 410 and 422 (`sources/paywalls.md` 3.1). Only
what is the sender's fault gets one of them; a fault of ours gets 5xx, and too much at once 429, after which
it comes again.
"""

import asyncio
import logging
import time
from collections import Counter
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
from ingestion.receiver.segments import SegmentWriter, seal_open_segments
from ingestion.receiver.signatures import SIGNATURE, TIMESTAMP, is_signed, is_too_old, keys_of

HEALTH = "/health"
RETRY_AFTER_SECONDS = "30"
# One line for each kind of refusal in so many seconds: whoever floods the receiver does not fill the log.
TELL_EVERY_SECONDS = 60.0
log = logging.getLogger(__name__)


class _RefusedError(Exception):
    """Why a request is not taken, and the answer that says so."""

    def __init__(self, status: int, words: str) -> None:
        super().__init__(words)
        self.status = status
        self.words = words


class Receiver:
    """Takes deliveries and tells how it fares."""

    def __init__(self, landing: Path, secret: str, max_age_seconds: float, limits: Limits) -> None:
        """`secret` may hold several, comma-separated (`signatures.keys_of`)."""
        self._landing = landing
        self._keys = keys_of(secret)
        self._max_age_seconds = max_age_seconds
        self._limits = limits
        self._journal = Journal(SegmentWriter(landing, limits.segment_bytes, limits.segment_seconds))
        self._held_bytes = 0
        """Of all bodies that have begun to arrive and are not answered yet."""
        self._counts: Counter[str] = Counter(stored=0, repeated=0, refused=0, failed=0)
        self._told: dict[int, float] = {}

    def application(self) -> Starlette:
        """The application, for any ASGI server."""
        application = Starlette(lifespan=self._lifespan)
        # Whatever path a proxy leaves, `/health` included: a delivery that is answered 404 would be lost.
        application.router.default = self._anywhere
        application.router.redirect_slashes = False
        return application

    async def _anywhere(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        if sum(len(name) + len(value) for name, value in request.headers.raw) > self._limits.header_bytes:
            # What arrives in one piece is longer than the server's own bound.
            response = _answer(400, f"the headers have more than {self._limits.header_bytes} bytes")
        elif request.method == "POST":
            response = await self._receive(request)
        elif request.method in ("GET", "HEAD") and request.url.path == HEALTH:
            response = self._health()
        else:
            response = _answer(405, "deliveries are posted", {"Allow": "POST"})
        await response(scope, receive, send)

    @asynccontextmanager
    async def _lifespan(self, _: Starlette) -> AsyncIterator[None]:
        for sealed in seal_open_segments(self._landing):
            log.info("sealed what an earlier receiver left: %s", sealed)
        writing = asyncio.create_task(self._journal.write())
        yield
        self._journal.end()
        await writing

    def _health(self) -> Response:
        """200 while deliveries can be stored; 503 where the last ones could not."""
        is_well = self._journal.fault is None
        state = {
            "status": "ok" if is_well else "cannot write",
            "held_bytes": self._held_bytes,
            **self._counts,
        }
        return JSONResponse(state, 200 if is_well else 503)

    async def _receive(self, request: Request) -> Response:
        """Store a delivery and say so: the answer 2xx comes after it is on the disk."""
        body = bytearray()
        try:
            await self._read(request, body)
            self._check(request, bytes(body))
            is_new = await self._journal.store(delivery(bytes(body)))
        except _RefusedError as refusal:
            return self._refused(request, refusal)
        except NotStoredError:
            self._counts["failed"] += 1
            return _answer(503, "the delivery could not be stored; come again")
        except ClientDisconnect:
            return Response()  # to nobody
        finally:
            self._held_bytes -= len(body)
        self._counts["stored" if is_new else "repeated"] += 1
        return JSONResponse({"stored": True, "repeated": not is_new})

    async def _read(self, request: Request, body: bytearray) -> None:
        """Read the raw body, within the limits of size, of time and of all bodies together."""
        if request.headers.get("Content-Encoding", "").strip().lower() not in ("", "identity"):
            raise _RefusedError(415, "a body that is compressed is not taken")
        try:
            async with asyncio.timeout(self._limits.request_seconds):
                async for chunk in request.stream():
                    if len(body) + len(chunk) > self._limits.body_bytes:
                        raise _RefusedError(413, f"the body has more than {self._limits.body_bytes} bytes")
                    if self._held_bytes + len(chunk) > self._limits.held_bytes:
                        raise _RefusedError(429, "too much at once; come again")
                    body += chunk
                    self._held_bytes += len(chunk)
        except TimeoutError:
            raise _RefusedError(
                408, f"the body did not arrive within {self._limits.request_seconds:g} seconds"
            ) from None

    def _check(self, request: Request, body: bytes) -> None:
        """Raise where a request is no delivery of Paywalls.ai, or an old one."""
        if not is_signed(body, request.headers.get(SIGNATURE, ""), self._keys):
            raise _RefusedError(
                401,
                f"{SIGNATURE} is missing, or is not the HMAC-SHA256 of this body under a secret that is known"
                " here",
            )
        if is_too_old(request.headers.get(TIMESTAMP), datetime.now(UTC), self._max_age_seconds):
            raise _RefusedError(
                401, f"{TIMESTAMP} is more than {self._max_age_seconds:g} seconds away from now"
            )
        if not body.strip():
            raise _RefusedError(400, "the body is empty")

    def _refused(self, request: Request, refusal: _RefusedError) -> Response:
        self._counts["refused"] += 1
        now = time.monotonic()
        if now - self._told.get(refusal.status, -TELL_EVERY_SECONDS) >= TELL_EVERY_SECONDS:
            self._told[refusal.status] = now
            host = request.client.host if request.client else "an unknown host"
            log.warning(
                "refused with %d: %s (from %s; %d refused since the start)",
                refusal.status,
                refusal,
                host,
                self._counts["refused"],
            )
        return _answer(refusal.status, refusal.words)


def _answer(status: int, words: str, headers: dict[str, str] | None = None) -> Response:
    if status == 429 or status >= 500:
        headers = {"Retry-After": RETRY_AFTER_SECONDS}
    return JSONResponse({"stored": False, "reason": words}, status, headers)
