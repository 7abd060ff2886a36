"""What tests of several files use: what is made once for all workers of pytest-xdist, and what only `make
soak` tries.
"""

import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

# What `folder_of_all` returns, where no fixture can be asked for it.
folder: Path | None = None


def once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], None]) -> Path:
    """A folder that the first test to ask for it fills; it may be read by all and changed by none."""
    root = folder_of_all(factory)
    made, done = root / name, root / f"{name}.done"
    with FileLock(root / f"{name}.lock"):
        if not done.exists():
            made.mkdir()
            make(made)
            done.touch()
    return made


def folder_of_all(factory: pytest.TempPathFactory) -> Path:
    """The folder of this test run that all its workers have in common."""
    own = factory.getbasetemp()
    return own.parent if "PYTEST_XDIST_WORKER" in os.environ else own


def in_soak(*values: Any) -> list[Any]:
    """Values of a parametrized test, each one tuple or the like, that are left to `make soak`."""
    return [
        pytest.param(*(value if isinstance(value, tuple) else (value,)), marks=pytest.mark.soak)
        for value in values
    ]


@contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """A folder that nobody may write to: for root, whom no permission stops, a mount."""
    if os.geteuid():
        folder.chmod(0o555)
        yield
        folder.chmod(0o755)
        return
    for arguments in (["--bind", str(folder)], ["-o", "remount,bind,ro"]):
        mounted = subprocess.run(
            ["mount", *arguments, str(folder)], capture_output=True, text=True, check=False
        )
        if mounted.returncode:
            pytest.skip(f"nothing can be mounted here: {mounted.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)
