"""The content of a local folder, listed without opening a file: regular files, and everything that must not
be opened.
"""

import os
import stat
from collections.abc import Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from ingestion.validation import reject_codes


@dataclass(frozen=True)
class Found:
    """An entry of a folder that is not a folder, or a folder that cannot be listed."""

    location: str
    info: dict[str, Any]
    hindrance: tuple[str, str] | None
    """Why it must not be opened: a reject code and a message."""


def files_below(folder: str, root: str, skipped: Collection[str] = ()) -> Iterator[Found]:
    """Yield everything below a folder except for the content of the skipped folders.

    Links to folders are not followed. Links to files are followed if the file is below `root`.
    """
    folders = [folder]
    while folders:
        here = folders.pop()
        if here != root and os.path.islink(here) and (hindrance := _hindrance(here, root, stat.S_ISDIR)):
            yield Found(here, file_stat(here), hindrance)
            continue
        try:
            with os.scandir(here) as entries:
                inside = list(entries)
        except FileNotFoundError:
            continue
        except OSError as error:
            yield Found(here, file_stat(here), _unopenable(error))
            continue
        for entry in inside:
            if entry.path in skipped:
                continue
            if entry.is_dir(follow_symlinks=False):
                folders.append(entry.path)
                continue
            is_plain = entry.is_file(follow_symlinks=False)
            with suppress(FileNotFoundError):  # gone since it was listed
                yield Found(
                    entry.path,
                    file_stat(entry.path),
                    None if is_plain else _hindrance(entry.path, root, stat.S_ISREG),
                )


def file_stat(location: str) -> dict[str, Any]:
    """Return the listing entry of the file that a path or link leads to; of a broken link, that of the
    link.
    """
    try:
        about = os.stat(location)
    except OSError:
        about = os.lstat(location)
    return {
        "size": about.st_size,
        "mtime": about.st_mtime,
        "changed": (about.st_mtime_ns, about.st_ctime_ns, about.st_ino),
    }


def _hindrance(location: str, root: str, is_wanted: Any) -> tuple[str, str] | None:
    try:
        mode = os.stat(location).st_mode
    except OSError as error:
        return _unopenable(error)
    if not os.path.realpath(location).startswith(os.path.join(os.path.realpath(root), "")):
        return (
            reject_codes.OUTSIDE_THE_LANDING_AREA,
            "the link leads out of the landing area and is not followed; land the file itself",
        )
    if not is_wanted(mode):
        # Opening a pipe may wait forever, and a device may never end.
        return (
            reject_codes.NOT_A_FILE,
            (
                "it is not a regular file (a pipe, a device, a link to a folder) and is not opened; land a"
                " regular file"
            ),
        )
    return None


def _unopenable(error: OSError) -> tuple[str, str]:
    return reject_codes.UNREADABLE_FILE, f"it cannot be opened ({error.strerror}); correct that, or delete it"
