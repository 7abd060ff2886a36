"""uvicorn's protocol with deadlines: by itself it waits forever for headers, and for answers to be read."""

import asyncio
import resource
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol


def allow_open_files(count: int) -> None:
    """Raise the limit of open files: the default, 1024, is less than a server's connections and files."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < count:
        resource.setrlimit(
            resource.RLIMIT_NOFILE, (count if hard == resource.RLIM_INFINITY else min(count, hard), hard)
        )


def protocol_with_deadlines(request_seconds: float, cut_off_connections: int) -> type[asyncio.Protocol]:
    """Return a protocol in which headers must arrive within `request_seconds`, and clients read as often.

    More connections than `cut_off_connections` are closed at once.
    """

    class ProtocolWithDeadlines(H11Protocol):
        _deadline: asyncio.TimerHandle | None = None
        _unread: asyncio.TimerHandle | None = None

        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            if len(self.connections) > cut_off_connections:
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
            self._unread = self.loop.call_later(request_seconds, self.transport.abort)

        def resume_writing(self) -> None:
            if self._unread is not None:
                self._unread.cancel()
            super().resume_writing()

        def _expect_headers(self) -> None:
            self._deadline = self.loop.call_later(request_seconds, self.transport.abort)

        def _forget_deadline(self) -> None:
            if self._deadline is not None:
                self._deadline.cancel()
                self._deadline = None

    return ProtocolWithDeadlines
