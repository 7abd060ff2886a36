"""The pull API in uvicorn: limits on connections and slow clients."""

import uvicorn

from exports.server.app import PullApi
from exports.server.limits import Limits
from paywall_warehouse.settings import Settings
from paywall_warehouse.web.deadlines import allow_open_files, protocol_with_deadlines

IDLE_SECONDS, STOP_SECONDS = 30, 10


def server_of(settings: Settings, limits: Limits) -> uvicorn.Server:
    """Return the server. At SIGTERM or SIGINT it finishes open responses within 10 seconds."""
    # Each response has a connection and a file.
    allow_open_files(2 * limits.cut_off_connections)
    config = uvicorn.Config(
        PullApi(settings, limits).application(),
        # h11 limits the size of the headers, which the faster parser does not.
        http=protocol_with_deadlines(limits.stall_seconds, limits.cut_off_connections),
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        h11_max_incomplete_event_size=limits.header_bytes,
        limit_concurrency=limits.connections,
        timeout_keep_alive=IDLE_SECONDS,
        timeout_graceful_shutdown=STOP_SECONDS,
    )
    return uvicorn.Server(config)
