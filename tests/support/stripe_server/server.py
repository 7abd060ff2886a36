"""Starting and stopping the server in this process."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import uvicorn
from starlette.applications import Starlette

from tests.support.stripe_server.app import StripeApi
from tests.support.stripe_server.books import Books
from tests.support.stripe_server.faults import Faults
from tests.support.stripe_server.options import Options
from tests.support.stripe_server.request_log import RequestLog
from tests.support.stripe_server.runs import Runs

START_SECONDS = 20.0


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
    with socket.create_server(("127.0.0.1", port)) as listener, _serving(application, listener):
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        yield StripeServer(url, api_key, books, options, faults, runs, requests)


@contextmanager
def _serving(application: Starlette, listener: socket.socket) -> Iterator[None]:
    # A cut download is an error to uvicorn's log, and a request that hangs must not hold up the end of a
    # test.
    config = uvicorn.Config(
        application, log_config=None, log_level="critical", lifespan="off", timeout_graceful_shutdown=1
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, args=([listener],), name="stripe server", daemon=True)
    thread.start()
    deadline = time.monotonic() + START_SECONDS
    while not server.started:
        if not thread.is_alive() or time.monotonic() > deadline:
            raise RuntimeError("The Stripe test server did not start; its traceback is on stderr.")
        time.sleep(0.005)
    try:
        yield
    finally:
        server.should_exit = True
        thread.join(START_SECONDS)
