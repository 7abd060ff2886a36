"""Files that appear whole: what a killed process leaves is told from what a living one is writing."""

import os
import subprocess
import sys
from pathlib import Path

from paywall_warehouse.files import remove_partials


def test_partial_files_of_dead_processes_are_removed_and_nothing_else(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE) as living:
        dead = subprocess.Popen([sys.executable, "-c", ""])
        dead.wait()
        (tmp_path / "stripe").mkdir()
        # A process before us had our number, as the first one in a container always does.
        left = [tmp_path / f".a.json.{dead.pid}.partial", tmp_path / "stripe" / f".b.csv.{os.getpid()}.partial"]
        kept = [tmp_path / f".a.json.{living.pid}.partial", tmp_path / "a.json", tmp_path / "upload.partial", tmp_path / ".upload.partial"]
        for file in (*left, *kept):
            file.touch()
        remove_partials([tmp_path, tmp_path / "nowhere"])
        assert [file for file in left if file.exists()] == []
        assert [file for file in kept if not file.exists()] == []
