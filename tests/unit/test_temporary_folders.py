"""Temporary folders are removed with their process, by the next one if it was killed."""

import os
import subprocess
import sys
import time
from pathlib import Path

from paywall_warehouse.temporary_folders import TemporaryFolder

OTHER_PROCESS = """
import sys, time
from pathlib import Path
from paywall_warehouse.temporary_folders import TemporaryFolder
folder = TemporaryFolder("serve-", Path(sys.argv[1]))
(folder.path / "rows").write_text("of a customer")
print(folder.path, flush=True)
time.sleep(60)
"""


def made_long_ago(folder: Path) -> None:
    os.utime(folder, (time.time() - 3600, time.time() - 3600))


def test_the_folder_of_a_killed_process_goes_and_that_of_a_living_one_stays(tmp_path: Path) -> None:
    command = [sys.executable, "-c", OTHER_PROCESS, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        left = Path(other.stdout.readline().strip())
        made_long_ago(left)
        with TemporaryFolder("serve-", tmp_path) as own:
            assert (left / "rows").read_text() == "of a customer"
            assert own != left
        assert not own.exists()
        other.kill()
    with TemporaryFolder("serve-", tmp_path):
        assert not left.exists()
    assert list(tmp_path.iterdir()) == []


def test_young_and_other_folders_stay(tmp_path: Path) -> None:
    young, other = tmp_path / "serve-young", tmp_path / "download-old"
    for folder in (young, other):
        folder.mkdir()
    made_long_ago(other)
    TemporaryFolder("serve-", tmp_path).remove()
    assert sorted(tmp_path.iterdir()) == [other, young]
