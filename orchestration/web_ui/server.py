"""Dagster's web server behind the same guard as the dashboard, its daemon, and the code location of both."""

import json
import logging
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import uvicorn
from dagster import DagsterInstance
from dagster._cli.proxy_server_manager import ProxyServerManager
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load_target import WorkspaceFileTarget
from dagster._utils.log import configure_loggers
from dagster_webserver.app import create_app_from_workspace_process_context
from dagster_webserver.version import __version__
from starlette.types import ASGIApp

from orchestration.web_ui.graphql_requests import GraphqlRequests
from paywall_warehouse.settings import Settings
from paywall_warehouse.web.guard import Access, Guard
from paywall_warehouse.web.origins import Hosts
from paywall_warehouse.web.server import server_of

# The defaults of `dagster-webserver`: statement timeout in milliseconds, seconds until a connection is
# replaced, connections beyond the pool.
DATABASE_LIMITS = (15_000, 3600, 20)
POLL_MILLISECONDS = 2000
STOP_SECONDS = 60
LOG_LEVEL = "warning"
logger = logging.getLogger(__name__)


def serve_ui(settings: Settings, workspace: Path, listener: socket.socket, host: str) -> None:
    """Serve Dagster's UI and run its daemon.

    Raises KeyboardInterrupt on SIGINT or SIGTERM. Returns if the daemon ended by itself.
    """
    with ExitStack() as stack:
        instance = stack.enter_context(DagsterInstance.from_config(str(settings.home.dagster)))
        served = stack.enter_context(code_location(instance, workspace))
        daemon = stack.enter_context(running_daemon(served))
        _serve(settings, instance, served, listener, host, daemon)


def serve_web(settings: Settings, workspace: Path, listener: socket.socket, host: str) -> None:
    """Serve only Dagster's UI, for the code locations of a workspace file, on the `DAGSTER_HOME`."""
    with DagsterInstance.get() as instance:
        _serve(settings, instance, workspace, listener, host)


def guarded(settings: Settings, app: ASGIApp, host: str) -> ASGIApp:
    """Return Dagster's application behind access control, for a server that listens on `host`."""
    access = Access(
        name="Dagster's UI",
        remedy="Set DAGSTER_UI_HOSTS to the names by which others reach it, or which a proxy passes on.",
        hosts=Hosts.of(host, settings.dagster_ui_hosts),
    )
    return Guard(GraphqlRequests(app), access)


def _serve(
    settings: Settings,
    instance: DagsterInstance,
    workspace: Path,
    listener: socket.socket,
    host: str,
    daemon: "subprocess.Popen[bytes] | None" = None,
) -> None:
    configure_loggers(log_level=LOG_LEVEL.upper())
    instance.optimize_for_webserver(*DATABASE_LIMITS)
    target = WorkspaceFileTarget([str(workspace)])
    with WorkspaceProcessContext(
        instance, target, version=__version__, code_server_log_level=LOG_LEVEL
    ) as context:
        app = create_app_from_workspace_process_context(context, live_data_poll_rate=POLL_MILLISECONDS)
        server = server_of(guarded(settings, app, host))
        if daemon is not None:
            threading.Thread(target=_stop_without, args=(daemon, server), daemon=True).start()
        try:
            # Raises KeyboardInterrupt if a signal ended it.
            server.run(sockets=[listener])
        finally:
            # A second Ctrl-C would leave processes behind.
            for number in (signal.SIGINT, signal.SIGTERM):
                signal.signal(number, signal.SIG_IGN)


def _stop_without(daemon: "subprocess.Popen[bytes]", server: uvicorn.Server) -> None:
    """Stop the server when the daemon has ended: launched runs would never start."""
    daemon.wait()
    server.should_exit = True


@contextmanager
def code_location(instance: DagsterInstance, workspace: Path) -> Iterator[Path]:
    """Run the code servers of a workspace; yield a workspace file that names them."""
    with (
        ProxyServerManager(
            instance, WorkspaceFileTarget([str(workspace)]), code_server_log_level=LOG_LEVEL
        ) as servers,
        TemporaryDirectory(prefix="paywall-warehouse-") as folder,
    ):
        # JSON is valid YAML.
        served = Path(folder) / "workspace.yaml"
        served.write_text(
            json.dumps({"load_from": [dict(one) for one in servers.get_code_server_specs()]}),
            encoding="utf-8",
        )
        yield served


@contextmanager
def running_daemon(workspace: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """Run Dagster's daemon: schedules, sensors, queued runs."""
    arguments = [
        "run",
        "--log-level",
        "info",
        "--code-server-log-level",
        LOG_LEVEL,
        "--workspace",
        str(workspace),
    ]
    process = subprocess.Popen([sys.executable, "-m", "dagster._daemon", *arguments])
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            logger.warning("Dagster's daemon did not end within %d seconds; killing it.", STOP_SECONDS)
            process.kill()
            process.wait()
