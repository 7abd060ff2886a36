"""The command in a fork of a process that has imported everything: the same `main`, arguments, environment,
folder, signals, output and exit code, without the 1 to 5 s of CPU that starting Python and importing take.

All workers of pytest-xdist have one such process, from the first command on. What starting itself may do
wrong, tests of the executable show.
"""

import atexit
import gc
import importlib
import json
import os
import select
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any, NoReturn

from filelock import FileLock

COMMAND = str(Path(sys.executable).with_name("paywall-warehouse"))
# With all that `run`, `dbt`, `erase`, `export`, `pull`, `dashboard` and `receive` import when called.
PRELOADED = (
    "orchestration.cli.main",
    "orchestration.cli.run",
    "orchestration.definitions",
    "orchestration.instance",
    "dbt.adapters.duckdb.impl",
    "dashboard.server",
    "ingestion.receiver.server",
)
NUMBER = struct.Struct("i")
HELLO = b"ready"
# The longest address of a socket, with the byte that ends it.
ADDRESS_BYTES = 108
# A request is arguments and an environment.
MAX_REQUEST_BYTES = 1 << 17


class WarmCommand(subprocess.Popen[Any]):
    """`subprocess.Popen` of the command, in a fork."""

    def __init__(self, arguments: list[str], **options: Any) -> None:
        self._in_new_session = options.get("start_new_session", False)
        super().__init__([COMMAND, *arguments], **options)

    # What Python 3.11 to 3.13 call to start a process and to wait for it.
    def _execute_child(  # type: ignore[override]
        self,
        args: list[str],
        executable: Any,
        preexec_fn: Any,
        close_fds: bool,
        pass_fds: Any,
        cwd: str | None,
        env: Mapping[str, str] | None,
        startupinfo: Any,
        creationflags: int,
        shell: bool,
        *more: Any,
    ) -> None:
        assert not any((executable, preexec_fn, pass_fds, shell)), "not for a fork"
        pipes = more[:6]
        standard = (pipes[0], pipes[3], pipes[5])
        request = {
            "arguments": args,
            "folder": os.fspath(cwd or os.getcwd()),
            "environment": dict(os.environ if env is None else env),
            "new_session": self._in_new_session,
        }
        self._answers, answering = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with answering:
            passed = [number if given == -1 else given for number, given in enumerate(standard)]
            socket.send_fds(_forking_process(), [json.dumps(request).encode()], [*passed, answering.fileno()])
        self.pid = self._answer()
        self._child_created = True
        self._close_pipe_fds(*pipes)  # type: ignore[attr-defined]

    def _answer(self) -> int:
        content = self._answers.recv(NUMBER.size)
        assert content, "the process that forks has ended"
        (number,) = NUMBER.unpack(content)
        assert isinstance(number, int)
        return number

    def _try_wait(self, wait_flags: int) -> tuple[int, int]:
        if wait_flags & os.WNOHANG and not select.select([self._answers], [], [], 0)[0]:
            return 0, 0
        status = self._answer()
        self._answers.close()
        return self.pid, status

    def _internal_poll(self, *_: Any, **__: Any) -> int | None:
        lock = self._waitpid_lock  # type: ignore[attr-defined]
        if self.returncode is None and lock.acquire(blocking=False):
            try:
                if self.returncode is None:
                    pid, status = self._try_wait(os.WNOHANG)
                    if pid:
                        self._handle_exitstatus(status)  # type: ignore[attr-defined]
            finally:
                lock.release()
        return self.returncode


