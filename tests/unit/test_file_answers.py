"""A file as an answer: sent whole and in order, and closed however the answer ends."""

import asyncio
from io import BytesIO

import pytest
from starlette.datastructures import Headers
from starlette.types import Message

from exports.server.answers import PIECE_BYTES, file_answer

WHOLE = bytes(range(256)) * (5 * PIECE_BYTES // 256)


class Connection:
    """The server's side of a request: what was sent, and a client that closes after some pieces."""

    def __init__(self, closes_after: int | None = None) -> None:
        self.pieces: list[bytes] = []
        self._closes_after, self._closed, self._requested = closes_after, asyncio.Event(), False

    async def receive(self) -> Message:
        if not self._requested:
            self._requested = True
            return {"type": "http.request", "body": b"", "more_body": False}
        await self._closed.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        if body := message.get("body"):
            self.pieces.append(body)
        if len(self.pieces) == self._closes_after:
            self._closed.set()
        await asyncio.sleep(0)


def answered(file: BytesIO, size: int, connection: Connection, *, is_cached: bool, asks: str = "") -> None:
    headers = Headers({"range": asks} if asks else {})
    answer = file_answer(file, size, headers, {}, 60, is_head=False, is_cached=is_cached)
    asyncio.run(answer({"type": "http"}, connection.receive, connection.send))


@pytest.mark.parametrize("is_cached", [True, False])
@pytest.mark.parametrize(
    ("asks", "sent"), [("", WHOLE), (f"bytes=7-{PIECE_BYTES + 7}", WHOLE[7 : PIECE_BYTES + 8])]
)
def test_a_file_is_sent_in_pieces_and_closed(asks: str, sent: bytes, is_cached: bool) -> None:
    file, connection = BytesIO(WHOLE), Connection()
    answered(file, len(WHOLE), connection, is_cached=is_cached, asks=asks)
    assert b"".join(connection.pieces) == sent
    assert max(map(len, connection.pieces)) == PIECE_BYTES
    assert file.closed


@pytest.mark.parametrize("is_cached", [True, False])
def test_what_a_client_does_not_wait_for_is_not_read(is_cached: bool) -> None:
    file, connection = BytesIO(WHOLE), Connection(closes_after=2)
    answered(file, len(WHOLE), connection, is_cached=is_cached)
    assert len(connection.pieces) < 5
    assert file.closed


def test_a_file_that_ends_early_cuts_the_connection() -> None:
    file, connection = BytesIO(WHOLE[: 2 * PIECE_BYTES]), Connection()
    with pytest.raises(TimeoutError):
        answered(file, len(WHOLE), connection, is_cached=True)
    assert b"".join(connection.pieces) == WHOLE[: 2 * PIECE_BYTES]
    assert file.closed


def test_an_answer_without_bytes_ends() -> None:
    file, connection = BytesIO(), Connection()
    answered(file, 0, connection, is_cached=True)
    assert connection.pieces == []
    assert file.closed
