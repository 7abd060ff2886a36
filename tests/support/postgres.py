"""A Postgres server of a test's own, from the system's packages (Debian's `postgresql`), on a socket in a
temporary folder.
"""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


def _program(name: str) -> str | None:
    """Return where a program of the server lies; Debian keeps them out of PATH."""
    return shutil.which(name) or next(
        (str(path) for path in sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))), None
    )


def _as_server(*command: str) -> None:
    """Run a command as somebody other than root, whom the server refuses."""
    prefix = ["runuser", "-u", "postgres", "--"] if os.getuid() == 0 else []
    subprocess.run([*prefix, *command], check=True, capture_output=True, timeout=60)


@contextmanager
def postgres() -> Iterator[dict[str, str]]:
    """Yield the environment with which `psql` reaches a fresh server; skip the test where Postgres is not
    installed.

    With `CI` set, a missing server fails the test: CI installs it.
    """
    programs = {name: _program(name) for name in ("initdb", "pg_ctl", "psql")}
    if None in programs.values():
        (pytest.fail if os.environ.get("CI") else pytest.skip)(
            "Postgres is not installed (Debian: postgresql)"
        )
    # A socket's path may have about 100 characters, which a folder of pytest's exceeds.
    folder = Path(tempfile.mkdtemp(prefix="pg-"))
    data = folder / "data"
    try:
        if os.getuid() == 0:
            shutil.chown(folder, "postgres")
        _as_server(
            str(programs["initdb"]), "-D", str(data), "--auth=trust", "--username=postgres", "--no-sync"
        )
        options = f"-k {folder} -c listen_addresses='' -c fsync=off"
        _as_server(
            str(programs["pg_ctl"]), "-D", str(data), "-w", "-l", str(folder / "log"), "-o", options, "start"
        )
        try:
            yield {
                "PATH": os.environ["PATH"],
                "PGHOST": str(folder),
                "PGUSER": "postgres",
                "PGDATABASE": "postgres",
            }
        finally:
            _as_server(str(programs["pg_ctl"]), "-D", str(data), "-m", "immediate", "stop")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
