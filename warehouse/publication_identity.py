"""Which publication a file is, for processes that keep one open while another one replaces it."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Identity:
    """The identity of a publication. Each one is a new file, which replaces the previous one."""

    inode: int
    size: int
    modified_ns: int


def identity_of(file: Path) -> Identity | None:
    """Return the identity of the published file, None if there is none."""
    try:
        now = file.stat()
    except FileNotFoundError:
        return None
    return Identity(now.st_ino, now.st_size, now.st_mtime_ns)
