"""The command in a fork of a process that has imported everything: a session of its own, the same `main`,
half a second instead of five.

For drills of hundreds of runs; what starting itself may do wrong, the real command shows.
"""

import multiprocessing
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from orchestration.cli.main import main

CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(
    [
        "tests.support.warm_start",
        "orchestration.definitions",
        "orchestration.cli.run",
        "orchestration.instance",
    ]
)


class WarmCommand:
    """Like `subprocess.Popen`, as far as a drill needs it."""

    def __init__(self, arguments: list[str], env: Mapping[str, str], output: Path) -> None:
        self._process = CONTEXT.Process(target=_run, args=(arguments, dict(env), str(output)))
        self._process.start()
        assert self._process.pid is not None
        self.pid = self._process.pid

    def poll(self) -> int | None:
        """The exit code, None while it runs."""
        return self._process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        """The exit code once it has ended; raises `TimeoutExpired` where it has not by then."""
        self._process.join(timeout)
        if self._process.exitcode is None:
            raise subprocess.TimeoutExpired("run", timeout or 0)
        return self._process.exitcode


def _run(arguments: list[str], env: dict[str, str], output: str) -> None:
    os.setsid()
    said = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    for descriptor in (1, 2):
        os.dup2(said, descriptor)
    os.environ.clear()
    os.environ.update(env)
    sys.argv = ["paywall-warehouse", *arguments]
    main()
