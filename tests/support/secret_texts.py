"""Texts that must not reach a warehouse, and where they are looked for."""

import gzip
from pathlib import Path

import pyarrow.parquet as pq

MARK = "zqSECRET"


def assert_no_secret(home: Path) -> None:
    """Look for secrets in every byte of a home but its landing area, and in what is packed there."""
    for file in home.rglob("*"):
        if not file.is_file() or (home / "landing") in file.parents:
            continue
        content = file.read_bytes()
        content = gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content
        if file.suffix == ".parquet":
            content += repr(pq.ParquetFile(file).read().to_pydict()).encode()
        at = content.find(MARK.encode())
        assert at < 0, f"{file.relative_to(home)}: {content[max(0, at - 300) : at + 40]!r}"
