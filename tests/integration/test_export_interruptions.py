"""A reader finds every file that a manifest names, whenever an export is killed or repaired, and however many
of them run.
"""

import hashlib
import itertools
import json
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from exports import catalog, partition_files
from exports.destination import LocalFolder
from tests.support.export_homes import (
    THIRD,
    change,
    contents,
    copied,
    export,
    exported_copy,
    finish,
    limit_datasets,
    revisions,
    slices,
)
from tests.support.shared import in_soak

pytestmark = pytest.mark.usefixtures("no_grace")


@pytest.fixture
def home(published: Path, tmp_path: Path) -> Path:
    """A copy of the first publication, exported, to be changed."""
    return exported_copy(published, tmp_path / "home")


# ---- damage and kills


def test_a_file_that_is_gone_or_cut_short_is_put_back_as_it_was(home: Path) -> None:
    root = home / "exports"
    before, manifest = contents(root), root / "v1/ledger/manifest.json"
    written = (manifest.stat().st_ino, manifest.stat().st_mtime_ns)
    slices(root, "ledger", "parquet", THIRD)[0].unlink()
    cut = slices(root, "ledger", "csv", "2026-10-01")[0]
    cut.write_bytes(cut.read_bytes()[:-9])
    exported = export(home)["ledger"]
    finish(home)
    assert contents(root) == before
    assert (exported.files_written, exported.changed, exported.is_manifest_new) == (2, (), False)
    assert (manifest.stat().st_ino, manifest.stat().st_mtime_ns) == written


def test_a_day_without_unknown_values_is_put_back_as_it_was(home: Path) -> None:
    root = home / "elsewhere"
    change(home, f"update marts.fct_ledger_entries set request_id = entry_id where entry_date = '{THIRD}'")
    export(home, ["ledger"], export_uri=str(root))
    before = contents(root)
    slices(root, "ledger", "parquet", THIRD)[0].unlink()
    assert export(home, ["ledger"], export_uri=str(root))["ledger"].changed == ()
    assert contents(root) == before


