"""What lies in a local folder, told without opening it: regular files, and all that is none and so must not
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
    """Something in a folder that is no folder itself, or a folder whose content cannot be told."""

    location: str
    info: dict[str, Any]
    hindrance: tuple[str, str] | None
    """Why it is not to be opened: a code of `reasons`, and words."""


def files_below(folder: str, root: str, passed_over: Collection[str] = ()) -> Iterator[Found]:
    """Yield all that lies below a folder, but for what lies in some folders.

    Links to folders are not followed; links to files, where they lead to one below `root`.
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
            if entry.path in passed_over:
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
    """What the disk says of a file, behind links; of a link that leads nowhere, what it says of the link."""
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
        # Opening a pipe waits for ever, and a device may never end.
        return (
            reject_codes.NOT_A_FILE,
            (
                "it is no regular file (a pipe, a device, a link to a folder) and is not opened; land a"
                " regular file"
            ),
        )
    return None


def _unopenable(error: OSError) -> tuple[str, str]:
    return reject_codes.UNREADABLE_FILE, f"it cannot be opened ({error.strerror}); mend that, or delete it"
