"""Clean-up of child processes, however this process ends."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import psutil

END_SECONDS = 20


@contextmanager
def no_child_survives() -> Iterator[None]:
    """End every process below this one on leaving: first by SIGTERM, after 20 seconds by SIGKILL.

    A signal can interrupt the code that starts a process before it has recorded the process, and then that
    code does not end it. While this function ends processes, it ignores further signals: a second Ctrl-C
    would leave processes behind.
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
