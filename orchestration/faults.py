"""Faults of the machine that a run meets, told with what to do about them."""

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
# As DuckDB, SQLite and the operating system say it; SQLite has no words of its own for a log that it cannot
# make longer.
FULL_WORDS = (*map(os.strerror, sorted(FULL)), "disk is full", "Out of Disk")
FORBIDDEN_WORDS = (*map(os.strerror, sorted(FORBIDDEN)), "readonly database", "read-only")
UNCLEAR_WORDS = ("disk I/O error", "unable to open database file")
# Less is as good as none: Dagster's storage grows by as much within a run.
LITTLE_BYTES = 1 << 20


def remedy(words: str, place: Path) -> str | None:
    """What to do where these words of an error tell of a full disk or of a folder that is not ours to write;
    else None.
    """
    unclear = any(one in words for one in UNCLEAR_WORDS)
    if any(one in words for one in FULL_WORDS) or (
        unclear and shutil.disk_usage(_existing(place)).free < LITTLE_BYTES
    ):
        return (
            f"The disk is full, or a quota is used up (home: {place}): make room, then run again. What has"
            " been loaded is kept."
        )
    if any(one in words for one in FORBIDDEN_WORDS) or (unclear and not os.access(_existing(place), os.W_OK)):
        return (
            f"This user may not write there (home: {place}): give it the folder (chown, chmod, or mount it"
            " for writing), then run again."
        )
    if unclear:
        return (
            f"Look at the disk (home: {place}): its free space, a quota, its health; then run again. What has"
            " been loaded is kept."
        )
    return None


@contextmanager
def explain_faults(place: Path) -> Iterator[None]:
    """End the program in words where the machine cannot do what is needed before any step."""
    try:
        yield
    except (OSError, OperationalError) as error:
        words = first_line(error)
        if (advice := remedy(words, place)) is None:
            raise
        raise SystemExit(f"{words}\n{advice}") from error


def _existing(place: Path) -> Path:
    return next(folder for folder in (place, *place.parents) if folder.exists())
