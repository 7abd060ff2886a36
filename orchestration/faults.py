"""Faults of the machine, such as a full disk, and the advice that a run prints about them."""

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy.exc import OperationalError

from paywall_warehouse.errors import first_line

FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
FORBIDDEN = {errno.EACCES, errno.EPERM, errno.EROFS}
# Parts of messages of DuckDB, SQLite and the operating system. SQLite has no message of its own for a log
# file that cannot grow.
FULL_MESSAGES = (*map(os.strerror, sorted(FULL)), "disk is full", "Out of Disk")
FORBIDDEN_MESSAGES = (*map(os.strerror, sorted(FORBIDDEN)), "readonly database", "read-only")
UNCLEAR_MESSAGES = ("disk I/O error", "unable to open database file")
# Below this, treat the disk as full: Dagster's storage grows by as much within a run.
MIN_FREE_BYTES = 1 << 20


def remedy(message: str, place: Path) -> str | None:
    """Return what to do about an error of the disk: no space, no write access, or an unclear fault.

    Returns None for other errors. `place` is the home that the advice names.
    """
    unclear = any(part in message for part in UNCLEAR_MESSAGES)
    if any(part in message for part in FULL_MESSAGES) or (
        unclear and shutil.disk_usage(_existing(place)).free < MIN_FREE_BYTES
    ):
        return (
            f"The disk is full, or a quota is used up (home: {place}). Free some space, then run again."
            " Loaded data are kept."
        )
    if any(part in message for part in FORBIDDEN_MESSAGES) or (
        unclear and not os.access(_existing(place), os.W_OK)
    ):
        return (
            f"This user may not write there (home: {place}). Give the user write access (chown, chmod, or"
            " mount the folder for writing), then run again."
        )
    if unclear:
        return (
            f"Check the disk (home: {place}): free space, quota and health. Then run again. Loaded data are"
            " kept."
        )
    return None


@contextmanager
def explain_faults(place: Path) -> Iterator[None]:
    """Exit with an error message and advice, without a traceback, on a fault that `remedy` knows."""
    try:
        yield
    except (OSError, OperationalError) as error:
        message = first_line(error)
        if (advice := remedy(message, place)) is None:
            raise
        raise SystemExit(f"{message}\n{advice}") from error


def _existing(place: Path) -> Path:
    return next(folder for folder in (place, *place.parents) if folder.exists())
