"""The subcommands `ui`, `receive`, `dashboard` and `serve`: servers that run until they are stopped."""

# ruff: noqa: PLC0415  slow imports belong into the functions that need them

import os
import signal
import socket
import sys
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer

from orchestration.cli.common import (
    NOT_PUBLISHED,
    WrongUsageError,
    own_settings,
    ready_settings,
    say,
)
from paywall_warehouse.settings import load_settings

UI_PORT, RECEIVER_PORT, DASHBOARD_PORT, SERVE_PORT = 3000, 8080, 8501, 8090
LOOPBACK = ("127.0.0.1", "::1", "localhost")


def ui(
    port: Annotated[int, typer.Option(help="The port; 0 takes a free one.", min=0, max=65535)] = UI_PORT,
    host: Annotated[
        str, typer.Option(help="The address to listen on. By default only this machine can connect.")
    ] = LOOPBACK[0],
    workspace: Annotated[
        Path | None,
        typer.Option(
            help=(
                "Serve the code locations of this workspace file on the instance of DAGSTER_HOME, without a"
                " daemon."
            )
        ),
    ] = None,
) -> None:
    """Start Dagster's web server and daemon on this machine: lineage, schedules, sensors, runs."""
    settings = ready_settings(builds=True) if workspace is None else load_settings()
    # A process that a shell starts in the background ignores SIGINT. SIGTERM would end this process but not
    # its children.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    from orchestration.web_ui.children import no_child_survives

    with listen_on(host, port) as listener, suppress(KeyboardInterrupt), no_child_survives():
        address = web_address(host, listener.getsockname()[1])
        warn_of_exposure(
            host,
            "Dagster's UI has no password: everyone who can reach it can start runs and read every number.",
        )
        say(f"{address}  (Ctrl-C ends it)")
        from orchestration.web_ui.server import serve_ui, serve_web

        if workspace is not None:
            serve_web(settings, workspace, listener, host)
        else:
            from orchestration.dagster_home import prepare_dagster_home
            from orchestration.instance import open_instance
            from warehouse.dbt_runner import Dbt

            with open_instance(settings.home):
                own_workspace = prepare_dagster_home(settings.home)
            Dbt(settings).prepare_manifest()
            os.environ.update(settings.tool_environment())
            serve_ui(settings, own_workspace, listener, host)
        say("Dagster's web server or its daemon ended by itself. See the messages above for the reason.")
        raise typer.Exit(NOT_PUBLISHED)


def receive(
    port: Annotated[
        int, typer.Option(help="The port; 0 takes a free one.", min=0, max=65535)
    ] = RECEIVER_PORT,
    host: Annotated[
        str, typer.Option(help="The address to listen on. By default only this machine can connect.")
    ] = LOOPBACK[0],
    seal_seconds: Annotated[
        float,
        typer.Option(help="Seconds after which a sensor sees deliveries; a run loads them at once.", min=1),
    ] = 60,
) -> None:
    """Receive webhooks of Paywalls.ai: verify the signature, land the delivery, then answer 2xx."""
    settings = ready_settings()
    if settings.paywalls_webhook_secret is None:
        raise WrongUsageError(
            "PAYWALLS_WEBHOOK_SECRET is not set. It is the secret of the webhook's subscription, which signs"
            " each delivery."
        )
    from ingestion.landing.area import Landing

    landing = Landing.of(settings)
    if not landing.is_local:
        raise WrongUsageError(
            f"LANDING_URI '{settings.landing_shown}' is not a local folder: deliveries are appended to files"
            " on a disk."
        )
    import logging

    from ingestion.receiver.app import Receiver
    from ingestion.receiver.limits import Limits
    from ingestion.receiver.segments import FOLDER
    from ingestion.receiver.server import server_of

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    # uvicorn would log a line for each request of a flood.
    logging.getLogger("uvicorn").setLevel(logging.ERROR)
    limits = Limits(segment_seconds=seal_seconds)
    secret = settings.paywalls_webhook_secret.get_secret_value()
    listener = listen_on(host, port)
    warn_of_exposure(host, "Deliveries are signed, but not encrypted: put a proxy with TLS in front of it.")
    # uvicorn raises KeyboardInterrupt after everything is answered and sealed.
    with listener, suppress(KeyboardInterrupt):
        say(
            f"Deliveries to {web_address(host, listener.getsockname()[1])} go to {landing.root}/{FOLDER} "
            " (health: /health, Ctrl-C ends it)"
        )
        receiver = Receiver(
            Path(landing.root),
            secret,
            settings.webhook_max_age_seconds,
            limits,
            settings.home.receiver_file,
        )
        server_of(receiver, limits).run(sockets=[listener])


