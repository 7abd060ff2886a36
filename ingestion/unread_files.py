"""Files in the landing area that no source reads: in a folder with another name, or in no folder.

Every run warns about such a file. It is neither loaded nor a reject, because it is not known which source it
belongs to.
"""

import posixpath
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from ingestion.landing.area import Landing, LandingFile
from ingestion.sources.bills.files import FOLDER as BILLS
from ingestion.sources.bills.formats import BILL_FORMATS
from ingestion.sources.registry import BUILT_IN, sources
from paywall_warehouse.settings import Settings

SHOWN = 5


@dataclass(frozen=True)
class UnreadFolder:
    """A folder of the landing area with files that no source reads. The landing area itself has the name
    ''.
    """

    name: str
    files: Sequence[LandingFile]
    nearest: str | None
    """The source folder that was probably meant."""


def unread_warnings(settings: Settings) -> list[str]:
    """Return a sentence for each folder with files that nothing reads, and where to move them."""
    folders, known = unread_folders(settings), read_folders(settings)
    more = f"nothing reads the files in {len(folders) - SHOWN:,} more folders of {settings.landing_shown}"
    return [
        *(_warning(settings, folder, known) for folder in folders[:SHOWN]),
        *([more] if len(folders) > SHOWN else []),
    ]


def unread_folders(settings: Settings) -> list[UnreadFolder]:
    """Return the folders with files that nothing reads."""
    known, landing = read_folders(settings), Landing.of(settings)
    by_folder: dict[str, list[LandingFile]] = {}
    bills = [source for source in BUILT_IN.values() if source.folder == BILLS]
    unread_bills = (
        file for file in landing.files(BILLS) if not any(source.reads(file.path) for source in bills)
    )
    for file in (*landing.files_outside(known), *unread_bills):
        by_folder.setdefault(posixpath.dirname(file.path), []).append(file)
    return [
        UnreadFolder(name, files, _nearest(name, files, known)) for name, files in sorted(by_folder.items())
    ]


def read_folders(settings: Settings) -> list[str]:
    """Return the folders of the landing area that sources read, together with their subfolders."""
    return list(dict.fromkeys(source.folder for source in sources(settings.home).values()))


def _nearest(folder: str, files: Iterable[LandingFile], known: Sequence[str]) -> str | None:
    """Return the source folder whose name equals, or nearly equals, one of the folders of the path.

    For files in no folder, the names of the files are compared. Bills have a folder for each format.
    """
    words = folder.lower().split("/") if folder else [_first_word(file) for file in files]
    inside = words[1:] or [_first_word(file) for file in files] if words[0] == BILLS else words
    if format_name := _nearest_format(inside):
        return f"{BILLS}/{format_name}"
    exact = (word for word in words if word in known)
    # `stripe_reports` means `stripe`, although it looks more like `stripe_credits`.
    begun = (first for word in words if (first := re.split("[^a-z]", word)[0]) in known)
    close = (match for word in words for match in get_close_matches(word, known, 1))
    return next(exact, None) or next(begun, None) or next(close, None)


def _nearest_format(words: Sequence[str]) -> str | None:
    """Return the format of bills whose name equals, nearly equals or begins with a word; None without one."""
    formats = [one.subfolder for one in BILL_FORMATS if one.subfolder]
    close = (match for word in words for match in get_close_matches(word, formats, 1))
    begun = (name for word in words for name in formats if word and name.split("_")[0] == word)
    return next(close, None) or next(begun, None)


def _first_word(file: LandingFile) -> str:
    """Return the first word of a file's name, such as `ledger` for `Ledger-2026-10.jsonl`."""
    return re.split(r"[^a-z]", posixpath.basename(file.path).lower(), maxsplit=1)[0]


def _warning(settings: Settings, folder: UnreadFolder, folders: Sequence[str]) -> str:
    count, first = len(folder.files), folder.files[0].path
    what = f"nothing reads {first}" if count == 1 else f"nothing reads {count:,} files such as {first}"
    where = (
        f"{settings.landing_shown}/{folder.nearest}/"
        if folder.nearest
        else f"a folder of {settings.landing_shown} that is read"
    )
    known = ", ".join(f"{name}/" for name in folders)
    return (
        f"{what}: move {'it' if count == 1 else 'them'} to {where} (source folders: {known}; docs/inputs.md"
        " says what goes where)"
    )
