"""Starting and stopping the server in this process."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from tests.support.bill_server.app import BillServerApp, Options
from tests.support.bill_server.bills import Bills
from tests.support.loopback.faults import Faults
from tests.support.loopback.request_log import RequestLog
from tests.support.loopback.serving import serving


@dataclass(frozen=True)
class BillServer:
    """A running server, and all that a test sets and sees of it."""

    url: str
    """For the three settings with an API's address."""
    bills: Bills
    options: Options
    faults: Faults
    requests: RequestLog


@contextmanager
def running(bills: Bills, options: Options | None = None, *, port: int = 0) -> Iterator[BillServer]:
    """Serve `bills` on 127.0.0.1 until the block ends; port 0 takes a free one."""
    options, faults, requests = options or Options(), Faults(), RequestLog()
    application = BillServerApp(bills, options, faults, requests).application()
    with (
        socket.create_server(("127.0.0.1", port)) as listener,
        serving(application, listener, "bill server"),
    ):
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        yield BillServer(url, bills, options, faults, requests)
