"""Starting and stopping a server in this process."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn
from starlette.applications import Starlette

START_SECONDS = 20.0


@contextmanager
def serving(application: Starlette, listener: socket.socket, name: str) -> Iterator[None]:
    """Serve an application on a listening socket, in a thread of this name, until the block ends."""
    # A cut download is an error to uvicorn's log, and a request that hangs must not hold up the end of a
    # test.
    config = uvicorn.Config(
        application, log_config=None, log_level="critical", lifespan="off", timeout_graceful_shutdown=1
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, args=([listener],), name=name, daemon=True)
    thread.start()
    deadline = time.monotonic() + START_SECONDS
    while not server.started:
        if not thread.is_alive() or time.monotonic() > deadline:
            raise RuntimeError(f"The {name} did not start; its traceback is on stderr.")
        time.sleep(0.005)
    try:
        yield
    finally:
        server.should_exit = True
        thread.join(START_SECONDS)