def test_one_part_of_several_is_put_back_alone(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(partition_files, "PART_ROWS", 1)
    root = home / "parts"
    export(home, ["ledger"], export_uri=str(root))
    before = contents(root)
    slices(root, "ledger", "parquet", "2026-10-01")[1].unlink()
    assert export(home, ["ledger"], export_uri=str(root))["ledger"].files_written == 1
    assert contents(root) == before


class Killed(BaseException):
    """The end of a process, as far as the next one can see."""


def kill_at(monkeypatch: pytest.MonkeyPatch, number: int, when: str) -> list[str]:
    """Die before or after the `number`th file is put in place, or with half of the superseded files removed;
    lists what was begun.
    """
    begun: list[str] = []
    place, remove = LocalFolder.place, LocalFolder.remove

    def step(path: str, do: Any) -> None:
        begun.append(path)
        if len(begun) == number and when == "before":
            raise Killed
        do()
        if len(begun) == number:
            raise Killed

    def placing(self: LocalFolder, prepared: Path, path: str) -> None:
        step(path, lambda: place(self, prepared, path))

    def removing(self: LocalFolder, paths: Iterable[str]) -> None:
        listed = list(paths)
        step("remove", lambda: remove(self, listed[::2]))
        remove(self, listed)

    monkeypatch.setattr(LocalFolder, "place", placing)
    monkeypatch.setattr(LocalFolder, "remove", removing)
    return begun


def broken(root: Path) -> list[str]:
    """Files that a manifest names and that are not there as it says."""
    found = []
    for manifest in (root / "v1").glob("*/manifest.json"):
        for partition in json.loads(manifest.read_bytes())["partitions"]:
            for file in partition["files"]:
                path = manifest.parent / file["path"]
                if not path.exists() or hashlib.sha256(path.read_bytes()).hexdigest() != file["sha256"]:
                    found.append(str(path))
    return found


def export_some(home: Path, root: Path) -> None:
    export(home, catalog.DATASETS, export_uri=str(root))
    assert all(check.passed for check in finish(home, export_uri=str(root)).checks)


@pytest.mark.parametrize("when", ["before", *in_soak("after")])
def test_an_export_killed_at_any_file_stays_readable_and_the_next_one_repairs_it(
    home: Path, second: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    limit_datasets(monkeypatch, "ledger", "users")
    old, new = tmp_path / "old", tmp_path / "new"
    export_some(home, old)
    later = copied(second, tmp_path / "later")
    export_some(later, Path(shutil.copytree(old, new)))
    steps: list[str] = []
    for number in itertools.count(1):
        root = Path(shutil.copytree(old, tmp_path / f"killed-{number}"))
        with monkeypatch.context() as killing:
            begun = kill_at(killing, number, when)
            try:
                export_some(later, root)
            except Killed:
                steps.append(begun[-1])
            else:
                break
        assert not broken(root), f"killed {when} {steps[-1]}"
        export_some(later, root)
        assert contents(root) == contents(new), f"killed {when} {steps[-1]}"
    assert [step for step in steps if step.endswith(".json")] == [
        "v1/ledger/manifest.json",
        "v1/users/manifest.json",
        "v1/catalog.json",
    ]
    # Two files of one day, two of the snapshot, the three above, and the removal of the four that were
    # superseded.
    assert len(steps) == 8
    assert steps[-1] == "remove"


def test_what_a_killed_export_left_is_not_taken_for_the_rows_of_a_later_one(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    limit_datasets(monkeypatch, "ledger")
    old, new = tmp_path / "old", tmp_path / "new"
    export_some(home, old)
    shutil.copytree(old, new)
    change(home, "update marts.fct_ledger_entries set amount = 7 where entry_id = 'c1'")
    with monkeypatch.context() as killing:
        kill_at(killing, 2, "after")
        with pytest.raises(Killed):
            export_some(home, old)
    change(home, "update marts.fct_ledger_entries set amount = 8 where entry_id = 'c1'", run_id="run-3")
    export_some(home, old)
    export_some(home, new)
    assert contents(old) == contents(new)


def test_superseded_files_stay_for_whoever_has_just_read_the_old_manifest(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = home / "exports"
    old = slices(root, "ledger", "parquet") + slices(root, "ledger", "csv")
    change(home, "update marts.fct_ledger_entries set amount = 7 where entry_id = 'c2'")
    export(home)
    meanwhile: list[tuple[float, bool]] = []
    monkeypatch.setattr(catalog, "READERS_GRACE_SECONDS", 2)
    monkeypatch.setattr(
        catalog.time, "sleep", lambda seconds: meanwhile.append((seconds, all(file.exists() for file in old)))
    )
    # Two of the ledger, and two of the view of it.
    assert finish(home).removed == 4
    assert meanwhile == [(2, True)]
    assert [file.parent.name for file in old if not file.exists()] == [f"date={THIRD}"] * 2


READER = """
import hashlib, json, sys, time
from pathlib import Path
root, stop, grace = Path(sys.argv[1]), Path(sys.argv[2]), float(sys.argv[3])
whole, states, faults = 0, set(), []
while not stop.exists():
    begun = time.monotonic()
    content = (root / "v1/ledger/manifest.json").read_bytes()
    for file in [file for partition in json.loads(content)["partitions"] for file in partition["files"]]:
        try:
            digest = hashlib.sha256((root / "v1/ledger" / file["path"]).read_bytes()).hexdigest()
        except FileNotFoundError:
            digest = None
        if digest != file["sha256"]:
            # Whoever takes longer than the grace has to look at the manifest again.
            if time.monotonic() - begun < grace:
                faults.append(file["path"])
            break
    else:
        whole += 1
        states.add(content)
    time.sleep(0.002)
print(json.dumps([whole, len(states), faults]))
"""


@pytest.mark.parametrize("exports", [10, *in_soak(300)])
def test_a_reader_never_misses_a_file_while_many_exports_run(
    home: Path, second: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, exports: int
) -> None:
    grace = 0.03
    limit_datasets(monkeypatch, "ledger")
    monkeypatch.setattr(catalog, "READERS_GRACE_SECONDS", grace)
    homes, root, stop = [home, copied(second, tmp_path / "later")], tmp_path / "shared", tmp_path / "stop"
    export_some(home, root)
    reader = subprocess.Popen(
        [sys.executable, "-c", READER, str(root), str(stop), str(grace)], stdout=subprocess.PIPE
    )
    try:
        for number in range(1, exports + 1):
            export_some(homes[number % 2], root)
    finally:
        stop.touch()
        output, _ = reader.communicate(timeout=30)
    whole, states, faults = json.loads(output)
    assert reader.returncode == 0
    assert faults == []
    assert revisions(root, "ledger") == {"2026-10-01": exports + 1, THIRD: 1, "2026-10-04": 1}
    assert whole > exports
    assert states > exports / 5
