"""The copy of the lake that a cluster reads, on an object store, if `LAKE_URI` is a URL.

Workers write and commit to the home's disk, because they need hard links and locks. The files of a committed
batch never change, so each is copied once, and the copy is complete if each file has the right size. Two
operations do change a batch. An erasure rewrites its files, so all are copied again. A discarded file gives
its batch other files, under other names.
"""

import hashlib
import json
from collections.abc import Container, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

from fsspec import AbstractFileSystem

from ingestion.lake.batches import Lake
from ingestion.lake.erasures import read_registry
from ingestion.lake.schemas import LAKE_TABLES
from paywall_warehouse.files import replace_text
from paywall_warehouse.home import Home
from paywall_warehouse.settings import Settings
from paywall_warehouse.uris import UPLOADS_AT_ONCE, open_filesystem, put_file, shown_uri


def copy_lake(settings: Settings) -> int:
    """Copy all committed batches that are not in the copy yet; return the number of bytes written.

    Does nothing if the cluster reads the home's own lake. Raises the exceptions of the copy's file system.
    """
    if not settings.is_lake_copied:
        return 0
    filesystem, root = open_filesystem(settings.lake)
    lake, own = Lake(settings.home), settings.home.lake
    _remove_copy_before_erasure(settings, filesystem, root)
    there = {path.lstrip("/"): int(info["size"]) for path, info in filesystem.find(root, detail=True).items()}
    manifests = lake.manifests()
    batches = [file for table in LAKE_TABLES for file in lake.parquet_files(table, manifests)]

    def target(file: Path) -> str:
        return f"{root}/{file.relative_to(own).as_posix()}"

    missing = [file for file in batches if there.get(target(file).lstrip("/")) != file.stat().st_size]

    def put(file: Path) -> int:
        put_file(filesystem, file, target(file))
        return file.stat().st_size

    with ThreadPoolExecutor(UPLOADS_AT_ONCE) as pool:
        # The price book is always copied, because its files are replaced.
        written = sum(pool.map(put, [*missing, *sorted(lake.price_book.glob("*.parquet"))]))
    _remove_discarded(filesystem, root, there, {target(file).lstrip("/") for file in batches})
    return written


def _remove_discarded(
    filesystem: AbstractFileSystem, root: str, there: Iterable[str], present: Container[str]
) -> None:
    """Remove the files that a discard has replaced in the lake. No later build reads them."""
    tables = tuple(f"{root}/{table}/batch=".lstrip("/") for table in LAKE_TABLES)
    for path in there:
        if path.startswith(tables) and path not in present:
            with suppress(FileNotFoundError):
                filesystem.rm_file(f"{'/' if root.startswith('/') else ''}{path}")


def _remove_copy_before_erasure(settings: Settings, filesystem: AbstractFileSystem, root: str) -> None:
    """Remove a copy that was made before the last erasure, because rewritten files may have the same size."""
    # The key is a digest, because a URL may contain a password.
    name, copies = hashlib.sha256(settings.lake.encode()).hexdigest(), _copies(settings.home)
    present = {"shown": shown_uri(settings.lake), "erased_at": read_registry(settings.home).erased_at}
    if copies.get(name) == present:
        return
    for table in LAKE_TABLES:
        with suppress(FileNotFoundError):
            filesystem.rm(f"{root}/{table}", recursive=True)
    replace_text(_state_file(settings.home), json.dumps(copies | {name: present}))


def copies_before_erasure(home: Home) -> list[str]:
    """Return the URLs, without passwords, of the copies from before the last erasure."""
    erased_at = read_registry(home).erased_at
    return [str(one["shown"]) for one in _copies(home).values() if one["erased_at"] != erased_at]


def _copies(home: Home) -> dict[str, dict[str, str | None]]:
    """Return the recorded copies of this home's lake."""
    with suppress(FileNotFoundError):
        copies: dict[str, dict[str, str | None]] = json.loads(_state_file(home).read_text(encoding="utf-8"))
        return copies
    return {}


def _state_file(home: Home) -> Path:
    return home.root / "state" / "lake_copies.json"
