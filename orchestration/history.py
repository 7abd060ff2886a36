"""Dagster's history in SQLite files: whether it is damaged, and what to do about it."""

import sqlite3
from contextlib import closing
from pathlib import Path

DATABASES = ("history/runs.db", "history/runs/index.db", "schedules/schedules.db")


class DamagedHistoryError(Exception):
    """Dagster's history cannot be used; the text says which file, why, and what to do."""

    def __init__(self, folder: Path, fault: str) -> None:
        super().__init__(
            f"Dagster's history of runs is damaged: {fault}.\n"
            "Stop every command and server that works on this home, move the history away, and start again:\n"
            f"  mkdir {folder}/damaged && mv {folder}/history {folder}/schedules {folder}/damaged/\n"
            "Only the history of runs and the switches of schedules and sensors in Dagster's UI start afresh."
            " What was loaded, published and exported stays as it is."
        )


def check_history(folder: Path) -> None:
    """Raise `DamagedHistoryError` where a file of the history in `DAGSTER_HOME` is damaged as a whole."""
    for file in (folder / name for name in DATABASES):
        if file.exists() and (fault := _fault(file)):
            raise DamagedHistoryError(folder, f"{file} {fault}")


def _fault(file: Path) -> str | None:
    try:
        with closing(sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True)) as connection:
            versions = [
                version
                for (version,) in connection.execute("select version_num from alembic_version order by 1")
            ]
    except sqlite3.OperationalError:
        # Not made to its end, which Dagster itself makes up for; or the disk, of which opening it for writing
        # tells more.
        return None
    except sqlite3.DatabaseError as error:
        return f"cannot be read ({error})"
    if len(versions) > 1:
        return (
            f"states {len(versions)} versions of its tables ({', '.join(versions)}): several programs made it"
            " at once"
        )
    return None
