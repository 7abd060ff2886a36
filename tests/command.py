"""The command `paywall-warehouse` as a process of its own, with nothing of this one's environment but what it needs to start."""

import os
import sys
from pathlib import Path

COMMAND = str(Path(sys.executable).with_name("paywall-warehouse"))
PASSED_ON = ("PATH", "HOME", "LANG", "PYTHONDONTWRITEBYTECODE", "PYTHONPATH")


def environment(home: Path, **variables: str) -> dict[str, str]:
    """The environment of a process that works on a home."""
    inherited = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    return inherited | {"WAREHOUSE_HOME": str(home)} | variables
