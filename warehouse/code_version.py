"""The version of the code that decides the numbers."""

import hashlib
from functools import cache
from importlib.metadata import version
from pathlib import Path

# The packages that decide the numbers. The other rooms only decide when a number is computed.
SEMANTIC_PACKAGES = ("dbt_project", "ingestion", "paywall_warehouse", "warehouse")


@cache
def code_version() -> str:
    """Return the version of the distribution and a digest of the code that decides the numbers."""
    digest = folders_digest(*(Path(__file__).parents[1] / name for name in SEMANTIC_PACKAGES))
    return f"{version('paywall-warehouse')}+{digest[:12]}"


def folders_digest(*folders: Path) -> str:
    """Return a digest of the names and contents of the files in some folders, without what tools leave."""
    digest = hashlib.sha256()
    for folder in folders:
        for path in sorted(folder.rglob("*")):
            skipped = (
                path.name.startswith(".")
                or path.suffix == ".pyc"
                or path.relative_to(folder).parts[0] in ("target", "logs")
            )
            if not skipped and path.is_file():
                digest.update(f"{folder.name}/{path.relative_to(folder).as_posix()}\0".encode())
                digest.update(path.read_bytes())
    return digest.hexdigest()
