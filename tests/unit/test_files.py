"""Files that appear whole: what a killed process leaves is not taken for what a living one writes."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from paywall_warehouse.files import put_where_nothing_is, remove_partials


def test_partial_files_of_dead_processes_are_removed_and_nothing_else(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE
    ) as living:
        dead = subprocess.Popen([sys.executable, "-c", ""])
        dead.wait()
        (tmp_path / "stripe").mkdir()
        # A process before us had our number, as the first one in a container always does.
        left = [
            tmp_path / f".a.json.{dead.pid}.partial",
            tmp_path / "stripe" / f".b.csv.{os.getpid()}.partial",
        ]
        kept = [
            tmp_path / f".a.json.{living.pid}.partial",
            tmp_path / "a.json",
            tmp_path / "upload.partial",
            tmp_path / ".upload.partial",
        ]
        for file in (*left, *kept):
            file.touch()
        remove_partials([tmp_path, tmp_path / "nowhere"])
        assert [file for file in left if file.exists()] == []
        assert [file for file in kept if not file.exists()] == []


def test_a_name_is_taken_once(tmp_path: Path) -> None:
    first, second, place = tmp_path / "first", tmp_path / "second", tmp_path / "new" / "place"
    for file in (first, second):
        file.write_text(file.name)
    assert put_where_nothing_is(first, place)
    assert not put_where_nothing_is(second, place)
    assert place.read_text() == "first"


def test_a_name_that_was_taken_though_the_answer_got_lost_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What NFS says where a client has asked once more."""
    link = os.link

    def asked_twice(source: Path, target: Path) -> None:
        link(source, target)
        link(source, target)

    (tmp_path / "first").write_text("first")
    monkeypatch.setattr(os, "link", asked_twice)
    assert put_where_nothing_is(tmp_path / "first", tmp_path / "place")


def test_where_there_are_no_hard_links_a_name_is_taken_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def not_here(source: Path, target: Path) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", not_here)
    (tmp_path / "first").write_text("first")
    (tmp_path / "second").write_text("second")
    assert put_where_nothing_is(tmp_path / "first", tmp_path / "place")
    assert not put_where_nothing_is(tmp_path / "second", tmp_path / "place")
    assert (tmp_path / "place").read_text() == "first"
