"""The command `paywall-warehouse` as a process of its own, with nothing of this one's environment but what it
needs to start.
"""

import os
import subprocess
import sys
from pathlib import Path

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
