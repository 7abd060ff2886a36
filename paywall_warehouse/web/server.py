"""A web server: its socket, and uvicorn with limits on what a client may send."""

import socket

import uvicorn
from starlette.types import ASGIApp

HEADER_BYTES = 65_536
# A browser sends clicks and filters.
MESSAGE_MEGABYTES = 4
CONNECTIONS, IDLE_SECONDS, STOP_SECONDS = 500, 30, 5


def listen(host: str, port: int) -> socket.socket:
    """Return the listening socket of a server. Raises `OSError` if the address cannot be used."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, port), family=family, backlog=1024)


def server_of(app: ASGIApp) -> uvicorn.Server:
    """Return the server of an application. At SIGTERM or SIGINT it finishes open requests within 5
    seconds.
    """
    config = uvicorn.Config(
        app,
        # h11 limits the size of the headers, which the faster parser does not.
        http="h11",
        h11_max_incomplete_event_size=HEADER_BYTES,
        ws="websockets-sansio",
        ws_max_size=MESSAGE_MEGABYTES << 20,
        ws_per_message_deflate=False,
        lifespan="on",
        log_config=None,
        access_log=False,
        # The address of the peer decides whether a header is trusted.
        proxy_headers=False,
        server_header=False,
        limit_concurrency=CONNECTIONS,
        timeout_keep_alive=IDLE_SECONDS,
        timeout_graceful_shutdown=STOP_SECONDS,
    )
    return uvicorn.Server(config)
