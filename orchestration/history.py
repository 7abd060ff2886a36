"""Dagster's history in SQLite files: the check for damage, and the advice if it is damaged."""

import sqlite3
from contextlib import closing
from pathlib import Path

DATABASES = ("history/runs.db", "history/runs/index.db", "schedules/schedules.db")


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


def _fault(file: Path) -> str | None:
    try:
        with closing(sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True)) as connection:
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
