"""A command in a fork is what the executable is: `tests/support/warm_start.py`."""

import signal
import subprocess
from pathlib import Path

import psutil
import pytest

from tests.support import warm_start
from tests.support.command import command, environment, real_command
from tests.support.warm_start import WarmCommand, _forking_process


@pytest.mark.parametrize("words", [["status"], ["run", "--no-such-option"]])
def test_a_fork_says_and_returns_what_the_executable_does(tmp_path: Path, words: list[str]) -> None:
    real, fork = (start(tmp_path / "home", *words) for start in (real_command, command))
    assert (fork.returncode, fork.stdout, fork.stderr) == (real.returncode, real.stdout, real.stderr)
    assert real.stdout + real.stderr


def test_another_worker_uses_the_process_that_forks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = _forking_process()
    before = psutil.Process().children()
    with _forking_process.__wrapped__() as other:
        assert other is not own
        assert psutil.Process().children() == before
        monkeypatch.setattr(warm_start, "_forking_process", lambda: other)
        assert command(tmp_path / "home", "--help").returncode == 0
    monkeypatch.undo()
    assert command(tmp_path / "home", "--help").returncode == 0, "the end of one worker ends no other"


def test_a_fork_has_a_pid_of_its_own_and_ends_by_a_signal(tmp_path: Path) -> None:
    process = WarmCommand(
        ["receive", "--port", "0"],
        cwd=tmp_path,
        env=environment(tmp_path / "home", PAYWALLS_WEBHOOK_SECRET="whsec_0123456789abcdef"),
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stderr is not None
    assert process.stderr.readline().startswith("Deliveries to ")
    assert process.poll() is None
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(0.05)
    process.kill()
    assert process.wait(10) == process.poll() == -signal.SIGKILL
    process.stderr.close()
