"""Saved views: named addresses of pages with their filters, in a file of the home that all users share."""

import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from filelock import FileLock

from paywall_warehouse.files import replace_text
from paywall_warehouse.home import Home

MOST_VIEWS = 100
NAME_CHARACTERS = 60
ADDRESS_CHARACTERS = 8000
LOCK_SECONDS = 5
# A page of the dashboard with parameters, and no other place.
ADDRESS = re.compile(r"(\./|[a-z]+)(\?[^\s<>\"']*)?")


@dataclass(frozen=True)
class View:
    """A saved view: its name, and its address relative to the dashboard's."""

    name: str
    address: str


class WrongViewError(Exception):
    """A view cannot be saved. The message says why and what to do."""


def saved_views(home: Home) -> list[View]:
    """Return the saved views by name. Entries that are not valid, and a file that is not, are skipped."""
    try:
        entries = json.loads(home.saved_views_file.read_text(encoding="utf-8"))
        return sorted(
            (
                View(entry["name"], entry["address"])
                for entry in entries
                if isinstance(entry["name"], str) and ADDRESS.fullmatch(entry["address"])
            ),
            key=lambda view: (view.name.casefold(), view.name),
        )
    except (OSError, ValueError, TypeError, KeyError):
        return []


def save_view(home: Home, name: str, address: str) -> None:
    """Save a view, in place of one with the same name. Raises `WrongViewError`."""
    name = " ".join(name.split())
    if not name:
        raise WrongViewError("The view needs a name.")
    if len(name) > NAME_CHARACTERS or not name.isprintable():
        raise WrongViewError(f"A name has at most {NAME_CHARACTERS} printable characters.")
    if len(address) > ADDRESS_CHARACTERS or not ADDRESS.fullmatch(address):
        raise WrongViewError("The filters are too long to be saved. Remove some of them.")
    with _locked(home):
        others = [view for view in saved_views(home) if view.name != name]
        if len(others) >= MOST_VIEWS:
            raise WrongViewError(f"There are {MOST_VIEWS} views already. Delete one first.")
        _write(home.saved_views_file, [*others, View(name, address)])


def delete_view(home: Home, name: str) -> None:
    """Delete a view, if it exists."""
    with _locked(home):
        _write(home.saved_views_file, [view for view in saved_views(home) if view.name != name])


def _locked(home: Home) -> FileLock:
    home.make()
    file = home.saved_views_file
    return FileLock(file.with_name(f"{file.name}.lock"), timeout=LOCK_SECONDS)


def _write(file: Path, views: Sequence[View]) -> None:
    replace_text(file, json.dumps([asdict(view) for view in views], ensure_ascii=False, indent=1) + "\n")
