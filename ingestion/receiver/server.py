"""The receiver in uvicorn: limits on connections and slow clients, and a stop that loses nothing."""

import asyncio
import resource
from typing import Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from ingestion.receiver.app import Receiver
from ingestion.receiver.limits import Limits


def server_of(receiver: Receiver, limits: Limits) -> uvicorn.Server:
    """Return the server. At SIGTERM or SIGINT it answers the requests in progress and seals the open
    segment.
    """
    _allow_open_files(2 * limits.cut_off_connections)
    config = uvicorn.Config(
        receiver.application(),
        # h11 limits the size of the headers, which the faster parser does not.
        http=_protocol_with_deadlines(limits),
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        h11_max_incomplete_event_size=limits.header_bytes,
        limit_concurrency=limits.connections,
        timeout_keep_alive=limits.idle_seconds,
        timeout_graceful_shutdown=limits.stop_seconds,
    )
    return uvicorn.Server(config)


def _allow_open_files(count: int) -> None:
    """Raise the limit of open files: the default, 1024, is less than the allowed connections."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < count:
        resource.setrlimit(
            resource.RLIMIT_NOFILE, (count if hard == resource.RLIM_INFINITY else min(count, hard), hard)
        )


def _protocol_with_deadlines(limits: Limits) -> type[asyncio.Protocol]:
    """Return uvicorn's protocol with deadlines: by itself it waits forever for headers, and for answers to be
    read.
    """

    class ProtocolWithDeadlines(H11Protocol):
        _deadline: asyncio.TimerHandle | None = None
        _unread: asyncio.TimerHandle | None = None

        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            if len(self.connections) > limits.cut_off_connections:
                transport.abort()
            self._expect_headers()

        def connection_lost(self, exc: Exception | None) -> None:
            self._forget_deadline()
            if self._unread is not None:
                self._unread.cancel()
            super().connection_lost(exc)

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            if self.cycle is not None and not self.cycle.response_complete:
                self._forget_deadline()
            elif self._deadline is None:
                self._expect_headers()

        def pause_writing(self) -> None:
            super().pause_writing()
            self._unread = self.loop.call_later(limits.request_seconds, self.transport.abort)

        def resume_writing(self) -> None:
            if self._unread is not None:
                self._unread.cancel()
            super().resume_writing()

        def _expect_headers(self) -> None:
            self._deadline = self.loop.call_later(limits.request_seconds, self.transport.abort)

        def _forget_deadline(self) -> None:
            if self._deadline is not None:
                self._deadline.cancel()
                self._deadline = None

    return ProtocolWithDeadlines
