"""The command `paywall-warehouse` as a process of its own, with nothing of this one's environment but what it
needs to start.
"""

import io
import os
import subprocess
import sys
from contextlib import chdir, redirect_stderr, redirect_stdout
from pathlib import Path
from unittest.mock import patch

COMMAND = str(Path(sys.executable).with_name("paywall-warehouse"))
PASSED_ON = ("PATH", "HOME", "LANG", "PYTHONDONTWRITEBYTECODE", "PYTHONPATH")


def environment(home: Path, **variables: str) -> dict[str, str]:
    """The environment of a process that works on a home."""
    inherited = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    return inherited | {"WAREHOUSE_HOME": str(home)} | variables


def command(
    home: Path, *arguments: str, cwd: Path | None = None, timeout: float = 240, **variables: str
) -> subprocess.CompletedProcess[str]:
    """Run the command to its end; raises `TimeoutExpired` after `timeout` seconds."""
    return subprocess.run(
        [COMMAND, *arguments],
        cwd=cwd or home.parent,
        env=environment(home, **variables),
        capture_output=True,
        text=True,
        check=False,
        timeout=timeout,
    )


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
