"""Answers of the pull API: errors as JSON, and files with ETag, ranges and a limit of time."""

import asyncio
import re
import time
from collections.abc import Callable, Mapping
from typing import Any, Protocol, TypeVar

from anyio.to_thread import run_sync
from starlette.datastructures import Headers
from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

RETRY_AFTER_SECONDS = "5"
PIECE_BYTES = 256 << 10
# What a token may see must not be kept by a cache that serves others.
PRIVATE = {"Cache-Control": "private, no-cache", "Vary": "Authorization", "X-Content-Type-Options": "nosniff"}
Result = TypeVar("Result")
RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})", re.ASCII)


class ReadableFile(Protocol):
    """An open file of an answer."""

    def seek(self, position: int, /) -> int:
        """Go to a position."""
        ...

    def read(self, size: int, /) -> bytes:
        """Return the next bytes, none at the end."""
        ...

    def close(self) -> None:
        """Close the file."""
        ...


class ApiError(Exception):
    """A request that is refused: the status and the message of the answer."""

    def __init__(self, status: int, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.status, self.message = status, message
        self.headers = dict(headers or {})
        if status == 503:
            self.headers.setdefault("Retry-After", RETRY_AFTER_SECONDS)


def json_answer(content: Any, etag: str | None = None, status: int = 200) -> Response:
    """Return a JSON answer. Without an ETag, nobody may keep it."""
    headers = PRIVATE | ({"ETag": etag} if etag else {"Cache-Control": "no-store"})
    return JSONResponse(content, status, headers)


def error_answer(error: ApiError) -> Response:
    """Return the answer to a request that is refused."""
    headers = PRIVATE | {"Cache-Control": "no-store"} | error.headers
    return JSONResponse({"error": error.message}, error.status, headers)


def is_known(request: Headers, etag: str) -> bool:
    """Check whether the client has this representation already, by `If-None-Match`."""
    stated = ",".join(request.getlist("if-none-match"))
    tags = [tag.strip().removeprefix("W/") for tag in stated.split(",")]
    return etag in tags or "*" in tags


def not_modified(etag: str, headers: Mapping[str, str]) -> Response:
    """Return the answer 304."""
    return Response(status_code=304, headers={**PRIVATE, "ETag": etag, **headers})


def file_answer(
    file: ReadableFile,
    size: int,
    request: Headers,
    headers: Mapping[str, str],
    seconds: float,
    *,
    is_head: bool,
    is_cached: bool = False,
) -> Response:
    """Return an open file as an answer, or the range of it that the client requests. Closes the file.

    `is_cached` states that the file is in memory, so that reading it takes less time than a thread for it.

    Several ranges, and ranges of another version (`If-Range`), are answered with the whole file, as HTTP
    allows. Raises `ApiError` for a range behind the end.
    """
    own = {**PRIVATE, "Accept-Ranges": "bytes", **headers}
    begin, end, status = 0, size, 200
    is_current = request.get("if-range", own.get("ETag")) == own.get("ETag")
    stated = RANGE.fullmatch(request.get("range", "").strip()) if is_current else None
    if stated and (stated[1] or stated[2]):
        begin = int(stated[1]) if stated[1] else max(size - int(stated[2]), 0)
        end = min(int(stated[2]) + 1, size) if stated[1] and stated[2] else size
        if begin >= size or begin >= end:
            file.close()
            message = f"the file has {size} bytes; allowed: a range within them"
            raise ApiError(416, message, {"Content-Range": f"bytes */{size}"})
        own["Content-Range"], status = f"bytes {begin}-{end - 1}/{size}", 206
    own["Content-Length"] = str(end - begin)
    if is_head:
        file.close()
        return Response(status_code=status, headers=own)
    return _FileAnswer(file, range(begin, end), status, own, seconds, is_cached=is_cached)


class _FileAnswer(Response):
    """A part of an open file, sent piece by piece.

    Starlette's `StreamingResponse` starts two tasks for each answer, and a thread for each piece. For 200
    readers of kept pages, that took two thirds of the server's CPU (docs/measurements.md).
    """

    def __init__(
        self,
        file: ReadableFile,
        part: range,
        status: int,
        headers: Mapping[str, str],
        seconds: float,
        *,
        is_cached: bool,
    ) -> None:
        self._file, self._part, self._is_cached = file, part, is_cached
        self._deadline = time.monotonic() + seconds
        self.status_code, self.background = status, None
        self.init_headers(headers)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the part, until the client closes the connection. Closes the file."""
        gone = asyncio.create_task(_disconnected(receive))
        try:
            start = {"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers}
            await send(start)
            await self._call(self._file.seek, self._part.start)
            position = self._part.start
            while position < self._part.stop and not gone.done():
                piece = await self._call(self._file.read, min(PIECE_BYTES, self._part.stop - position))
                if not piece or time.monotonic() > self._deadline:
                    # The length is stated already: the server cuts the connection, and the client sees that.
                    raise TimeoutError("the response was not read in time, or its file was cut short")
                position += len(piece)
                await send({"type": "http.response.body", "body": piece, "more_body": True})
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            gone.cancel()
            self._file.close()

    async def _call(self, function: Callable[[int], Result], argument: int) -> Result:
        return function(argument) if self._is_cached else await run_sync(function, argument)


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
