"""Helpers that the subcommands share: exit codes, checked settings, output."""

# ruff: noqa: PLC0415  slow imports belong into the functions that need them

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from zoneinfo import ZoneInfo

import typer

from paywall_warehouse.settings import ENV_FILE, Settings, load_settings, settings_warnings
from warehouse.extras import missing_extra

NOT_PUBLISHED, WRONG_USAGE = 1, 2


class WrongUsageError(Exception):
    """The command was called with values that it cannot use. The message gives the reason and the remedy."""


def say(message: str = "") -> None:
    """Print progress or an error to stderr: stdout is for the command's result."""
    typer.echo(message, err=True)


def own_settings() -> Settings:
    """Return the settings, and warn about names that look like misspelt settings."""
    settings = load_settings()
    for warning in settings_warnings([*_variables_of_pulls(settings), *_variables_of_alerts(settings)]):
        say(f"Warning: {warning}")
    return settings


def _variables_of_pulls(settings: Settings) -> list[str]:
    """Return the variables of connection strings that mappings read, if there is a `.env` to state them."""
    if not Path(ENV_FILE).exists():
        return []
    from ingestion.sources.registry import mappings_of

    return [mapping.pull.dsn_variable for mapping in mappings_of(settings.home).values() if mapping.pull]


def _variables_of_alerts(settings: Settings) -> list[str]:
    """Return the variables of the routes of alerts, if there is a `.env` to state them."""
    if not Path(ENV_FILE).exists() or not settings.home.alerts_file.exists():
        return []
    from warehouse.alerts.definitions import variables_of

    return variables_of(settings.home)


def ready_settings(*, builds: bool = False) -> Settings:
    """Return the settings of a command that writes to a home: checked, and the home exists.

    `builds` is for commands that build the warehouse, for which the engine must be installed.
    """
    settings = own_settings()
    if builds:
        _check_engine(settings)
    with _usable(settings.home.root):
        settings.home.make()
        _check_exports(settings)
        if settings.landing_uri is not None:
            _check_landing(settings)
        else:
            from ingestion.sources.registry import sources

            for source in sources(settings.home).values():
                (settings.home.landing / source.folder).mkdir(parents=True, exist_ok=True)
    if exposure := settings.home.exposure():
        say(f"Warning: {exposure}")
    return settings


def land_sample_data(settings: Settings) -> str:
    """Land the sample data and return a description of them."""
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


def close_months_of_sample(settings: Settings) -> None:
    """Close the first two months of the published sample, then land an entry of the second one, late."""
    from filelock import Timeout

    from ingestion.landing.area import Landing
    from sample_data.late import late_entry
    from warehouse.closing import PeriodRefusedError, close_months

    late = late_entry(Path(Landing.of(settings).root), ZoneInfo(settings.reporting_timezone))
    try:
        with settings.home.run_lock.acquire(blocking=False):
            close_months(settings, late.months, "sample data", "invented, like all people of the sample")
    except (PeriodRefusedError, Timeout) as error:
        say(f"The sample's first months stay open: {error}")
        return
    say(late.land())
    say()


def _check_engine(settings: Settings) -> None:
    if extra := missing_extra(settings):
        raise WrongUsageError(
            f"WAREHOUSE_TARGET '{settings.warehouse_target}' needs the extra `{extra}`, which is not"
            " installed. `make run` installs it (docs/scale.md)."
        )


def _check_landing(settings: Settings) -> None:
    """Require that a local landing area exists; a remote one that is empty may look as if it did not."""
    from ingestion.landing.area import Landing

    landing = Landing.of(settings)
    if landing.is_local and not Path(landing.root).is_dir():
        raise WrongUsageError(
            f"LANDING_URI '{settings.landing_shown}' is not allowed: there is no such folder. Make it, or"
            " correct the setting."
        )


def _check_exports(settings: Settings) -> None:
    """Require that a local export folder is writable. Only the export itself can check a remote one."""
    if "://" in settings.exports:
        return
    folders = (Path(settings.exports), *Path(settings.exports).parents)
    place = next(folder for folder in folders if folder.exists())
    if not place.is_dir() or not os.access(place, os.W_OK | os.X_OK):
        raise WrongUsageError(
            f"EXPORT_URI '{settings.exports}' is not allowed: {place} is not a folder that this user may"
            " write to."
        )


@contextmanager
def _usable(path: Path) -> Iterator[None]:
    """Turn an operating system error into a message that names the home."""
    try:
        yield
    except OSError as error:
        fault = error.strerror or error
        raise WrongUsageError(
            f"WAREHOUSE_HOME '{path}' cannot be used: {fault}. Choose a folder that this user may write to."
        ) from error
