"""Files that appear whole or not at all."""

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


def put_where_nothing_is(prepared: Path, path: Path) -> bool:
    """Give a finished file of the same file system a name that nothing has yet; False where something has it.

    Of several processes that try this at once one succeeds. Where the file system has no hard links, as
    exFAT, they must not try at once: a run does not, as it holds the lock of writers; workers of
    `ingest_parallel` need hard links.
    """
    fsync_path(prepared)
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(prepared, path)
    except FileExistsError:
        # A network file system says so too where its first answer got lost and it was asked again.
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
    """Remove what `replace_file` left in these folders, and below, when its process was killed; what a living
    one writes stays.
    """
    for path in [path for folder in folders for path in folder.rglob(".*.partial")]:
        writer = re.search(r"\.(\d+)\.partial$", path.name)
        if writer and has_ended(int(writer[1])):
            path.unlink(missing_ok=True)


def has_ended(process: int) -> bool:
    """Whether the process is gone that left its number somewhere before this one came to work."""
    if process == os.getpid():
        # Another had our number before us, as the first process in a container always has the same.
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return True
    except (PermissionError, OverflowError):  # somebody else's; no number of a process
        pass
    return False


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