def dashboard(
    port: Annotated[
        int, typer.Option(help="The port; 0 takes a free one.", min=0, max=65535)
    ] = DASHBOARD_PORT,
    host: Annotated[
        str, typer.Option(help="The address to listen on. By default only this machine can connect.")
    ] = LOOPBACK[0],
) -> None:
    """Start the web dashboard of the published warehouse, read-only, on this machine."""
    settings = own_settings()
    with listen_on(host, port) as listener, suppress(KeyboardInterrupt):
        import logging

        from dashboard.server import application
        from paywall_warehouse.web.server import server_of

        logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(message)s")
        server = server_of(application(settings, host))
        if not settings.dashboard_is_protected:
            warn_of_exposure(
                host,
                "The dashboard has no password: everyone who can reach it can read every number. Set"
                " DASHBOARD_PASSWORD.",
            )
        elif settings.dashboard_password is not None:
            warn_of_exposure(
                host,
                "It asks for the password, but nothing is encrypted: put a proxy with TLS in front of it.",
            )
        say(
            f"{web_address(host, listener.getsockname()[1])} shows {settings.home.published_file}  (Ctrl-C"
            " ends it)"
        )
        # uvicorn raises KeyboardInterrupt after everything has ended.
        server.run(sockets=[listener])
    # Skip the interpreter's shutdown: because of objects that Streamlit leaves behind, DuckDB's binding would
    # print 40 lines of errors.
    sys.stderr.flush()
    os._exit(0 if server.started else NOT_PUBLISHED)


def serve(
    port: Annotated[int, typer.Option(help="The port; 0 takes a free one.", min=0, max=65535)] = SERVE_PORT,
    host: Annotated[
        str, typer.Option(help="The address to listen on. By default only this machine can connect.")
    ] = LOOPBACK[0],
) -> None:
    """Serve slices of the published warehouse and its exports over HTTP, for tokens (`token add`)."""
    settings = own_settings()
    with listen_on(host, port) as listener, suppress(KeyboardInterrupt):
        import logging

        from exports.server.limits import Limits
        from exports.server.server import server_of

        logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
        logging.getLogger("uvicorn").setLevel(logging.ERROR)
        warn_of_exposure(
            host, "Tokens are sent with every request, unencrypted: put a proxy with TLS in front of it."
        )
        address = web_address(host, listener.getsockname()[1])
        say(f"{address}/v1/catalog answers whoever has a token  (health: /health, Ctrl-C ends it)")
        # uvicorn raises KeyboardInterrupt after everything has ended.
        server_of(settings, Limits()).run(sockets=[listener])


def web_address(host: str, port: int) -> str:
    """Return the address that a browser on this machine opens."""
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def listen_on(host: str, port: int) -> socket.socket:
    """Return the socket of a server; raise `WrongUsageError` if its address cannot be used."""
    from paywall_warehouse.web.server import listen

    try:
        return listen(host, port)
    except OSError as error:
        raise WrongUsageError(
            f"{web_address(host, port)} cannot be listened on: {error.strerror}. Choose another --port or"
            " --host."
        ) from error


def warn_of_exposure(host: str, consequence: str) -> None:
    """Print a warning if other machines can reach a server."""
    if host not in LOOPBACK:
        say(f"Warning: listening on {host}, which other machines may reach. {consequence}")
