"""The answer to a request that a fault may meet."""

import asyncio
from collections.abc import Callable

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from tests.support.loopback.errors import ApiError
from tests.support.loopback.faults import Fault

# How often a held-back request looks whether its client has gone, seconds.
HANG_STEP = 0.05


async def answered(
    request: Request, fault: Fault | None, respond: Callable[[], Response], log: Callable[[int], None]
) -> Response:
    """The answer of `respond`, or what a fault makes of it.

    `log` gets the HTTP status; 0 where the answer is held back.
    """
    response = respond() if fault is None or fault.executed else None
    if fault and fault.error:
        response = fault.error.response()
    log(0 if response is None or (fault and fault.kind == "hang") else response.status_code)
    if fault and fault.kind == "hang":
        await _hold_back(request, fault)
    response = response or ApiError(503, "The server took too long.", kind="api_error").response()
    if fault and fault.kind == "cut":
        return _CutResponse(response, fault.keep)
    return _DrippingResponse(response, fault.seconds) if fault and fault.kind == "drip" else response


class _CutResponse(Response):
    """Promises the whole body in Content-Length and sends its beginning; uvicorn then closes the
    connection.
    """

    def __init__(self, whole: Response, keep: int | None) -> None:
        super().__init__(whole.body, whole.status_code)
        self.raw_headers = whole.raw_headers
        self._keep = len(whole.body) // 2 if keep is None else keep

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        await send({"type": "http.response.body", "body": self.body[: self._keep], "more_body": True})


class _DrippingResponse(Response):
    """Sends its body byte by byte, with a pause after each."""

    def __init__(self, whole: Response, pause: float) -> None:
        super().__init__(whole.body, whole.status_code)
        self.raw_headers = whole.raw_headers
        self._pause = pause

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        for place in range(len(self.body)):
            await send(
                {"type": "http.response.body", "body": self.body[place : place + 1], "more_body": True}
            )
            await asyncio.sleep(self._pause)
        await send({"type": "http.response.body", "body": b""})


async def _hold_back(request: Request, fault: Fault) -> None:
    loop = asyncio.get_running_loop()
    end = loop.time() + fault.seconds
    while loop.time() < end and not await request.is_disconnected():
        await asyncio.sleep(HANG_STEP)
