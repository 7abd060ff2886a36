"""A receiver of alerts on loopback: it logs every request, and answers as a test wants."""

import json
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from tests.support.loopback.answers import answered
from tests.support.loopback.faults import Faults
from tests.support.loopback.serving import serving


@dataclass
class Received:
    """A request that arrived."""

    body: bytes
    headers: dict[str, str]
    status: int = 0
    """The answer; 0 where it is held back."""

    @property
    def payload(self) -> dict[str, Any]:
        """The JSON of the body."""
        content: dict[str, Any] = json.loads(self.body)
        return content

    @property
    def key(self) -> str:
        """The idempotency key."""
        return self.headers["idempotency-key"]


@dataclass
class Receiver:
    """A running receiver."""

    url: str
    faults: Faults = field(default_factory=Faults)
    requests: list[Received] = field(default_factory=list)
    before_answer: Callable[[], None] = lambda: None

    @property
    def taken(self) -> list[Received]:
        """The requests that got an answer of success."""
        return [one for one in self.requests if one.status == 200]

    @property
    def events(self) -> list[tuple[str, str]]:
        """Type and rule of the messages that were taken, without doubles."""
        distinct = {one.key: one.payload for one in self.taken}
        return [(one["type"], one["rule"]) for one in distinct.values()]


@contextmanager
def alert_receiver() -> Iterator[Receiver]:
    """Serve a receiver until the block ends."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        receiver = Receiver(f"http://127.0.0.1:{listener.getsockname()[1]}/hooks/SECRET-PATH")

        async def take(request: Request) -> Response:
            one = Received(await request.body(), dict(request.headers))
            receiver.requests.append(one)
            receiver.before_answer()

            def log(status: int) -> None:
                one.status = status

            fault = receiver.faults.take(request.method, request.url.path)
            return await answered(request, fault, lambda: PlainTextResponse("ok SECRET-ANSWER"), log)

        application = Starlette(routes=[Route("/hooks/{name}", take, methods=["POST"])])
        with serving(application, listener, "alert-receiver"):
            yield receiver
