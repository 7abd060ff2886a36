"""Opening the places that a path or an fsspec URL names."""

import os
import re
from pathlib import Path
from typing import Any

import fsspec
from fsspec.implementations.local import LocalFileSystem

# An object store needs some time for each file, even a small one.
UPLOADS_AT_ONCE = 8


# A folder with such a name is not an accident. For some, `:///` is a URL, too: the default name node of HDFS.
STORES = "s3|s3a|s3n|gs|gcs|abfs|abfss|az|adl|wasbs?|https?|ftp|sftp|hdfs|webhdfs"
# `s3:/bucket`, `s3:bucket`, `s3//bucket`, `s3:///bucket`: a scheme without its `://`, or with one slash too
# many.
BROKEN_URL = re.compile(
    rf"\s*(?:(?P<scheme>[A-Za-z][A-Za-z0-9+.-]+):[/\\](?!/)|(?P<store>{STORES})(?::(?!//)|//)"
    r"|(?P<bucket>s3|s3a|gs|gcs|https?):///)",
    re.IGNORECASE,
)


def check_uri(uri: str) -> None:
    """Raise `ValueError` for a text that was meant as a URL but would be used as a path."""
    found = BROKEN_URL.match(uri)
    if found is not None:
        scheme = found["scheme"] or found["store"] or found["bucket"]
        raise ValueError(
            f"allowed: a URL, {scheme.lower()}:// and what follows, or a path (a folder of that name:"
            f" ./{scheme}:…)"
        )


def open_filesystem(uri: str, **options: Any) -> tuple[Any, str]:
    """Return the file system of a path or an fsspec URL, and the path in it, without a `/` at its end.

    Each store's library finds credentials in its own way; `options` are passed to it. Raises `ValueError` or
    `ImportError` for a protocol that cannot be opened here, and for a malformed URL.
    """
    check_uri(uri)
    # A path may contain what fsspec would interpret as a chain of URLs. Listings are not cached, because they
    # change.
    filesystem, root = (
        fsspec.core.url_to_fs(uri, use_listings_cache=False, **options)
        if "://" in uri
        else (LocalFileSystem(), os.path.abspath(uri))
    )
    return filesystem, root.rstrip("/")


def put_file(filesystem: Any, file: Path, path: str) -> None:
    """Write a local file to a store."""
    try:
        filesystem.put_file(str(file), path)
    except FileNotFoundError:
        # Some file systems need the folder first; for an object store this request would be superfluous.
        filesystem.makedirs(path.rpartition("/")[0], exist_ok=True)
        filesystem.put_file(str(file), path)


def shown_uri(uri: str) -> str:
    """Return a URL for messages, with the user and password in it masked."""
    return re.sub(r"//[^/]*@", "//***@", uri)
