"""Where bills lie in the landing area, and the account that a folder names."""

from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Final

from ingestion.landing.area import Landing, LandingFile

FOLDER: Final = "bills"
DEFAULT_ACCOUNT: Final = "default"
# These formats are files of the folder itself, such as `bills/scope.csv`. All others have a folder each.
CONFIGURATION: Final = ("scope", "models", "providers")


@dataclass(frozen=True)
class BillFacts:
    """What the place of a bill states. The bills of two idle accounts have the same bytes."""

    account: str
    covered_currency: None = None


def is_of_format(name: str, path: str) -> bool:
    """Return whether a landed path is a file of a format: in its folder, or with its name."""
    parts = PurePosixPath(path).parts
    if name in CONFIGURATION:
        return len(parts) == 2 and parts[1].lower().startswith(f"{name}.")
    return len(parts) > 2 and parts[1] == name


def facts_of(landing: Landing, file: LandingFile) -> BillFacts:
    """Return the account of a file: the first folder below that of the format, else `default`."""
    folders = PurePosixPath(file.path).parts[2:-1]
    return BillFacts(folders[0] if folders else DEFAULT_ACCOUNT)
