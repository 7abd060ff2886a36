"""A copy of the lake where a cluster reads it: on an object store, when `LAKE_URI` is a URL.

What workers write, and what is committed, is on this home's disk, which knows hard links and locks. The files of a committed batch never
change, so that a copy is made once and is complete when each file has its size. An erasure does change them: after it all are copied again.
"""

import json
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

from fsspec import AbstractFileSystem

from ingestion.erasure.registry import read_registry
from ingestion.lake import Lake
from ingestion.tables import LAKE_TABLES
from paywall_warehouse.files import replace_text
from paywall_warehouse.settings import Settings
from paywall_warehouse.uris import UPLOADS_AT_ONCE, open_filesystem, put_file


def copy_lake(settings: Settings) -> int:
    """Bring the copy up to what is committed; returns the bytes that were written. Raises what the file system of the copy raises.

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
        return sum(pool.map(put, [*missing, *sorted(lake.price_book.glob("*.parquet"))]))


def _forget_erased(settings: Settings, filesystem: AbstractFileSystem, root: str) -> None:
    """Remove a copy that was made before somebody was erased: files that were written anew may have the size that they had."""
    note = settings.home.root / "state" / "lake_copy.json"
    noted = json.dumps({"lake": settings.lake, "erased_at": read_registry(settings.home).erased_at})
    if note.exists() and note.read_text(encoding="utf-8") == noted:
        return
    for table in LAKE_TABLES:
        with suppress(FileNotFoundError):
            filesystem.rm(f"{root}/{table}", recursive=True)
    replace_text(note, noted)