@cache
def _forking_process() -> socket.socket:
    """What this worker's requests go through to the process that forks."""
    # Not for that process, which has nothing of the tests' but this file.
    from tests.support import shared

    folder = shared.folder or Path(tempfile.mkdtemp())
    address = folder / "forks.socket"
    if len(os.fsencode(address)) >= ADDRESS_BYTES:
        address = Path(tempfile.mkdtemp()) / address.name
    with FileLock(address.with_suffix(".lock")):
        requests = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        if _is_heard(requests, address):
            return requests
        requests.close()
        requests = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        address.unlink(missing_ok=True)
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as heard:
            heard.bind(str(address))
            heard.listen()
            requests.connect(str(address))
            subprocess.Popen(
                [sys.executable, "-P", __file__, str(heard.fileno())],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=[heard.fileno()],
            )
        assert requests.recv(len(HELLO)) == HELLO, "the process that forks has ended"
        return requests


def _is_heard(requests: socket.socket, address: Path) -> bool:
    """Whether a process that another worker started is there, and does not just end with that worker."""
    try:
        requests.connect(str(address))
        return requests.recv(len(HELLO)) == HELLO
    except OSError:
        return False


# ---- the process that forks


def serve(heard: socket.socket) -> list[str]:
    """Fork for each request, and return its arguments in the fork; the end of all workers ends it."""
    woken, waking = socket.socketpair()
    waking.setblocking(False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(waking.fileno())
    running: dict[int, socket.socket] = {}
    workers = [_worker(heard)]
    while workers:
        ready, *_ = select.select([heard, woken, *workers], [], [])
        if woken in ready:
            woken.recv(4096)
            _report_ends(running)
        if heard in ready:
            workers.append(_worker(heard))
        for requests in [worker for worker in workers if worker in ready]:
            content, descriptors, *_ = socket.recv_fds(requests, MAX_REQUEST_BYTES, 4)
            if not content:
                workers.remove(requests)
                requests.close()
                continue
            answers = socket.socket(fileno=descriptors.pop())
            pid = os.fork()
            if not pid:
                signal.set_wakeup_fd(-1)
                for one in (heard, woken, waking, answers, *workers, *running.values()):
                    one.close()
                return _become(json.loads(content), descriptors)
            for descriptor in descriptors:
                os.close(descriptor)
            running[pid] = answers
            answers.send(NUMBER.pack(pid))
    sys.exit()


def _worker(heard: socket.socket) -> socket.socket:
    requests, _ = heard.accept()
    with suppress(OSError):  # a worker that has ended since
        requests.send(HELLO)
    return requests


def _report_ends(running: dict[int, socket.socket]) -> None:
    while running:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if not pid:
            return
        with running.pop(pid) as answers, suppress(OSError):  # where nobody waits for it any more
            answers.send(NUMBER.pack(status))


def _become(request: Mapping[str, Any], descriptors: list[int]) -> list[str]:
    """Take on what a process gets from the one that starts it."""
    if request["new_session"]:
        os.setsid()
    for number, descriptor in enumerate(descriptors):
        os.dup2(descriptor, number)
        os.close(descriptor)
    os.chdir(request["folder"])
    os.environ.clear()
    os.environ.update(request["environment"])
    time.tzset()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    arguments: list[str] = request["arguments"]
    return arguments


def _run_to_the_end(main: Callable[[], None]) -> NoReturn:
    """Call what the executable calls, and end as Python does, but for the objects that are left: with
    Streamlit among them, DuckDB's binding would print 40 lines of errors.
    """
    code: object = None
    try:
        main()
    except SystemExit as ended:
        code = ended.code
    except BaseException:
        traceback.print_exc()
        code = 1
    if not isinstance(code, int | None):
        print(code, file=sys.stderr)
        code = 1
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    sys.stdout.flush()
    os._exit(code or 0)


if __name__ == "__main__":
    heard = socket.socket(fileno=int(sys.argv[1]))
    for module in PRELOADED:
        importlib.import_module(module)
    assert threading.active_count() == 1, threading.enumerate()
    gc.set_threshold(50_000, 20, 100)
    gc.freeze()
    # As in `conftest.py`.
    os.fsync = lambda _: None
    sys.argv = serve(heard)
    _run_to_the_end(sys.modules["orchestration.cli.main"].main)
