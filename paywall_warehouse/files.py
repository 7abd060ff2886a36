"""Files that appear whole or not at all."""

import hashlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path


def fsync_path(path: Path) -> None:
    """Force a file's content, or a folder's list of names, to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def private(path: str, flags: int) -> int:
    """An `opener` of files that nobody but their owner may read."""
    return os.open(path, flags, 0o600)


def sha256(path: Path) -> str:
    """The digest of a file's content, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sha256_of(content: bytes) -> str:
    """The digest of some bytes, in hexadecimal."""
    return hashlib.sha256(content).hexdigest()


def put_in_place(prepared: Path, path: Path) -> None:
    """Give a finished file of the same file system its name, and see that both outlast a power cut."""
    fsync_path(prepared)
    os.replace(prepared, path)
    fsync_path(path.parent)


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


def replace_text(path: Path, text: str) -> None:
    """`replace_file` for a small UTF-8 text."""
    replace_bytes(path, text.encode())


def replace_bytes(path: Path, content: bytes) -> None:
    """`replace_file` for a little content."""
    replace_file(path, lambda partial: _write_bytes(partial, content))


def _write_bytes(path: Path, content: bytes) -> None:
    path.write_bytes(content)


def move_folder(source: Path, target: Path) -> None:
    """Bring a finished folder to its place; what stood there from a killed attempt is removed first."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.exists():
        shutil.rmtree(target)
    for file in source.rglob("*"):
        fsync_path(file)
    fsync_path(source)
    os.rename(source, target)
    for folder in (target.parent, target.parent.parent):
        fsync_path(folder)
