"""Dagster's instance of a home."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from alembic.util import CommandError
from dagster import DagsterInstance, DagsterInvalidConfigError
from filelock import FileLock
from sqlalchemy.exc import DatabaseError, OperationalError
from yaml import YAMLError

from orchestration.dagster_home import prepare_dagster_home
from orchestration.event_log import open_with_kept_event_log
from orchestration.faults import explain_faults
from orchestration.history import DamagedHistoryError
from orchestration.run_lock import settle_dead_runs
from paywall_warehouse.errors import first_line
from paywall_warehouse.home import Home


def open_instance(home: Home) -> DagsterInstance:
    """Return the instance of a home, after marking runs whose process died as failed.

    A fault of the machine, a damaged history, or settings that Dagster rejects end the program with a
    message.
    """
    with explain_faults(home.root), _readable(home.dagster):
        home.make()
        # Dagster's files must not be created by several processes at the same time.
        with FileLock(home.dagster / ".opening.lock"):
            prepare_dagster_home(home)
            instance = open_with_kept_event_log(str(home.dagster))
        settle_dead_runs(home, instance)
    return instance


@contextmanager
def _readable(folder: Path) -> Iterator[None]:
    """Exit with a message if Dagster cannot use the files in `DAGSTER_HOME`."""
    try:
        yield
    except DamagedHistoryError as error:
        raise SystemExit(str(error)) from error
    except OperationalError:  # a fault of the machine, which `explain_faults` handles
        raise
    except (DatabaseError, CommandError) as error:
        raise SystemExit(str(DamagedHistoryError(folder, first_line(error)))) from error
    except (DagsterInvalidConfigError, YAMLError) as error:
        raise SystemExit(
            f"{folder / 'dagster.yaml'} is not allowed: {error}\nCorrect it, or delete it: the next command"
            " writes a new one."
        ) from error
