"""The command `paywall-warehouse`. What is slow to import is imported by the commands that need it."""

# ruff: noqa: PLC0415

import os
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated
from zoneinfo import ZoneInfo

import typer

from paywall_warehouse.errors import is_from_outside, words_of
from paywall_warehouse.quoting import printable
from paywall_warehouse.settings import Settings, SettingsError, load_settings, settings_warnings

NOT_PUBLISHED, WRONG_USAGE = 1, 2
UI_PORT, RECEIVER_PORT, DASHBOARD_PORT = 3000, 8080, 8501
LOOPBACK = ("127.0.0.1", "::1", "localhost")

app = typer.Typer(
    name="paywall-warehouse",
    help="The warehouse of a company that sells AI usage from prepaid balances.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


class WrongUsageError(Exception):
    """What was asked for cannot be done here; the text says why and what to do."""


def main() -> None:
    """The entry point: exit code 0, 1 or 2 and never a traceback for what the user can mend."""
    try:
        app()
    except (SettingsError, WrongUsageError) as error:
        _say(str(error))
        sys.exit(WRONG_USAGE)
    except KeyboardInterrupt:
        _say("Interrupted.")
        sys.exit(NOT_PUBLISHED)
    except Exception as error:
        if not is_from_outside(error):
            raise
        _say(words_of(error))
        sys.exit(NOT_PUBLISHED)


def _say(words: str = "") -> None:
    """Progress and errors go to stderr; what was asked for goes to stdout."""
    typer.echo(words, err=True)


@app.command()
def run(
    full_refresh: Annotated[
        bool, typer.Option("--full-refresh", help="Rebuild every table from the lake.")
    ] = False,
    sample: Annotated[
        bool, typer.Option("--sample", help="Land the sample data first where nothing has landed yet.")
    ] = False,
    wait: Annotated[
        bool,
        typer.Option(
            help="Wait where another run is at work on the home; else end at once with exit code 1."
        ),
    ] = True,
) -> None:
    """Load what landed, build, check and publish. Exit code 0: published, or nothing was new; 1: not
    published.
    """
    settings = ready_settings(builds=True)
    from ingestion.unloaded_files import nothing_landed

    if sample and not settings.stripe_api_key and nothing_landed(settings):
        _say("The landing area is empty: landing the sample data first.")
        _say(land_sample_data(settings))
        _say()
    from orchestration.cli.run import run_once
    from orchestration.instance import open_instance

    with open_instance(settings.home) as instance:
        code = run_once(settings, instance, full_refresh=full_refresh, wait=wait)
    raise typer.Exit(code)


@app.command()
def erase(
    user: Annotated[
        str, typer.Argument(help="The id of the person, as `user_id` in the marts.", metavar="USER")
    ],
    landing: Annotated[
        bool, typer.Option("--landing", help="Write the landed files that name the person anew, too.")
    ] = False,
) -> None:
    """Replace a person's id by a pseudonym, in the lake, the published file and the exports, for good. No sum
    changes.
    """
    try:
        user.encode()
    except UnicodeEncodeError:
        raise WrongUsageError("USER is not UTF-8 text, which no record can state.") from None
    settings = ready_settings(builds=True)
    from orchestration.cli.erase import erase_user

    raise typer.Exit(erase_user(settings, user, rewrite_landing=landing, progress=_say))


@app.command()
def discard(
    paths: Annotated[
        list[str],
        typer.Argument(
            help=(
                "Files as messages show them, such as ledger/a.jsonl, or as on the disk; patterns in quotes."
            ),
            metavar="PATH…",
        ),
    ],
) -> None:
    """Drop from the lake what landed files brought that was never published: a bad file that is to go, or to
    be loaded anew.
    """
    from ingestion.discard import DiscardError
    from orchestration.cli.discard import discard_files

    home = load_settings().home
    if not home.lake.is_dir():
        raise WrongUsageError(
            f"WAREHOUSE_HOME '{home.root}' has loaded nothing: there is nothing to discard. Is it the right"
            " home?"
        )
    try:
        lines = discard_files(ready_settings(), paths)
    except DiscardError as error:
        raise WrongUsageError(f"{error}\nNothing was changed.") from error
    for line in lines:
        typer.echo(printable(line))


@app.command()
def sample() -> None:
    """Land the sample data: real requests, and an invented business around them."""
    typer.echo(land_sample_data(ready_settings()))
    typer.echo("`paywall-warehouse run` publishes it.")


@app.command()
def status() -> None:
    """Show the last run, how fresh each source is, open breaks of payments, failed checks and rejected
    records.
    """
    from orchestration.cli.status import status_lines

    for line in status_lines(own_settings()):
        typer.echo(line)


@app.command()
def ui(
    port: Annotated[int, typer.Option(help="The port; 0 takes a free one.", min=0, max=65535)] = UI_PORT,
    host: Annotated[
        str, typer.Option(help="The address to listen on; another than this machine's own lets others in.")
    ] = LOOPBACK[0],
    workspace: Annotated[
        Path | None,
        typer.Option(
            help=(
                "Serve the code locations of this workspace file, without a daemon, on the instance of"
                " DAGSTER_HOME."
            )
        ),
    ] = None,
) -> None:
    """Start Dagster's web server and daemon on this machine: lineage, schedule, sensor, runs."""
    settings = ready_settings(builds=True) if workspace is None else load_settings()
    # A shell that starts this in the background leaves SIGINT ignored; SIGTERM would end this process without
    # its children.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    from orchestration.web_ui.children import no_child_survives

    with listen_on(host, port) as listener, suppress(KeyboardInterrupt), no_child_survives():
        address = web_address(host, listener.getsockname()[1])
        warn_of_exposure(
            host,
            "Dagster's UI asks for no password: whoever reaches it can start runs and read every number.",
        )
        _say(f"{address}  (Ctrl-C ends it)")
        from orchestration.web_ui.server import serve_ui, serve_web

        if workspace is not None:
            serve_web(settings, workspace, listener, host)
        else:
            from orchestration.instance import open_instance, prepare_dagster_home
            from warehouse.dbt_runner import Dbt

            with open_instance(settings.home):
                own_workspace = prepare_dagster_home(settings.home)
            Dbt(settings).prepare_manifest()
            os.environ.update(settings.tool_environment())
            serve_ui(settings, own_workspace, listener, host)
        _say("Dagster's web server or its daemon ended by itself: the lines above say why.")
        raise typer.Exit(NOT_PUBLISHED)


@app.command()
def receive(
    port: Annotated[
        int, typer.Option(help="The port; 0 takes a free one.", min=0, max=65535)
    ] = RECEIVER_PORT,
    host: Annotated[
        str, typer.Option(help="The address to listen on; another than this machine's own lets others in.")
    ] = LOOPBACK[0],
    seal_seconds: Annotated[
        float, typer.Option(help="A run finds deliveries by itself; a sensor after so many seconds.", min=1)
    ] = 60,
) -> None:
    """Take webhooks of Paywalls.ai: verify the signature, put them into the landing area for good, answer 2xx
    only then.
    """
    settings = ready_settings()
    if settings.paywalls_webhook_secret is None:
        raise WrongUsageError(
            "PAYWALLS_WEBHOOK_SECRET is not set: it is the secret of the webhook's subscription, which signs"
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
    # It has a line for each request of a flood.
    logging.getLogger("uvicorn").setLevel(logging.ERROR)
    limits = Limits(segment_seconds=seal_seconds)
    secret = settings.paywalls_webhook_secret.get_secret_value()
    listener = listen_on(host, port)
    warn_of_exposure(host, "Deliveries are signed, but not encrypted: put a proxy with TLS before it.")
    # uvicorn passes Ctrl-C on when everything is answered and sealed.
    with listener, suppress(KeyboardInterrupt):
        _say(
            f"Deliveries to {web_address(host, listener.getsockname()[1])} go to {landing.root}/{FOLDER} "
            " (health: /health, Ctrl-C ends it)"
        )
        server_of(Receiver(Path(landing.root), secret, settings.webhook_max_age_seconds, limits), limits).run(
            sockets=[listener]
        )


@app.command()
def dashboard(
    port: Annotated[
        int, typer.Option(help="The port; 0 takes a free one.", min=0, max=65535)
    ] = DASHBOARD_PORT,
    host: Annotated[
        str, typer.Option(help="The address to listen on; another than this machine's own lets others in.")
    ] = LOOPBACK[0],
) -> None:
    """Start the web dashboard: what is published, read-only, on this machine."""
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
                "The dashboard asks for no password: whoever reaches it reads every number. Set"
                " DASHBOARD_PASSWORD.",
            )
        elif settings.dashboard_password is not None:
            warn_of_exposure(
                host, "The password is asked for, but nothing is encrypted: put a proxy with TLS before it."
            )
        _say(
            f"{web_address(host, listener.getsockname()[1])} shows {settings.home.published_file}  (Ctrl-C"
            " ends it)"
        )
        # uvicorn passes Ctrl-C on when everything has ended.
        server.run(sockets=[listener])
    # What Streamlit leaves behind makes DuckDB's binding complain in 40 lines when the interpreter takes
    # itself apart.
    sys.stderr.flush()
    os._exit(0 if server.started else NOT_PUBLISHED)


@app.command()
def export(
    dataset: Annotated[
        str, typer.Argument(help="Such as ledger, users or daily_revenue.", metavar="DATASET")
    ],
    columns: Annotated[
        str | None,
        typer.Option("--columns", help="Columns, comma-separated; all if not given.", metavar="A,B"),
    ] = None,
    since: Annotated[
        str | None, typer.Option("--from", help="The first reporting day.", metavar="DAY")
    ] = None,
    until: Annotated[
        str | None, typer.Option("--to", help="The reporting day after the last.", metavar="DAY")
    ] = None,
    where: Annotated[
        list[str] | None,
        typer.Option(
            "--where",
            help="column=value, with != > >= < <= in place of =, or 'column in a,b'; all have to hold.",
            metavar="CONDITION",
        ),
    ] = None,
    encoding: Annotated[
        str | None,
        typer.Option(
            "--format",
            help="csv, parquet or jsonl; else what the name of the file says, else csv.",
            metavar="FORMAT",
        ),
    ] = None,
    output: Annotated[
        str,
        typer.Option(
            "--output",
            help="A file, compressed if its name ends in .gz or .zst, or - for stdout.",
            metavar="FILE|-",
        ),
    ] = "-",
) -> None:
    """Write one slice of the published warehouse to a file or to standard output, sorted as the dataset
    is.
    """
    import duckdb

    from exports.ad_hoc import SliceRequest
    from exports.filters import WrongSliceError
    from orchestration.cli.export import write_to
    from warehouse.published import NotPublishedError

    request = SliceRequest(
        dataset,
        None if columns is None else [name.strip() for name in columns.split(",")],
        since,
        until,
        where or [],
    )
    try:
        write_to(own_settings(), request, encoding, output, _say)
    except WrongSliceError as error:
        raise WrongUsageError(str(error)) from error
    except (NotPublishedError, OSError, duckdb.Error) as error:
        _say(f"{request.dataset} was not exported: {words_of(error)}")
        raise typer.Exit(NOT_PUBLISHED) from error


@app.command()
def pull(
    uri: Annotated[
        str,
        typer.Argument(
            help="The place of an export: what EXPORT_URI names where it is written.", metavar="URI"
        ),
    ],
    folder: Annotated[Path, typer.Argument(help="The folder to keep like it.", metavar="DIR")],
    datasets: Annotated[
        list[str] | None,
        typer.Option("--dataset", help="A dataset, once for each; all if not given.", metavar="NAME"),
    ] = None,
    encodings: Annotated[
        list[str] | None, typer.Option("--format", help="parquet or csv; all if not given.", metavar="FORMAT")
    ] = None,
    into: Annotated[
        Path | None,
        typer.Option(
            "--into",
            help="A DuckDB file, of which a table for each dataset is kept up to date.",
            metavar="FILE",
        ),
    ] = None,
    trust_sizes: Annotated[
        bool,
        typer.Option(
            "--trust-sizes", help="Do not read the files of the folder again: the right size is enough."
        ),
    ] = False,
) -> None:
    """Mirror an export: fetch the files that changed, verify them, and say what changed."""
    from exports.client.duckdb_tables import load_into
    from exports.client.mirror import PullError, describe
    from exports.client.mirror import pull as mirror

    fault: PullError | None = None
    try:
        done = mirror(
            uri, folder, datasets=datasets, formats=encodings, trust_sizes=trust_sizes, progress=_say
        )
    except PullError as error:
        fault, done = error, error.pulled
    for pulled in done:
        typer.echo(describe(pulled))
    try:
        # What is complete is loaded, whatever became of the rest.
        if into is not None and done:
            for line in load_into(folder, into, datasets=[pulled.dataset for pulled in done]):
                typer.echo(line)
    except PullError as error:
        fault = fault or error
    if fault is not None:
        _say(str(fault))
        raise typer.Exit(WRONG_USAGE if fault.is_wrong_usage else NOT_PUBLISHED)


def web_address(host: str, port: int) -> str:
    """What a browser on this machine opens."""
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def listen_on(host: str, port: int) -> socket.socket:
    """The socket of a server; raises `WrongUsageError` where its address cannot be used."""
    from paywall_warehouse.web.server import listen

    try:
        return listen(host, port)
    except OSError as error:
        raise WrongUsageError(
            f"{web_address(host, port)} cannot be listened on: {error.strerror}. Choose another --port or"
            " --host."
        ) from error


def warn_of_exposure(host: str, consequence: str) -> None:
    """Say it where others than this machine can reach a server."""
    if host not in LOOPBACK:
        _say(f"Warning: listening on {host}, which other machines may reach. {consequence}")


def own_settings() -> Settings:
    """Return the settings of a command, and warn of names that were probably meant for some."""
    settings = load_settings()
    for warning in settings_warnings():
        _say(f"Warning: {warning}")
    return settings


def ready_settings(*, builds: bool = False) -> Settings:
    """The settings of a command that works on a home: checked, and the home is there to write to."""
    settings = own_settings()
    if builds and settings.warehouse_target == "spark" and find_spec("dbt.adapters.spark") is None:
        raise WrongUsageError(
            "WAREHOUSE_TARGET 'spark' needs the extra `spark`, which is not installed here: `make run` sees"
            " to that (docs/scale.md)."
        )
    with usable(settings.home.root):
        settings.home.make()
        check_exports(settings)
        if settings.landing_uri is not None:
            check_landing(settings)
        else:
            from ingestion.sources.registry import SOURCES

            for source in SOURCES.values():
                (settings.home.landing / source.folder).mkdir(parents=True, exist_ok=True)
    if exposure := settings.home.exposure():
        _say(f"Warning: {exposure}")
    return settings


def check_landing(settings: Settings) -> None:
    """A landing area on this machine is there; elsewhere an empty one may look like none."""
    from ingestion.landing.area import Landing

    landing = Landing.of(settings)
    if landing.is_local and not Path(landing.root).is_dir():
        raise WrongUsageError(
            f"LANDING_URI '{settings.landing_shown}' is not allowed: there is no such folder. Make it, or"
            " correct the setting."
        )


def check_exports(settings: Settings) -> None:
    """A place for exports on this machine can be written to; of another one only the export itself can
    tell.
    """
    if "://" in settings.exports:
        return
    place = next(
        folder for folder in (Path(settings.exports), *Path(settings.exports).parents) if folder.exists()
    )
    if not place.is_dir() or not os.access(place, os.W_OK | os.X_OK):
        raise WrongUsageError(
            f"EXPORT_URI '{settings.exports}' is not allowed: {place} is no folder that this user may"
            " write to."
        )


@contextmanager
def usable(path: Path) -> Iterator[None]:
    """Say it plainly where the home cannot be used."""
    try:
        yield
    except OSError as error:
        fault = error.strerror or error
        raise WrongUsageError(
            f"WAREHOUSE_HOME '{path}' cannot be used: {fault}. Choose a folder that this user may write to."
        ) from error


def land_sample_data(settings: Settings) -> str:
    """Land the sample and describe it."""
    from filelock import FileLock

    from ingestion.landing.area import Landing
    from sample_data import describe, land_sample

    landing = Landing.of(settings)
    if not landing.is_local:
        raise WrongUsageError(
            f"LANDING_URI '{settings.landing_shown}' is not a local folder: the sample is landed in local"
            " folders only."
        )
    zone = ZoneInfo(settings.reporting_timezone)
    try:
        # Two samples with different last days must not be landed side by side.
        with FileLock(settings.home.root / ".sample.lock"):
            return describe(land_sample(Path(landing.root), settings.reporting_day(settings.now()), zone))
    except FileExistsError as error:
        raise WrongUsageError(str(error)) from error


if __name__ == "__main__":
    main()
