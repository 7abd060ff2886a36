"""Dagster's history in SQLite files, read without Dagster: damage with its remedy, and unfinished runs."""

import sqlite3
from contextlib import closing
from pathlib import Path

RUNS = "history/runs.db"
DATABASES = (RUNS, "history/runs/index.db", "schedules/schedules.db")

# The statuses of a run that has ended.
FINISHED = ("SUCCESS", "FAILURE", "CANCELED")


class DamagedHistoryError(Exception):
    """Dagster's history cannot be used. The message names the file, the reason and the remedy."""

    def __init__(self, folder: Path, fault: str) -> None:
        super().__init__(
            f"Dagster's history of runs is damaged: {fault}.\n"
            "Stop every command and server that works on this home, move the history away, and start again:\n"
            f"  mkdir {folder}/damaged && mv {folder}/history {folder}/schedules {folder}/damaged/\n"
            "Only the history of runs, and which schedules and sensors are switched on in Dagster's UI, start"
            " afresh. Loaded, published and exported data are not changed."
        )


def check_history(folder: Path) -> None:
    """Raise `DamagedHistoryError` if a file of the history in `DAGSTER_HOME` is damaged as a whole."""
    for file in (folder / name for name in DATABASES):
        if file.exists() and (fault := _fault(file)):
            raise DamagedHistoryError(folder, f"{file} {fault}")


def may_have_unfinished_runs(folder: Path) -> bool:
    """Check whether the history in `DAGSTER_HOME` has a run that has not ended; True if it cannot be read."""
    marks = ", ".join("?" for _ in FINISHED)
    try:
        with closing(_connect(folder / RUNS)) as connection:
            query = f"select exists (select 1 from runs where status not in ({marks}))"
            return bool(connection.execute(query, FINISHED).fetchone()[0])
    except sqlite3.Error:
        return True


def _connect(file: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True)


def _fault(file: Path) -> str | None:
    try:
        with closing(_connect(file)) as connection:
            versions = [
                version
                for (version,) in connection.execute("select version_num from alembic_version order by 1")
            ]
    except sqlite3.OperationalError:
        # The file is not complete, which Dagster repairs, or the disk is at fault. Opening it for writing
        # then gives a better message.
        return None
    except sqlite3.DatabaseError as error:
        return f"cannot be read ({error})"
    if len(versions) > 1:
        return (
            f"has {len(versions)} versions of its tables ({', '.join(versions)}): several programs created it"
            " at the same time"
        )
    return None
