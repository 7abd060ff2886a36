"""Ends what this process has started, however it ends itself."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import psutil

END_SECONDS = 20


@contextmanager
def no_child_survives() -> Iterator[None]:
    """End every process below this one on leaving: first by SIGTERM, after 20 seconds by SIGKILL.

    What starts a process can be interrupted before it has noted that the process exists, and then does not
    end it. From here on further signals are ignored: a second Ctrl-C would leave processes behind.
    """
    try:
        yield
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)
        children = psutil.Process().children(recursive=True)
        for child in children:
            _send(child, signal.SIGTERM)
        for child in psutil.wait_procs(children, timeout=END_SECONDS)[1]:
            _send(child, signal.SIGKILL)


def _send(process: psutil.Process, number: signal.Signals) -> None:
    with suppress(psutil.NoSuchProcess):
        process.send_signal(number)
