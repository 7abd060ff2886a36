"""Atomic file operations: a file appears whole or not at all."""

import errno
import hashlib
import os
import re
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path

NO_LINKS = (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS)


def fsync_path(path: Path) -> None:
    """Force a file's content, or a folder's list of names, to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def private(path: str, flags: int) -> int:
    """Open a file that only its owner may read; an `opener` for `open`."""
    return os.open(path, flags, 0o600)


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file's content, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sha256_of(content: bytes) -> str:
    """Return the SHA-256 of some bytes, in hexadecimal."""
    return hashlib.sha256(content).hexdigest()


def put_in_place(prepared: Path, path: Path) -> None:
    """Move a finished file within its file system to its name, durably."""
    fsync_path(prepared)
    os.replace(prepared, path)
    fsync_path(path.parent)


def put_where_nothing_is(prepared: Path, path: Path) -> bool:
    """Give a finished file a name that does not exist yet; return False if it exists.

    If several processes try this at the same time, one of them succeeds. On a file system without hard links,
    such as exFAT, they must not try at the same time. A run does not, because it holds the writer lock; the
    workers of `ingest_parallel` need hard links.
    """
    fsync_path(prepared)
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(prepared, path)
    except FileExistsError:
        # A network file system reports this, too, if its first answer was lost and the request repeated.
        if not os.path.samefile(prepared, path):
            return False
    except OSError as error:
        if error.errno not in NO_LINKS:
            raise
        if path.exists():
            return False
        prepared.replace(path)
    fsync_path(path.parent)
    return True


def replace_file(path: Path, write: Callable[[Path], None]) -> None:
    """Write beside `path`, then swap: readers see the old file or the new one, never half.

    `write` gets the path of the partial file and must leave it complete and closed. On an error the
    partial file is removed and the old file stays.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        write(partial)
        put_in_place(partial, path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def remove_partials(folders: Iterable[Path]) -> None:
    """Remove the partial files that killed processes left in these folders and below.

    Partial files of running processes stay.
    """
    for path in [path for folder in folders for path in folder.rglob(".*.partial")]:
        writer = re.search(r"\.(\d+)\.partial$", path.name)
        if writer and has_ended(int(writer[1])):
            path.unlink(missing_ok=True)


def has_ended(process: int) -> bool:
    """Check whether the process with this number, which was written down earlier, has ended."""
    if process == os.getpid():
        # An earlier process had the number of this one: the first process in a container always has the same.
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return True
    except (PermissionError, OverflowError):  # a process of another user; not a process number
        pass
    return False


def replace_text(path: Path, text: str) -> None:
    """Replace a file by a small UTF-8 text as `replace_file` does."""
    replace_bytes(path, text.encode())


def replace_bytes(path: Path, content: bytes) -> None:
    """Replace a file by a small content as `replace_file` does."""
    replace_file(path, lambda partial: _write_bytes(partial, content))


def _write_bytes(path: Path, content: bytes) -> None:
    path.write_bytes(content)


def move_folder(source: Path, target: Path) -> None:
    """Move a finished folder to its place durably. A folder that a killed attempt left there is removed."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.exists():
        shutil.rmtree(target)
    for file in source.rglob("*"):
        fsync_path(file)
    fsync_path(source)
    os.rename(source, target)
    for folder in (target.parent, target.parent.parent):
        fsync_path(folder)
