"""Folders for temporary files that do not outlive their process, even if it is killed."""

import fcntl
import os
import shutil
import time
from pathlib import Path
from tempfile import TemporaryDirectory

# A folder is made and then locked. A younger one may not be locked yet.
YOUNGEST_SECONDS = 60


class TemporaryFolder:
    """A folder that is removed at the end of its process.

    A killed process leaves its folder, and the next one with the same prefix removes it. A lock shows that
    the process is alive: the system releases it when the process ends.
    """

    def __init__(self, prefix: str, parent: Path) -> None:
        _remove_left_over(prefix, parent)
        self._folder = TemporaryDirectory(prefix=prefix, dir=parent, ignore_cleanup_errors=True)
        self.path = Path(self._folder.name)
        self._descriptor = os.open(self.path, os.O_RDONLY)
        _lock(self._descriptor)

    def remove(self) -> None:
        """Remove the folder with its files."""
        self._folder.cleanup()
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def __enter__(self) -> Path:
        return self.path

    def __exit__(self, *_: object) -> None:
        self.remove()


def _remove_left_over(prefix: str, parent: Path) -> None:
    for folder in parent.glob(f"{prefix}*"):
        try:
            if time.time() - folder.stat().st_mtime < YOUNGEST_SECONDS:
                continue
            descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        except OSError:  # removed meanwhile, or of another user
            continue
        try:
            if _lock(descriptor):
                shutil.rmtree(folder, ignore_errors=True)
        finally:
            os.close(descriptor)


def _lock(descriptor: int) -> bool:
    """Lock an open folder. Returns False if another process holds it, or the file system has no locks."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
