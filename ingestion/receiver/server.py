"""The receiver in uvicorn: limits on connections and slow clients, and a stop that loses nothing."""

import uvicorn

from ingestion.receiver.app import Receiver
from ingestion.receiver.limits import Limits
from paywall_warehouse.web.deadlines import allow_open_files, protocol_with_deadlines


def server_of(receiver: Receiver, limits: Limits) -> uvicorn.Server:
    """Return the server. At SIGTERM or SIGINT it answers the requests in progress and seals the open
    segment.
    """
    allow_open_files(2 * limits.cut_off_connections)
    config = uvicorn.Config(
        receiver.application(),
        # h11 limits the size of the headers, which the faster parser does not.
        http=protocol_with_deadlines(limits.request_seconds, limits.cut_off_connections),
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        h11_max_incomplete_event_size=limits.header_bytes,
        limit_concurrency=limits.connections,
        timeout_keep_alive=limits.idle_seconds,
        timeout_graceful_shutdown=limits.stop_seconds,
    )
    return uvicorn.Server(config)
