"""The access log: one line for each request, without tokens and without the values of parameters."""

import logging
import re
import time

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from paywall_warehouse.quoting import printable

TOKEN_NAME = "paywall_warehouse.token"  # noqa: S105  the key of the token's name in ASGI's scope
SECRET = re.compile(r"pwt_[\w-]*")
PATH_CHARACTERS = 200
log = logging.getLogger(__name__)


class AccessLog:
    """Wraps an application, and logs what it answers."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, and log it when it has ended."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begin, status, sent = time.monotonic(), 0, 0

        async def counted(message: Message) -> None:
            nonlocal status, sent
            if message["type"] == "http.response.start":
                status = message["status"]
            else:
                sent += len(message.get("body", b""))
            await send(message)

        try:
            await self._app(scope, receive, counted)
        finally:
            # The query has ids of users, and a client may put its token anywhere.
            path = printable(SECRET.sub("pwt_***", scope["path"])[:PATH_CHARACTERS])
            log.info(
                "%s %s %s %s %d, %d bytes, %.0f ms",
                (scope.get("client") or ("-",))[0],
                scope.get(TOKEN_NAME, "-"),
                scope["method"],
                path,
                status,
                sent,
                1000 * (time.monotonic() - begin),
            )
