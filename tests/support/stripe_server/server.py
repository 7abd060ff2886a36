"""Starting and stopping the server in this process."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from tests.support.loopback.request_log import RequestLog
from tests.support.loopback.serving import serving
from tests.support.stripe_server.app import StripeApi
from tests.support.stripe_server.books import Books
from tests.support.stripe_server.faults import Faults
from tests.support.stripe_server.options import Options
from tests.support.stripe_server.runs import Runs


@dataclass(frozen=True)
class StripeServer:
    """A running server, and all that a test sets and sees of it."""

    url: str
    """For `base_addresses` and `STRIPE_API_BASE`."""
    api_key: str
    books: Books
    options: Options
    faults: Faults
    runs: Runs
    requests: RequestLog


@contextmanager
def running(
    books: Books, api_key: str = "rk_test_x", options: Options | None = None, *, port: int = 0
) -> Iterator[StripeServer]:
    """Serve `books` on 127.0.0.1 until the block ends; port 0 takes a free one."""
    options, faults, requests = options or Options(), Faults(), RequestLog()
    runs = Runs(books, options, faults)
    application = StripeApi(books, api_key, options, faults, runs, requests).application()
    with (
        socket.create_server(("127.0.0.1", port)) as listener,
        serving(application, listener, "stripe server"),
    ):
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        yield StripeServer(url, api_key, books, options, faults, runs, requests)
