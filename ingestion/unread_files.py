"""Files in the landing area that no source reads: in a folder of another name, or in none.

A file that nothing reads is told of in every run; it is neither loaded nor a reject, as nobody knows what it
was to be.
"""

import posixpath
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from ingestion.landing.area import Landing, LandingFile
from ingestion.sources.registry import SOURCES
from paywall_warehouse.settings import Settings

SHOWN = 5


@dataclass(frozen=True)
class UnreadFolder:
    """A folder of the landing area in which files lie that nothing reads; the landing area itself has no
    name.
    """

    name: str
    files: Sequence[LandingFile]
    nearest: str | None
    """The folder that was probably meant."""


def unread_warnings(settings: Settings) -> list[str]:
    """Return a sentence for each folder with files that nothing reads: where they lie, and where they would
    be read.
    """
    folders = unread_folders(Landing.of(settings))
    more = f"nothing reads what lies in {len(folders) - SHOWN:,} more folders of {settings.landing_shown}"
    return [
        *(_warning(settings, folder) for folder in folders[:SHOWN]),
        *([more] if len(folders) > SHOWN else []),
    ]


def unread_folders(landing: Landing) -> list[UnreadFolder]:
    """Return the folders with files that nothing reads."""
    by_folder: dict[str, list[LandingFile]] = {}
    for file in landing.files_outside(read_folders()):
        by_folder.setdefault(posixpath.dirname(file.path), []).append(file)
    return [UnreadFolder(name, files, _nearest(name, files)) for name, files in sorted(by_folder.items())]


def read_folders() -> list[str]:
    """Return the folders of the landing area that are read, with all that lies below them."""
    return list(dict.fromkeys(source.folder for source in SOURCES.values()))


def _nearest(folder: str, files: Iterable[LandingFile]) -> str | None:
    """The folder that is read whose name one of the folders has, or nearly has; of files in no folder the
    names tell.
    """
    known = read_folders()
    words = folder.lower().split("/") if folder else [_first_word(file) for file in files]
    exact = (word for word in words if word in known)
    close = (match for word in words for match in get_close_matches(word, known, 1))
    return next(exact, None) or next(close, None)


def _first_word(file: LandingFile) -> str:
    """The beginning of a file's name: `ledger` of `Ledger-2026-10.jsonl`."""
    return re.split(r"[^a-z]", posixpath.basename(file.path).lower(), maxsplit=1)[0]


def _warning(settings: Settings, folder: UnreadFolder) -> str:
    count, first = len(folder.files), folder.files[0].path
    what = f"nothing reads {first}" if count == 1 else f"nothing reads {count:,} files such as {first}"
    where = (
        f"{settings.landing_shown}/{folder.nearest}/"
        if folder.nearest
        else f"a folder of {settings.landing_shown} that is read"
    )
    known = ", ".join(f"{name}/" for name in read_folders())
    return (
        f"{what}: move {'it' if count == 1 else 'them'} to {where} (read are {known}; docs/inputs.md says"
        " what goes where)"
    )
