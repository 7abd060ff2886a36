"""A copy of the lake where a cluster reads it: on an object store, when `LAKE_URI` is a URL.

What workers write, and what is committed, is on this home's disk, which knows hard links and locks. The files
of a committed batch never change, so that a copy is made once and is complete when each file has its size. An
erasure does change them: after it all are copied again. Where a file is discarded its batch gets other files,
under other names.
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
    """Bring the copy up to what is committed; returns the bytes that were written. Raises what the file
    system of the copy raises.

    Does nothing where the cluster reads the home's own lake.
    """
    if not settings.is_lake_copied:
        return 0
    filesystem, root = open_filesystem(settings.lake)
    lake, own = Lake(settings.home), settings.home.lake
    _forget_erased(settings, filesystem, root)
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
        # The price book is a snapshot, which is replaced.
        written = sum(pool.map(put, [*missing, *sorted(lake.price_book.glob("*.parquet"))]))
    _forget_discarded(filesystem, root, there, {target(file).lstrip("/") for file in batches})
    return written


def _forget_discarded(
    filesystem: AbstractFileSystem, root: str, there: Iterable[str], present: Container[str]
) -> None:
    """Remove what batches consisted of before a file of theirs was discarded; no table of a later build names
    it.
    """
    tables = tuple(f"{root}/{table}/batch=".lstrip("/") for table in LAKE_TABLES)
    for path in there:
        if path.startswith(tables) and path not in present:
            with suppress(FileNotFoundError):
                filesystem.rm_file(f"{'/' if root.startswith('/') else ''}{path}")


def _forget_erased(settings: Settings, filesystem: AbstractFileSystem, root: str) -> None:
    """Remove a copy that was made before somebody was erased: files that were written anew may have the size
    that they had.
    """
    # By its digest: a URL may hold a password.
    name, copies = hashlib.sha256(settings.lake.encode()).hexdigest(), _copies(settings.home)
    present = {"shown": shown_uri(settings.lake), "erased_at": read_registry(settings.home).erased_at}
    if copies.get(name) == present:
        return
    for table in LAKE_TABLES:
        with suppress(FileNotFoundError):
            filesystem.rm(f"{root}/{table}", recursive=True)
    replace_text(_note(settings.home), json.dumps(copies | {name: present}))


def copies_before_erasure(home: Home) -> list[str]:
    """Where copies of the lake lie, passwords left out, that were made before the last person was erased from
    it.
    """
    erased_at = read_registry(home).erased_at
    return [str(one["shown"]) for one in _copies(home).values() if one["erased_at"] != erased_at]


def _copies(home: Home) -> dict[str, dict[str, str | None]]:
    """Every copy that was made of this home's lake."""
    with suppress(FileNotFoundError):
        copies: dict[str, dict[str, str | None]] = json.loads(_note(home).read_text(encoding="utf-8"))
        return copies
    return {}


def _note(home: Home) -> Path:
    return home.root / "state" / "lake_copies.json"
