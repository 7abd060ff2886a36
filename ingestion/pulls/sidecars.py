"""Pulled files and their sidecars: hidden files that state which request produced a file.

A sidecar is written before its file, so that a load always knows what the file covers. A sidecar without its
file covers nothing.
"""

import json
import posixpath
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final, TypeVar

from pydantic import TypeAdapter

from ingestion.landing.area import Landing

T = TypeVar("T")
SIDECAR: Final = ".run.json"
# A sidecar of a pull has less than 10 kB.
MAX_SIDECAR_BYTES: Final = 64 << 10


def sidecar_name(name: str) -> str:
    """Return the name of the sidecar of a pulled file."""
    return f".{name}{SIDECAR}"


def described_by(name: str) -> str | None:
    """Return the name of the file that a sidecar of this name describes; None for any other name."""
    return name[1:].removesuffix(SIDECAR) if name.startswith(".") and name.endswith(SIDECAR) else None


def land_with_sidecar(landing: Landing, folder: str, name: str, staged: Path, sidecar: Any) -> str:
    """Land a finished file after its sidecar, a dataclass. Returns its path relative to the landing area."""
    landing.put_text(f"{folder}/{sidecar_name(name)}", json.dumps(asdict(sidecar), indent=1))
    landing.put(f"{folder}/{name}", staged)
    return f"{folder}/{name}"


def described_files(landing: Landing, folder: str) -> Iterator[tuple[str, int]]:
    """Yield the location of each sidecar below a folder whose file still exists, and the file's size in
    bytes.
    """
    location = f"{landing.root}/{folder}"
    landing.filesystem.invalidate_cache(location)
    if not landing.filesystem.exists(location):
        return
    found = landing.filesystem.find(location, detail=True)
    for sidecar in found:
        parent, name = posixpath.split(sidecar)
        data = described_by(name)
        if data is not None and f"{parent}/{data}" in found:
            yield sidecar, found[f"{parent}/{data}"]["size"]


def read_sidecar(landing: Landing, location: str, kind: type[T]) -> T | None:
    """Return the sidecar of a kind at a location; None if there is none, or it is not one that a pull
    wrote.
    """
    try:
        return TypeAdapter(kind).validate_json(landing.beginning(location, MAX_SIDECAR_BYTES), strict=True)
    except (OSError, ValueError):
        return None
