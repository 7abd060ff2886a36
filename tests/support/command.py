"""The command `paywall-warehouse` as a process, with nothing of this one's environment but what it needs to
start: the executable, or a fork that has imported everything (`warm_start.py`).
"""

import io
import os
import subprocess
import sys
from contextlib import chdir, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any
from unittest.mock import patch

from tests.support.warm_start import COMMAND, WarmCommand

PASSED_ON = ("PATH", "HOME", "LANG", "PYTHONDONTWRITEBYTECODE", "PYTHONPATH")


def environment(home: Path, **variables: str) -> dict[str, str]:
    """The environment of a process that works on a home."""
    inherited = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    return inherited | {"WAREHOUSE_HOME": str(home)} | variables


def command(
    home: Path, *arguments: str, cwd: Path | None = None, timeout: float = 600, **variables: str
) -> subprocess.CompletedProcess[str]:
    """Run the command to its end in a fork; raises `TimeoutExpired` after `timeout` seconds."""
    return _to_its_end(WarmCommand, list(arguments), home, cwd, timeout, variables)


def real_command(
    home: Path, *arguments: str, cwd: Path | None = None, timeout: float = 600, **variables: str
) -> subprocess.CompletedProcess[str]:
    """Run the executable to its end: for what starting it may do wrong, and what it may not import."""
    return _to_its_end(subprocess.Popen, [COMMAND, *arguments], home, cwd, timeout, variables)


def _to_its_end(
    start: type[subprocess.Popen[Any]],
    arguments: list[str],
    home: Path,
    cwd: Path | None,
    timeout: float,
    variables: dict[str, str],
) -> subprocess.CompletedProcess[str]:
    with start(
        arguments,
        cwd=cwd or home.parent,
        env=environment(home, **variables),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            out, errors = process.communicate(timeout=timeout)
        except BaseException:
            process.kill()
            raise
    return subprocess.CompletedProcess(process.args, process.returncode, out, errors)


def command_here(home: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run the command in this process, in a tenth of the time: the same `main`, exit code and output.

    For tests of many arguments; those of the process itself use `command`.
    """
    from orchestration.cli.main import main

    out, err = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True) for _ in range(2))
    code = 0
    with (
        chdir(home.parent),
        patch.dict(os.environ, environment(home, **variables), clear=True),
        patch.object(sys, "argv", [COMMAND, *arguments]),
        redirect_stdout(out),
        redirect_stderr(err),
    ):
        try:
            main()
        except SystemExit as ended:
            code = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    stdout, stderr = (
        stream.buffer.getvalue().decode().replace("\r\n", "\n")  # type: ignore[attr-defined]
        for stream in (out, err)
    )
    return subprocess.CompletedProcess([COMMAND, *arguments], code, stdout, stderr)
