"""A mirror is what the export is, after any accident; a DuckDB file says what the marts say."""

import errno
import hashlib
import itertools
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from exports import catalog
from exports.client import duckdb_tables
from exports.client.duckdb_tables import load_into
from exports.client.mirror import ROUNDS, pull
from exports.client.outcome import Pulled, PullError, describe
from exports.client.source import Source
from exports.datasets import DATASETS
from exports.manifest import Partition
from tests.support.command import command
from tests.support.export_homes import (
    MARTS,
    ORDER,
    change,
    contents,
    copied,
    export,
    finish,
    first_publication,
    like_c1,
    limit_datasets,
    manifest_of,
    opened,
)
from tests.support.shared import in_soak

# What most tests export and pull: one dataset by days, and a snapshot.
TWO = ("ledger", "users")
FIRST, THIRD, FOURTH = "2026-10-01", "2026-10-03", "2026-10-04"
# The files of the third day before and after it was restated.
OLD, NEW = (f"ledger/parquet/date={THIRD}/part-0000{number}.parquet" for number in (0, 1))


# ---- an export, and what became of it later


@dataclass(frozen=True)
class State:
    """A published home, and what is exported from it; never changed."""

    home: Path
    root: Path


def later(before: State, home: Path, *statements: str) -> State:
    """The next publication."""
    copied(before.home, home)
    shutil.copytree(before.root, home / "exports")
    change(home, *statements, run_id=f"run-{home.name}")
    return exported(home)


def exported(home: Path) -> State:
    export(home, TWO)
    assert all(check.passed for check in finish(home).checks)
    return State(home, home / "exports")


@pytest.fixture(scope="module")
def everything(tmp_path_factory: pytest.TempPathFactory) -> State:
    """All datasets."""
    home = first_publication(tmp_path_factory)
    return State(home, home / "exports")


@pytest.fixture(scope="module")
def states(everything: State, tmp_path_factory: pytest.TempPathFactory) -> dict[str, State]:
    """What an export of two datasets says, one publication after the other."""
    folder = tmp_path_factory.mktemp("states")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(catalog, "READERS_GRACE_SECONDS", 0)
        limit_datasets(patch, *TWO)
        first = exported(copied(everything.home, folder / "first"))
        late = like_c1(
            entry_id="'late'",
            entry_date=f"date '{THIRD}'",
            revenue="0.000000000001",
            prompt_tokens="9007199254740993",
        )
        restated = later(
            first,
            folder / "restated",
            late,
            "update marts.rpt_users set balance = balance + 1 where user_id = 'alice'",
        )
        emptied = later(
            restated,
            folder / "emptied",
            f"delete from marts.fct_ledger_entries where entry_date = '{FOURTH}'",
        )
        # The same as `emptied`, but by an exporter that knows of nothing before: every revision is 1, and
        # paths are used again.
        anew = exported(copied(emptied.home, folder / "anew"))
        wider = later(
            emptied,
            folder / "wider",
            "alter table marts.fct_ledger_entries add column note varchar default 'n'",
        )
        # As `erase` leaves it: under a pseudonym, and noted.
        erased = later(
            restated,
            folder / "erased",
            *(f"update marts.{MARTS[name]} set user_id = 'erased-1' where user_id = 'alice'" for name in TWO),
            "insert into ops.erasures select * replace ('erased-1' as pseudonym, timestamptz '2026-12-01"
            " 00:00:00+00' as erased_at) from (select null::varchar as pseudonym, null::timestamptz as"
            " erased_at)",
        )
    return {
        "first": first,
        "restated": restated,
        "emptied": emptied,
        "anew": anew,
        "wider": wider,
        "erased": erased,
    }


@pytest.fixture
def source(states: dict[str, State], tmp_path: Path) -> Path:
    """The first export, to be changed."""
    return Path(shutil.copytree(states["first"].root, tmp_path / "source"))


@pytest.fixture
def mirror(tmp_path: Path) -> Path:
    return tmp_path / "mirror"


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalog, "READERS_GRACE_SECONDS", 0)
    monkeypatch.setattr("exports.client.source.FIRST_WAIT_SECONDS", 0)
    monkeypatch.setattr("exports.client.mirror.SECONDS_BETWEEN_ROUNDS", 0)
    monkeypatch.setattr("exports.client.downloads.REPORT_EVERY_SECONDS", 0)


@pytest.fixture
def fetched(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The files that pulls ask the source for, by path."""
    paths: list[str] = []
    on_fetch(monkeypatch, paths.append)
    return paths


def on_fetch(monkeypatch: pytest.MonkeyPatch, do: Callable[[str], object]) -> None:
    """Have something happen before each file that is fetched."""
    fetch = Source.fetch

    def fetch_after(self: Source, path: str, partial: Path, length: int) -> None:
        do(path)
        fetch(self, path, partial, length)

    monkeypatch.setattr(Source, "fetch", fetch_after)


def become(source: Path, state: State) -> None:
    """Publish another state at the source, in the order of an exporter: files, manifests, catalog; then what
    is superseded goes.
    """
    wanted = contents(state.root)
    for path in sorted(
        wanted, key=lambda path: (path.endswith("catalog.json"), path.endswith("manifest.json"))
    ):
        if not (source / path).exists() or (source / path).read_bytes() != wanted[path]:
            (source / path).parent.mkdir(parents=True, exist_ok=True)
            (source / "new").write_bytes(wanted[path])
            os.replace(source / "new", source / path)
    for path in contents(source).keys() - wanted:
        (source / path).unlink()


def files(folder: Path) -> dict[str, bytes]:
    """Every file of a mirror with its bytes."""
    return {path: content for path, content in contents(folder).items() if path != "v1/.pull.lock"}


def named(root: Path, name: str) -> dict[str, dict[str, Any]]:
    """The files that a manifest names."""
    return {
        file["path"]: file
        for partition in manifest_of(root, name)["partitions"]
        for file in partition["files"]
    }


def rewrite(root: Path, name: str, edit: Callable[[dict[str, Any]], object]) -> None:
    """Edit a manifest as its exporter would have written it: the catalog knows."""
    place, overview = root / "v1" / name / "manifest.json", root / "v1" / "catalog.json"
    manifest, listed = json.loads(place.read_bytes()), json.loads(overview.read_bytes())
    edit(manifest)
    place.write_text(json.dumps(manifest))
    (own,) = (one for one in listed["datasets"] if one["name"] == name)
    own["manifest_sha256"] = sha256(place.read_bytes())
    overview.write_text(json.dumps(listed))


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def is_whole(root: Path, name: str) -> bool:
    """Whether all that a manifest names is there, to the last bit."""
    return all(
        sha256((root / "v1" / name / path).read_bytes()) == file["sha256"]
        for path, file in named(root, name).items()
    )


# ---- a mirror


def test_the_first_pull_mirrors_everything(everything: State, mirror: Path) -> None:
    pulled = {one.dataset: one for one in pull(str(everything.root), mirror)}
    assert files(mirror) == contents(everything.root)
    assert set(pulled) == set(DATASETS)
    assert [(str(one.date), one.revision, one.rows) for one in pulled["ledger"].changed] == [
        (FIRST, 1, 3),
        (THIRD, 1, 1),
        (FOURTH, 1, 2),
    ]
    slices = {
        path: len(content)
        for path, content in contents(everything.root).items()
        if not path.endswith(".json")
    }
    assert sum(one.files for one in pulled.values()) == len(slices)
    assert sum(one.bytes for one in pulled.values()) == sum(slices.values())


def test_a_second_pull_fetches_nothing_and_touches_no_file(
    source: Path, mirror: Path, fetched: list[str]
) -> None:
    pull(str(source), mirror)
    before = {path: (mirror / path).stat().st_mtime_ns for path in files(mirror)}
    fetched.clear()
    assert [describe(one) for one in pull(str(source), mirror)] == ["ledger: unchanged", "users: unchanged"]
    assert fetched == []
    assert {path: (mirror / path).stat().st_mtime_ns for path in files(mirror)} == before


def test_a_restated_day_fetches_its_new_files_only(
    states: dict[str, State], source: Path, mirror: Path, fetched: list[str]
) -> None:
    pull(str(source), mirror)
    fetched.clear()
    become(source, states["restated"])
    ledger, users = pull(str(source), mirror)
    csv = f"ledger/csv/date={THIRD}/part-00001.csv.gz"
    assert sorted(fetched) == sorted(
        [NEW, csv, "users/parquet/part-00001.parquet", "users/csv/part-00001.csv.gz"]
    )
    assert [(str(one.date), one.revision, one.rows) for one in ledger.changed] == [(THIRD, 2, 2)]
    assert [(one.date, one.revision) for one in users.changed] == [(None, 2)]
    assert files(mirror) == contents(states["restated"].root)
    assert not (mirror / "v1" / OLD).exists()
    size = sum((mirror / "v1" / path).stat().st_size for path in (NEW, csv))
    assert describe(ledger) == f"ledger: 1 day changed: {THIRD} (revision 2); 2 files, {size / 1000:.1f} kB"
    assert describe(users).startswith("users: revision 2, 3 rows; 2 files, ")


def test_many_days_are_summed_up_by_the_latest() -> None:
    days = [partition(day) for day in range(1, 8)]
    said = describe(Pulled("ledger", tuple(days), (date(2026, 9, 1), date(2026, 9, 2)), 14, 2_500_000))
    shown = ", ".join(f"2026-10-0{day} (revision {day})" for day in (7, 6, 5, 4, 3))
    assert said == f"ledger: 7 days changed: {shown} and 2 more; 2 days gone; 14 files, 2.5 MB"
    assert describe(Pulled("ledger", (), (date(2026, 9, 1),), 0, 0)) == "ledger: 1 day gone; 0 files, 0 B"


def partition(day: int) -> Partition:
    stated = {"date": f"2026-10-0{day}", "revision": day, "changed_at": "2026-10-09T00:00:00Z", "rows": 1}
    return Partition.model_validate_json(
        json.dumps(stated | {"totals": {}, "files": [], "next_part": 1, "fingerprint": ""})
    )


def test_a_day_that_the_export_forgot_is_gone_from_the_mirror(
    states: dict[str, State], source: Path, mirror: Path
) -> None:
    pull(str(source), mirror)
    become(source, states["anew"])
    ledger = pull(str(source), mirror)[0]
    assert ledger.gone == (date.fromisoformat(FOURTH),)
    assert files(mirror) == contents(states["anew"].root)


def test_files_under_names_that_were_used_before_are_fetched_again(
    states: dict[str, State], source: Path, mirror: Path
) -> None:
    # An export that was removed and made anew counts its parts from 0 again.
    become(source, states["restated"])
    pull(str(source), mirror)
    shutil.rmtree(source)
    become(source, states["anew"])
    assert (states["anew"].root / "v1" / OLD).read_bytes() != (states["first"].root / "v1" / OLD).read_bytes()
    become(source, states["first"])
    pull(str(source), mirror)
    become(source, states["anew"])
    pull(str(source), mirror)
    assert files(mirror) == contents(states["anew"].root)


def test_the_folder_v1_itself_names_the_export_too(source: Path, mirror: Path) -> None:
    pull(f"{source}/v1/", mirror, datasets=["users"])
    pull(f"file://{source}", mirror)
    assert files(mirror) == contents(source)


def test_a_mirror_may_lie_anywhere(source: Path, tmp_path: Path) -> None:
    odd = tmp_path / 'a\'b "c" [1] *?;é' / "date=2026-01-01"
    pull(str(source), odd)
    assert files(odd) == contents(source)
    said = list(load_into(odd, tmp_path / "a.duckdb"))
    assert said == [
        f"{tmp_path}/a.duckdb: ledger: 3 partitions replaced",
        f"{tmp_path}/a.duckdb: users: 1 partition replaced",
    ]


def test_other_peoples_files_stay(states: dict[str, State], source: Path, mirror: Path) -> None:
    pull(str(source), mirror)
    others = [
        "README",
        "v1/notes.txt",
        "v1/ledger/mine.parquet",
        f"v1/ledger/parquet/date={THIRD}/part-1.parquet",
        "v1/ledger/csv/x.partial",
    ]
    for path in others:
        (mirror / path).write_text("mine")
    become(source, states["restated"])
    pull(str(source), mirror)
    assert {path: content for path, content in files(mirror).items() if path in others} == dict.fromkeys(
        others, b"mine"
    )


@pytest.mark.parametrize(
    "spoil", [lambda file: os.truncate(file, 100), Path.unlink], ids=["cut short", "removed"]
)
def test_a_file_of_the_mirror_that_somebody_spoiled_is_fetched_again(
    source: Path, mirror: Path, fetched: list[str], spoil: Callable[[Path], None]
) -> None:
    pull(str(source), mirror)
    fetched.clear()
    spoil(mirror / "v1" / OLD)
    pull(str(source), mirror)
    assert fetched == [OLD]
    assert files(mirror) == contents(source)


def test_a_file_of_the_mirror_that_is_damaged_and_has_its_size_is_fetched_again(
    source: Path, mirror: Path, fetched: list[str]
) -> None:
    pull(str(source), mirror)
    damaged = mirror / "v1" / OLD
    content = bytearray(damaged.read_bytes())
    content[len(content) // 2] ^= 1
    damaged.write_bytes(content)
    fetched.clear()
    # Who trusts sizes does not read the file.
    assert [one.files for one in pull(str(source), mirror, trust_sizes=True)] == [0, 0]
    assert fetched == []
    assert damaged.read_bytes() == content
    assert [one.files for one in pull(str(source), mirror)] == [1, 0]
    assert fetched == [OLD]
    assert files(mirror) == contents(source)


def test_sizes_are_trusted_of_files_that_the_manifest_of_the_mirror_names(
    states: dict[str, State], source: Path, mirror: Path
) -> None:
    pull(str(source), mirror)
    become(source, states["anew"])
    # The third day has other rows, in a file of the same name: the digest that was verified is another one.
    pull(str(source), mirror, trust_sizes=True)
    assert files(mirror) == contents(source)


def test_what_the_disk_cannot_hold_is_not_begun(source: Path, mirror: Path, fetched: list[str]) -> None:
    def edit(manifest: dict[str, Any]) -> None:
        manifest["partitions"][1]["files"][0]["bytes"] = 10**18

    rewrite(source, "ledger", edit)
    with pytest.raises(
        PullError, match=rf"^{mirror}/v1/ledger needs .*, and the disk has .* left\. Make room"
    ):
        pull(str(source), mirror)
    assert fetched == [path for path in fetched if path.startswith("users/")]


def test_a_spoiled_manifest_of_the_mirror_is_replaced_and_no_file_fetched(
    source: Path, mirror: Path, fetched: list[str]
) -> None:
    pull(str(source), mirror)
    fetched.clear()
    (mirror / "v1/ledger/manifest.json").write_bytes(b"{}")
    (mirror / "v1/users/manifest.json").unlink()
    pull(str(source), mirror)
    assert fetched == []
    assert files(mirror) == contents(source)


def test_two_pulls_at_once_fetch_each_file_once(source: Path, mirror: Path, fetched: list[str]) -> None:
    said: list[str] = []
    with ThreadPoolExecutor(2) as pool:
        both = [
            one.result()
            for one in [pool.submit(pull, str(source), mirror, progress=said.append) for _ in range(2)]
        ]
    assert f"another pull is at work on {mirror}; waiting for its end" in said
    assert sorted(fetched) == sorted(f"{name}/{path}" for name in TWO for path in named(source, name))
    assert sorted(sum(one.files for one in pulled) for pulled in both) == [0, len(fetched)]


# ---- part of it


def test_a_narrowed_mirror_is_an_export_that_names_only_what_is_there(
    everything: State, mirror: Path, tmp_path: Path
) -> None:
    pulled = pull(str(everything.root), mirror, datasets=TWO, formats=["parquet"])
    assert {one.dataset: one.files for one in pulled} == {"ledger": 3, "users": 1}
    parquet = {
        path: content
        for path, content in contents(everything.root).items()
        if path.split("/")[1] in TWO and path.endswith("t")
    }
    assert {path: content for path, content in files(mirror).items() if not path.endswith(".json")} == parquet
    listed = json.loads((mirror / "v1/catalog.json").read_bytes())
    assert (listed["formats"], [one["name"] for one in listed["datasets"]]) == (["parquet"], list(TWO))
    for one in listed["datasets"]:
        assert sha256((mirror / "v1" / one["manifest"]).read_bytes()) == one["manifest_sha256"]
        assert {f"v1/{one['name']}/{path}" for path in named(mirror, one["name"])} == {
            path for path in parquet if path.startswith(f"v1/{one['name']}/")
        }
        assert is_whole(mirror, one["name"])
    pull(str(mirror), tmp_path / "again")
    assert files(tmp_path / "again") == files(mirror)


def test_a_narrowed_mirror_is_kept_up_to_date(
    states: dict[str, State], source: Path, mirror: Path, fetched: list[str]
) -> None:
    narrow = partial(pull, str(source), mirror, datasets=["ledger"], formats=["parquet"])
    narrow()
    assert [describe(one) for one in narrow()] == ["ledger: unchanged"]
    fetched.clear()
    become(source, states["restated"])
    assert [[str(partition.date) for partition in one.changed] for one in narrow()] == [[THIRD]]
    assert fetched == [NEW]


def test_a_mirror_that_is_pulled_piece_by_piece_names_all_pieces(
    source: Path, mirror: Path, tables: Path
) -> None:
    pull(str(source), mirror, datasets=["users"])
    pull(str(source), mirror, datasets=["ledger"])
    listed = json.loads((mirror / "v1/catalog.json").read_bytes())["datasets"]
    assert {one["name"]: one["manifest_sha256"] for one in listed} == {
        name: sha256((source / f"v1/{name}/manifest.json").read_bytes()) for name in TWO
    }
    assert len(list(load_into(mirror, tables))) == len(TWO)


def test_widening_fetches_what_is_missing_and_narrowing_removes_the_rest(
    source: Path, mirror: Path, fetched: list[str]
) -> None:
    pull(str(source), mirror, datasets=["users"], formats=["csv"])
    fetched.clear()
    pull(str(source), mirror)
    assert "users/parquet/part-00000.parquet" in fetched
    assert "users/csv/part-00000.csv.gz" not in fetched
    assert files(mirror) == contents(source)
    assert [describe(one) for one in pull(str(source), mirror, formats=["parquet"])] == [
        "ledger: unchanged",
        "users: unchanged",
    ]
    assert not [path for path in files(mirror) if "/csv/" in path]
    # Nothing in particular is everything.
    pull(str(source), mirror, datasets=[], formats=[])
    assert files(mirror) == contents(source)


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"datasets": ["ledgers"]}, "the export has no dataset 'ledgers'; it has: ledger, users"),
        ({"formats": ["json"]}, "the export has no format 'json'; it has: parquet, csv"),
    ],
)
def test_an_unknown_dataset_is_reported_with_the_known_ones(
    source: Path, mirror: Path, asked: dict[str, Any], words: str
) -> None:
    with pytest.raises(PullError) as error:
        pull(str(source), mirror, **asked)
    assert str(error.value).startswith(words)
    assert error.value.is_wrong_usage
    assert files(mirror) == {}


def test_a_place_without_an_export_is_wrong_usage(tmp_path: Path, mirror: Path) -> None:
    with pytest.raises(
        PullError, match=rf"^{tmp_path}/v1/catalog\.json does not exist: nothing has been exported there yet"
    ) as error:
        pull(str(tmp_path), mirror)
    assert error.value.is_wrong_usage


@pytest.mark.parametrize("uri", ["s3:/bucket", "s3:bucket", "gs:/bucket/exports", "s3//bucket", "file:/srv"])
def test_a_url_that_lacks_a_slash_is_wrong_usage(mirror: Path, uri: str) -> None:
    with pytest.raises(
        PullError, match=rf"^{uri} cannot be opened: allowed: a URL, (s3|gs|file):// and what follows"
    ) as error:
        pull(uri, mirror)
    assert error.value.is_wrong_usage
    assert not mirror.exists()


def test_a_mirror_is_on_this_machine(source: Path) -> None:
    with pytest.raises(PullError, match=r"^s3://bucket/mirror is no folder on this machine") as error:
        pull(str(source), "s3://bucket/mirror")
    assert error.value.is_wrong_usage


def test_a_mirror_that_cannot_be_written_is_reported(source: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(PullError, match=rf"^{tmp_path}/file cannot be written: .*Not a directory") as error:
        pull(str(source), tmp_path / "file")
    assert error.value.is_wrong_usage
    (tmp_path / "mirror/v1/ledger").mkdir(parents=True)
    (tmp_path / "mirror/v1/ledger/parquet").write_text("in the way")
    with pytest.raises(PullError, match=rf"^{tmp_path}/mirror cannot be written: "):
        pull(str(source), tmp_path / "mirror")


# ---- a damaged source


def flip(source: Path, path: str) -> tuple[str, str]:
    file = source / "v1" / path
    content = bytearray(file.read_bytes())
    digest = sha256(content)
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    return f"the SHA-256 {sha256(content)}", digest


def cut(source: Path, path: str) -> tuple[str, str]:
    length = (source / "v1" / path).stat().st_size
    os.truncate(source / "v1" / path, length - 1)
    return f"{length - 1:,} bytes", f"{length:,}"


def lengthen(source: Path, path: str) -> tuple[str, str]:
    file = source / "v1" / path
    length = file.stat().st_size
    file.write_bytes(file.read_bytes() + b"\0")
    return f"{length + 1:,} bytes", f"{length:,}"


def miscount(source: Path, path: str) -> tuple[str, str]:
    def edit(manifest: dict[str, Any]) -> None:
        (file,) = (
            file
            for one in manifest["partitions"]
            for file in one["files"]
            if f"ledger/{file['path']}" == path
        )
        file["rows"] = 3

    rewrite(source, "ledger", edit)
    return "2 rows", "3"


@pytest.mark.parametrize("path", [NEW, f"ledger/csv/date={THIRD}/part-00001.csv.gz"], ids=["parquet", "csv"])
@pytest.mark.parametrize("damage", [flip, cut, lengthen, miscount])
def test_a_file_that_is_not_as_stated_is_refused_by_name_and_the_mirror_stays(
    states: dict[str, State],
    source: Path,
    mirror: Path,
    damage: Callable[[Path, str], tuple[str, str]],
    path: str,
) -> None:
    pull(str(source), mirror)
    before = files(mirror)
    become(source, states["restated"])
    found, expected = damage(source, path)
    with pytest.raises(PullError) as error:
        pull(str(source), mirror)
    assert (
        str(error.value)
        == f"{source}/v1/{path} has {found} instead of {expected}. The export is damaged: remove that file"
        " there; the next run puts it back."
    )
    assert not error.value.is_wrong_usage
    # Another file of the new manifest may have come; none of those that the mirror had is missing.
    assert {name: content for name, content in files(mirror).items() if "/ledger/" in name}.items() >= {
        name: content for name, content in before.items() if "/ledger/" in name
    }.items()
    assert path not in {name.removeprefix("v1/") for name in files(mirror)}
    become(source, states["restated"])
    pull(str(source), mirror)
    assert files(mirror) == contents(source)


def test_a_file_that_is_missing_is_named_and_the_mirror_stays(
    states: dict[str, State], source: Path, mirror: Path
) -> None:
    pull(str(source), mirror)
    before = files(mirror)
    become(source, states["restated"])
    (source / "v1" / NEW).unlink()
    with pytest.raises(
        PullError,
        match=rf"^{source}/v1/{NEW} does not exist, though the manifest names it\. The export is damaged: ",
    ):
        pull(str(source), mirror)
    assert {name: content for name, content in files(mirror).items() if "/ledger/" in name}.items() >= {
        name: content for name, content in before.items() if "/ledger/" in name
    }.items()
    become(source, states["restated"])
    pull(str(source), mirror)
    assert files(mirror) == contents(source)


def test_a_file_that_is_no_parquet_at_all_is_refused_by_name(source: Path, mirror: Path) -> None:
    def edit(manifest: dict[str, Any]) -> None:
        manifest["partitions"][1]["files"][0] |= {"bytes": 4, "sha256": sha256(b"nope")}

    (source / "v1" / OLD).write_bytes(b"nope")
    rewrite(source, "ledger", edit)
    with pytest.raises(
        PullError, match=rf"^{source}/v1/{OLD} is no parquet with the columns of the manifest: "
    ):
        pull(str(source), mirror)
    assert not [path for path in files(mirror) if path.endswith(".partial")]


def test_a_missing_manifest_is_named_and_other_datasets_before_it_are_pulled(
    source: Path, mirror: Path
) -> None:
    (source / "v1/users/manifest.json").unlink()
    with pytest.raises(
        PullError, match=rf"^{source}/v1/users/manifest\.json does not exist, though the catalog names it"
    ):
        pull(str(source), mirror)
    assert is_whole(mirror, "ledger")


def test_an_error_names_what_had_changed_before_it(
    states: dict[str, State], source: Path, mirror: Path
) -> None:
    pull(str(source), mirror)
    become(source, states["restated"])
    (source / "v1/users/manifest.json").unlink()
    with pytest.raises(PullError) as error:
        pull(str(source), mirror)
    # The next pull finds the ledger unchanged: this one has to say it.
    assert [(one.dataset, [str(day.date) for day in one.changed]) for one in error.value.pulled] == [
        ("ledger", [THIRD])
    ]


def test_a_narrowed_pull_keeps_the_rest_of_the_mirror_in_its_catalog(source: Path, mirror: Path) -> None:
    pull(str(source), mirror)
    pull(str(source), mirror, datasets=["users"])
    named = {one["name"] for one in json.loads((mirror / "v1/catalog.json").read_bytes())["datasets"]}
    assert named == {"ledger", "users"}


def test_a_fault_of_the_network_is_tried_again_and_a_refusal_is_not(
    source: Path, mirror: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fsspec.implementations.local import LocalFileSystem

    get_file, tried = LocalFileSystem.get_file, []

    def faulty(self: LocalFileSystem, place: str, *arguments: Any, **more: Any) -> None:
        tried.append(place)
        if tried.count(place) < 3:
            raise ConnectionResetError("reset by peer")
        get_file(self, place, *arguments, **more)

    monkeypatch.setattr(LocalFileSystem, "get_file", faulty)
    pull(str(source), mirror, datasets=["users"])
    assert {place: tried.count(place) for place in tried} == {
        f"{source}/v1/users/{path}": 3 for path in named(source, "users")
    }

    def refused(self: LocalFileSystem, place: str, *arguments: Any, **more: Any) -> None:
        tried.append(place)
        raise PermissionError("not for you")

    monkeypatch.setattr(LocalFileSystem, "get_file", refused)
    tried.clear()
    with pytest.raises(PullError, match=r"/ledger/.* cannot be read: PermissionError: not for you"):
        pull(str(source), mirror, datasets=["ledger"])
    assert len(tried) == len(set(tried))


def test_a_network_fault_while_a_file_is_continued_loses_nothing_of_it(
    source: Path, mirror: Path, monkeypatch: pytest.MonkeyPatch, states: dict[str, State]
) -> None:
    whole = (source / "v1" / OLD).read_bytes()
    left = left_over(source, mirror, OLD, whole[:-1])
    continue_, faults = Source._continue, itertools.count()

    def faulty(self: Source, path: str, partial: Path, length: int) -> None:
        if next(faults) < 2:
            raise ConnectionResetError("reset by peer")
        assert left.stat().st_size == len(whole) - 1
        continue_(self, path, partial, length)

    monkeypatch.setattr(Source, "_continue", faulty)
    pull(str(source), mirror)
    assert next(faults) == 3
    assert files(mirror) == contents(states["first"].root)


def test_a_full_disk_is_reported_for_the_mirror_not_for_the_source(
    source: Path, mirror: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    on_fetch(monkeypatch, full)
    with pytest.raises(PullError, match=rf"^{mirror} cannot be written: .*No space left on device") as error:
        pull(str(source), mirror)
    assert not error.value.is_wrong_usage
    monkeypatch.undo()
    pull(str(source), mirror)
    assert files(mirror) == contents(source)


# ---- interruptions


class PowerCutError(BaseException):
    """Nothing catches this."""


@contextmanager
def power_for(replacements: int) -> Iterator[None]:
    """The power lasts for that many files that get their names."""
    replace, number = os.replace, itertools.count()

    def replace_or_not(source: Any, target: Any) -> None:
        if next(number) >= replacements:
            raise PowerCutError
        replace(source, target)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "replace", replace_or_not)
        yield


def test_an_interrupted_pull_is_continued_from_any_file(
    source: Path, tmp_path: Path, fetched: list[str]
) -> None:
    total = len(contents(source))
    slices = total - len(TWO) - 1
    for power in range(total):
        mirror = tmp_path / str(power)
        with power_for(power), pytest.raises(PowerCutError):
            pull(str(source), mirror)
        there = {
            path.removeprefix("v1/") for path in files(mirror) if not path.endswith((".json", ".partial"))
        }
        assert len(there) <= power
        fetched.clear()
        pull(str(source), mirror)
        assert len(fetched) == slices - len(there)
        assert not there & set(fetched)
        assert files(mirror) == contents(source)


def test_an_interrupted_update_keeps_what_its_manifest_names(
    states: dict[str, State], source: Path, tmp_path: Path
) -> None:
    for power in range(6):
        mirror = tmp_path / str(power)
        become(source, states["first"])
        pull(str(source), mirror)
        become(source, states["restated"])
        # Two files and a manifest of each dataset.
        with power_for(power), pytest.raises(PowerCutError):
            pull(str(source), mirror)
        assert is_whole(mirror, "ledger")
        assert is_whole(mirror, "users")
        assert (manifest_of(mirror, "ledger") == manifest_of(source, "ledger")) == (power >= 3)
        pull(str(source), mirror)
        assert files(mirror) == contents(source)


def left_over(source: Path, mirror: Path, path: str, content: bytes) -> Path:
    """What an interrupted pull has of a file."""
    name, _, own = path.partition("/")
    target = mirror / "v1" / path
    target.parent.mkdir(parents=True, exist_ok=True)
    left = target.with_name(f".{target.name}.{named(source, name)[own]['sha256'][:16]}.partial")
    left.write_bytes(content)
    return left


def test_the_first_half_of_a_file_is_continued(states: dict[str, State], source: Path, mirror: Path) -> None:
    whole = (source / "v1" / OLD).read_bytes()
    half = len(whole) // 2
    left_over(source, mirror, OLD, whole[:half])
    # At the source only the second half is right: the file can come together only from both.
    (source / "v1" / OLD).write_bytes(bytes(half) + whole[half:])
    pull(str(source), mirror)
    assert files(mirror) == contents(states["first"].root)


@pytest.mark.parametrize(
    "left",
    [b"", b"PAR1 but nothing else is right", bytes(100_000)],
    ids=["nothing", "wrong bytes", "more than it has"],
)
def test_a_wrong_beginning_of_a_file_is_thrown_away(source: Path, mirror: Path, left: bytes) -> None:
    left_over(source, mirror, OLD, left)
    pull(str(source), mirror)
    assert files(mirror) == contents(source)


def test_a_file_that_came_whole_before_the_interruption_only_gets_its_name(
    states: dict[str, State], source: Path, mirror: Path
) -> None:
    whole = (source / "v1" / OLD).read_bytes()
    left_over(source, mirror, OLD, whole)
    (source / "v1" / OLD).write_bytes(bytes(len(whole)))
    pull(str(source), mirror)
    assert files(mirror) == contents(states["first"].root)


def test_what_is_left_of_another_revision_is_not_continued_but_removed(
    states: dict[str, State], source: Path, mirror: Path
) -> None:
    left = left_over(source, mirror, OLD, (source / "v1" / OLD).read_bytes()[:500])
    become(source, states["restated"])
    pull(str(source), mirror)
    assert not left.exists()
    assert files(mirror) == contents(source)


SLOWLY = """
import sys, time
from exports.client import downloads
from exports.client.mirror import pull
from exports.client.source import Source
fetch = Source.fetch
def slowly(self, path, partial, length):
    print(path, flush=True)
    time.sleep(0.05)
    fetch(self, path, partial, length)
Source.fetch = slowly
downloads.DOWNLOADS_AT_ONCE = 2
pull(sys.argv[1], sys.argv[2])
"""


def test_a_killed_pull_leaves_manifests_of_whole_files_and_is_continued(
    everything: State, mirror: Path, fetched: list[str]
) -> None:
    running = subprocess.Popen(
        [sys.executable, "-c", SLOWLY, str(everything.root), str(mirror)], stdout=subprocess.PIPE, text=True
    )
    assert running.stdout is not None
    # In the third dataset.
    for path in running.stdout:
        if path.startswith("user_days/"):
            running.send_signal(signal.SIGKILL)
            break
    running.stdout.close()
    assert running.wait() == -signal.SIGKILL
    there = {path.removeprefix("v1/") for path in files(mirror) if path.endswith((".parquet", ".csv.gz"))}
    assert sorted(path for path in files(mirror) if path.endswith(".json")) == [
        "v1/daily_revenue/manifest.json",
        "v1/ledger/manifest.json",
    ]
    assert is_whole(mirror, "ledger")
    assert is_whole(mirror, "daily_revenue")
    pull(str(everything.root), mirror)
    assert there
    assert not there & set(fetched)
    assert files(mirror) == contents(everything.root)


# ---- an export that is written meanwhile


def test_a_file_that_is_superseded_while_it_is_pulled_makes_the_manifest_read_again(
    states: dict[str, State], source: Path, mirror: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_fetch(monkeypatch, lambda path: path == OLD and become(source, states["restated"]))
    said: list[str] = []
    pulled = pull(str(source), mirror, progress=said.append)
    assert files(mirror) == contents(states["restated"].root)
    assert "ledger: the manifest has changed meanwhile; reading it again" in said
    assert {(str(one.date), one.revision) for one in pulled[0].changed} == {
        (FIRST, 1),
        (THIRD, 2),
        (FOURTH, 1),
    }


def test_whenever_an_export_happens_the_mirror_is_of_one_publication(
    states: dict[str, State], source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock, reads = threading.Lock(), itertools.count()
    when = -1

    def on_read(*_: object) -> None:
        with lock:
            if next(reads) == when:
                become(source, states["restated"])

    read = Source.read
    monkeypatch.setattr(Source, "read", lambda self, path, limit: (on_read(), read(self, path, limit))[1])
    on_fetch(monkeypatch, on_read)
    ends = []
    for when in range(len(contents(source)) + 1):
        become(source, states["first"])
        reads = itertools.count()
        mirror = tmp_path / str(when)
        pull(str(source), mirror)
        ends += [name for name in ("first", "restated") if files(mirror) == contents(states[name].root)]
    assert len(ends) == len(contents(source)) + 1
    # Before anything was read, and when nothing was read any more.
    assert (ends[0], ends[-1]) == ("restated", "first")


def test_an_export_that_was_cut_short_gives_whole_datasets_and_an_error_until_its_catalog_comes(
    states: dict[str, State], source: Path, mirror: Path, fetched: list[str]
) -> None:
    pull(str(source), mirror)
    before = (source / "v1/catalog.json").read_bytes()
    become(source, states["restated"])
    (source / "v1/catalog.json").write_bytes(before)
    said: list[str] = []
    with pytest.raises(
        PullError,
        match=rf"^{source}/v1/catalog\.json does not name the manifests that are there: an export is being",
    ) as error:
        pull(str(source), mirror, progress=said.append)
    assert not error.value.is_wrong_usage
    assert said.count("the export is being written; looking again") == ROUNDS - 1
    # New datasets, and like its source a catalog that does not name them yet.
    assert files(mirror) == contents(source)
    fetched.clear()
    become(source, states["restated"])
    pull(str(source), mirror)
    assert fetched == []
    assert files(mirror) == contents(source)
    assert (
        json.loads((mirror / "v1/catalog.json").read_bytes())["datasets"][0]
        == json.loads((source / "v1/catalog.json").read_bytes())["datasets"][0]
    )


def test_a_long_pull_says_how_far_it_is(source: Path, mirror: Path) -> None:
    said: list[str] = []
    pull(str(source), mirror, datasets=["ledger"], progress=said.append)
    assert said[-1].startswith("ledger: 6 of 6 files, ")


# ---- hostile exports


def with_path(path: str) -> Callable[[dict[str, Any]], None]:
    return lambda manifest: manifest["partitions"][0]["files"][0].update(path=path)


def with_fields(**fields: Any) -> Callable[[dict[str, Any]], None]:
    return lambda manifest: manifest.update(fields)


def with_column(**fields: Any) -> Callable[[dict[str, Any]], None]:
    return lambda manifest: manifest["schema"]["columns"][0].update(fields)


def with_a_day_twice(manifest: dict[str, Any]) -> None:
    manifest["partitions"].append(manifest["partitions"][0] | {"files": []})


def with_a_file_twice(manifest: dict[str, Any]) -> None:
    manifest["partitions"][0]["files"] *= 9


HOSTILE = {
    "out of the folder": with_path("../../../evil.parquet"),
    "out of a day": with_path("parquet/date=2026-10-01/../../../../../part-00000.parquet"),
    "absolute": with_path("/tmp/evil/part-00000.parquet"),
    "backslashes": with_path("parquet\\..\\..\\part-00000.parquet"),
    "another line": with_path("parquet/part-00000.parquet\n"),
    "a pattern": with_path("parquet/date=*/part-00000.parquet"),
    "another dataset's folder": with_path("../users/parquet/part-00000.parquet"),
    "a dataset with a slash": with_fields(dataset="../../ledger"),
    "another dataset": with_fields(dataset="users"),
    "SQL for a type": with_column(type="INTEGER); drop table victim; --"),
    "SQL behind a type": with_column(type="VARCHAR DEFAULT 'x'"),
    "columns twice": lambda manifest: manifest["schema"]["columns"].append(manifest["schema"]["columns"][0]),
    "no columns": lambda manifest: manifest["schema"].update(columns=[]),
    "a day twice": with_a_day_twice,
    "a file twice": with_a_file_twice,
    "negative rows": lambda manifest: manifest["partitions"][0].update(rows=-1),
    "a later version": with_fields(manifest_version=2),
}


@pytest.mark.parametrize("how", HOSTILE)
def test_a_hostile_manifest_is_refused_with_the_place_and_nothing_is_written(
    source: Path, tmp_path: Path, how: str
) -> None:
    rewrite(source, "ledger", HOSTILE[how])
    mirror = tmp_path / "a/b/c/mirror"
    before = contents(tmp_path)
    with pytest.raises(PullError) as error:
        pull(str(source), mirror)
    assert str(error.value).startswith(f"{source}/v1/ledger/")
    outside = {
        path: content for path, content in contents(tmp_path).items() if not path.startswith("a/b/c/mirror/")
    }
    assert outside == before
    assert not (mirror / "v1/ledger/manifest.json").exists()


def test_a_later_version_asks_for_an_update(source: Path, mirror: Path) -> None:
    rewrite(source, "ledger", with_fields(manifest_version=2))
    with pytest.raises(
        PullError, match=r"ledger/manifest\.json: manifest_version: Input should be 1\. .*update this program"
    ):
        pull(str(source), mirror)


@pytest.mark.parametrize("path", ["catalog.json", "ledger/manifest.json"])
@pytest.mark.parametrize(
    "text", [b"", b"\xff\xfe", b"<html>404</html>", b"null", b"[]", b"{}", b'{"datasets": 1}']
)
def test_an_invalid_manifest_is_reported_with_its_place(
    source: Path, mirror: Path, path: str, text: bytes
) -> None:
    (source / "v1" / path).write_bytes(text)
    with pytest.raises(PullError, match=rf"^{source}/v1/{path}: .*damaged"):
        pull(str(source), mirror)


@pytest.mark.parametrize(
    "fields",
    [
        {"name": "../ledger"},
        {"name": "/ledger"},
        {"manifest": "../x/manifest.json"},
        {"manifest": "/etc/passwd"},
        {"manifest": "users/manifest.json"},
    ],
    ids=str,
)
def test_a_hostile_catalog_is_refused(
    source: Path, tmp_path: Path, mirror: Path, fields: dict[str, str]
) -> None:
    place = source / "v1/catalog.json"
    listed = json.loads(place.read_bytes())
    listed["datasets"][0] |= fields
    place.write_text(json.dumps(listed))
    before = contents(tmp_path)
    with pytest.raises(PullError, match=r"/v1/(catalog|users/manifest)\.json: .*dataset"):
        pull(str(source), mirror)
    assert {
        path: content for path, content in contents(tmp_path).items() if not path.startswith("mirror/")
    } == before


def with_one_column(source: Path, name: str) -> None:
    """Make the snapshot `users` one column of this name, files and manifest."""
    pq.write_table(pa.table({name: ["x"]}), source / "v1/users/parquet/part-00000.parquet")
    content = (source / "v1/users/parquet/part-00000.parquet").read_bytes()
    file = {
        "path": "parquet/part-00000.parquet",
        "format": "parquet",
        "bytes": len(content),
        "rows": 1,
        "sha256": sha256(content),
    }

    def edit(manifest: dict[str, Any]) -> None:
        manifest["partitions"][0] |= {"rows": 1, "files": [file]}
        manifest["schema"] |= {
            "columns": [{"name": name, "type": "VARCHAR", "description": "d"}],
            "fingerprint": sha256(name.encode()),
        }

    rewrite(source, "users", edit)


@pytest.mark.parametrize(
    "name", ['x" VARCHAR); drop table victim; --', "'); drop table victim; --", "select", "a\nb", "é 😀", "*"]
)
def test_a_column_may_have_any_name_and_no_sql_of_it_runs(
    source: Path, mirror: Path, tmp_path: Path, name: str
) -> None:
    file = tmp_path / "tables.duckdb"
    with duckdb.connect(str(file)) as connection:
        connection.execute("create table victim as select 1 as one")
    with_one_column(source, name)
    pull(str(source), mirror, datasets=["users"])
    list(load_into(mirror, file))
    with duckdb.connect(str(file), read_only=True) as connection:
        assert connection.execute("select * from victim").fetchall() == [(1,)]
        assert connection.execute(
            "select column_name from duckdb_columns() where table_name = 'users'"
        ).fetchall() == [(name,)]
        assert connection.execute("from users").fetchall() == [("x",)]


@pytest.mark.parametrize(
    "edit",
    [
        with_column(type="NO SUCH TYPE"),
        with_column(name=""),
        with_fields(partitioned_by='x" = 1; drop table victim; --'),
        with_column(name="other"),
    ],
    ids=["unknown type", "no name", "SQL for a day", "another name"],
)
def test_what_cannot_be_loaded_leaves_the_tables_as_they_were(
    states: dict[str, State],
    source: Path,
    mirror: Path,
    tmp_path: Path,
    edit: Callable[[dict[str, Any]], None],
) -> None:
    file = tmp_path / "tables.duckdb"
    pull(str(source), mirror, datasets=["ledger"], formats=["parquet"])
    list(load_into(mirror, file))
    become(source, states["restated"])
    rewrite(
        source,
        "ledger",
        lambda manifest: (edit(manifest), manifest["schema"].update(fingerprint=sha256(b"another"))),
    )
    pull(str(source), mirror, datasets=["ledger"], formats=["parquet"])
    with pytest.raises(
        PullError, match=rf"(?s)^{mirror}/v1/ledger cannot be loaded: .*The table is as it was"
    ):
        list(load_into(mirror, file))
    assert_table_is_mart(file, states["first"].home, "ledger")


# ---- tables


def rows_of(
    connection: duckdb.DuckDBPyConnection, table: str, name: str
) -> tuple[list[tuple[str, str]], list[tuple[Any, ...]]]:
    connection.execute("set TimeZone = 'UTC'")
    schema, _, bare = table.rpartition(".")
    types = connection.execute(
        "select column_name, data_type from duckdb_columns() where schema_name = ? and table_name = ? order"
        " by column_index",
        [schema or "main", bare],
    ).fetchall()
    return types, connection.execute(f"select * from {table} order by {ORDER[name]}").fetchall()


def assert_table_is_mart(file: Path, home: Path, name: str) -> None:
    with duckdb.connect(str(file), read_only=True) as connection:
        found = rows_of(connection, name, name)
    with opened(home) as connection:
        assert found == rows_of(connection, f"marts.{MARTS[name]}", name)


@pytest.fixture
def tables(tmp_path: Path) -> Path:
    return tmp_path / "tables.duckdb"


def imported(source: Path, mirror: Path, tables: Path, **narrowed: Any) -> dict[str, str]:
    """Pull and load; what was said of each dataset."""
    pull(str(source), mirror, **narrowed)
    return {(words := line.split(": "))[1]: words[2] for line in load_into(mirror, tables)}


def test_tables_have_the_rows_sums_and_types_of_the_marts(
    everything: State, states: dict[str, State], source: Path, mirror: Path, tables: Path
) -> None:
    said = imported(everything.root, mirror, tables)
    assert list(said) == list(DATASETS)
    for name in DATASETS:
        assert_table_is_mart(tables, everything.home, name)
    become(source, states["restated"])
    imported(source, mirror, tables)
    with duckdb.connect(str(tables), read_only=True) as connection:
        types = dict(rows_of(connection, "ledger", "ledger")[0]) | dict(
            rows_of(connection, "reconciliation", "reconciliation")[0]
        )
        sums = (
            "select sum(amount), max(prompt_tokens), min(revenue) filter (where entry_id = 'late') from"
            " ledger"
        )
        # Two deposits of 25, 1.25 twice, 1e-12, a refund of 0.25, an adjustment of -1.
        assert [str(one) for one in connection.execute(sums).fetchone() or ()] == [
            "26.750000000001",
            "9007199254740993",
            "1E-12",
        ]
    assert {types[name] for name in ("amount", "revenue", "provider_cost")} == {"DECIMAL(38,12)"}
    assert (types["occurred_at"], types["prompt_tokens"], types["deposit_entry_ids"]) == (
        "TIMESTAMP WITH TIME ZONE",
        "BIGINT",
        "VARCHAR[]",
    )


def test_a_restated_day_and_a_snapshot_are_replaced(
    states: dict[str, State], source: Path, mirror: Path, tables: Path
) -> None:
    imported(source, mirror, tables)
    become(source, states["restated"])
    said = imported(source, mirror, tables)
    assert said == dict.fromkeys(TWO, "1 partition replaced")
    for name in TWO:
        assert_table_is_mart(tables, states["restated"].home, name)


def test_unchanged_tables_are_not_touched(source: Path, mirror: Path, tables: Path) -> None:
    imported(source, mirror, tables)
    with duckdb.connect(str(tables)) as connection:
        connection.execute("update ledger set user_id = 'my own note'")
    assert imported(source, mirror, tables) == {"ledger": "unchanged", "users": "unchanged"}
    with duckdb.connect(str(tables), read_only=True) as connection:
        assert connection.execute("select distinct user_id from ledger").fetchall() == [("my own note",)]


def test_an_emptied_day_takes_its_rows_with_it(
    states: dict[str, State], source: Path, mirror: Path, tables: Path
) -> None:
    become(source, states["restated"])
    imported(source, mirror, tables, datasets=["ledger"])
    become(source, states["emptied"])
    assert imported(source, mirror, tables, datasets=["ledger"]) == {"ledger": "1 partition replaced"}
    assert_table_is_mart(tables, states["emptied"].home, "ledger")


def test_an_export_rebuilt_under_the_same_names_gives_its_own_rows(
    states: dict[str, State], source: Path, mirror: Path, tables: Path
) -> None:
    # Revision 1 again, the third day with other rows in files of the same names, and no fourth day.
    imported(source, mirror, tables, datasets=["ledger"])
    become(source, states["anew"])
    assert imported(source, mirror, tables, datasets=["ledger"]) == {"ledger": "2 partitions replaced"}
    assert_table_is_mart(tables, states["anew"].home, "ledger")


def test_other_columns_reload_the_table(
    states: dict[str, State], source: Path, mirror: Path, tables: Path
) -> None:
    imported(source, mirror, tables)
    become(source, states["wider"])
    assert imported(source, mirror, tables)["ledger"] == "3 partitions replaced"
    assert_table_is_mart(tables, states["wider"].home, "ledger")
    become(source, states["first"])
    imported(source, mirror, tables)
    assert_table_is_mart(tables, states["first"].home, "ledger")


def test_a_table_that_was_dropped_is_made_again(
    states: dict[str, State], source: Path, mirror: Path, tables: Path
) -> None:
    imported(source, mirror, tables)
    with duckdb.connect(str(tables)) as connection:
        connection.execute("drop table ledger")
    assert imported(source, mirror, tables) == {"ledger": "3 partitions replaced", "users": "unchanged"}
    assert_table_is_mart(tables, states["first"].home, "ledger")


def test_a_day_without_any_file_is_loaded_as_empty(source: Path, mirror: Path, tables: Path) -> None:
    def edit(manifest: dict[str, Any]) -> None:
        manifest["partitions"][0] |= {"rows": 0, "files": [], "totals": {}}

    rewrite(source, "users", edit)
    assert imported(source, mirror, tables, datasets=["users"]) == {"users": "1 partition replaced"}
    with duckdb.connect(str(tables), read_only=True) as connection:
        assert connection.execute("select count(*) from users").fetchone() == (0,)


KILLED_WHILE_LOADING = """
import os, signal, sys
from pathlib import Path
from exports.client import duckdb_tables
insert = duckdb_tables._insert
def killed(connection, table, folder, manifest, changed):
    insert(connection, table, folder, manifest, changed)
    if manifest.dataset == "users":
        os.kill(os.getpid(), signal.SIGKILL)
duckdb_tables._insert = killed
print(*duckdb_tables.load_into(Path(sys.argv[1]), Path(sys.argv[2])), flush=True)
"""


def test_a_killed_load_leaves_whole_datasets_and_the_next_one_completes(
    states: dict[str, State], source: Path, mirror: Path, tables: Path
) -> None:
    imported(source, mirror, tables)
    become(source, states["restated"])
    pull(str(source), mirror)
    killed = subprocess.run(
        [sys.executable, "-c", KILLED_WHILE_LOADING, str(mirror), str(tables)], check=False
    )
    assert killed.returncode == -signal.SIGKILL
    assert_table_is_mart(tables, states["restated"].home, "ledger")
    assert_table_is_mart(tables, states["first"].home, "users")
    assert imported(source, mirror, tables) == {"ledger": "unchanged", "users": "1 partition replaced"}
    assert_table_is_mart(tables, states["restated"].home, "users")


def test_an_interrupted_load_of_a_dataset_is_rolled_back(
    states: dict[str, State], source: Path, mirror: Path, tables: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    imported(source, mirror, tables, datasets=["ledger"])
    become(source, states["restated"])

    def cut_off(*_: object) -> None:
        raise PowerCutError

    with monkeypatch.context() as patch:
        patch.setattr(duckdb_tables, "_insert", cut_off)
        with pytest.raises(PowerCutError):
            imported(source, mirror, tables, datasets=["ledger"])
    assert_table_is_mart(tables, states["first"].home, "ledger")
    assert imported(source, mirror, tables, datasets=["ledger"]) == {"ledger": "1 partition replaced"}
    assert_table_is_mart(tables, states["restated"].home, "ledger")


def test_a_file_that_another_process_has_open_is_reported(source: Path, mirror: Path, tables: Path) -> None:
    pull(str(source), mirror)
    holding = "import duckdb, sys; held = duckdb.connect(sys.argv[1]); print(flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", holding, str(tables)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        with pytest.raises(
            PullError, match=rf"(?s)^--into {tables} cannot be opened: .*lock.*Close what has it open"
        ) as error:
            list(load_into(mirror, tables))
        holder.communicate(b"")
    assert not error.value.is_wrong_usage
    assert len(list(load_into(mirror, tables))) == len(TWO)


def test_a_file_that_is_no_database_is_left_alone(source: Path, mirror: Path, tmp_path: Path) -> None:
    pull(str(source), mirror, datasets=["users"])
    (tmp_path / "notes.txt").write_text("mine" * 5000)
    for place in (tmp_path / "notes.txt", tmp_path, tmp_path / "no folder" / "tables.duckdb"):
        with pytest.raises(PullError, match=rf"(?s)^--into {place} cannot be opened: "):
            list(load_into(mirror, place))
    assert (tmp_path / "notes.txt").read_text() == "mine" * 5000


@pytest.mark.parametrize("name", ["main", "paywall_pull", "ledger", "temp", "it's"])
def test_the_file_may_have_any_name(
    states: dict[str, State], source: Path, mirror: Path, tmp_path: Path, name: str
) -> None:
    file = tmp_path / f"{name}.duckdb"
    imported(source, mirror, file, datasets=["ledger"])
    assert imported(source, mirror, file, datasets=["ledger"]) == {"ledger": "unchanged"}
    assert_table_is_mart(file, states["first"].home, "ledger")


def test_a_table_of_ones_own_is_never_taken_for_a_dataset(source: Path, mirror: Path, tables: Path) -> None:
    with duckdb.connect(str(tables)) as connection:
        connection.execute("create table ledger as select 42 as answer")
    with pytest.raises(
        PullError, match=r"the file has a table ledger of its own, which stays; choose another file"
    ) as error:
        imported(source, mirror, tables, datasets=["ledger"])
    assert error.value.is_wrong_usage
    with duckdb.connect(str(tables), read_only=True) as connection:
        assert connection.execute("from ledger").fetchall() == [(42,)]


def test_a_new_file_can_be_opened_by_duckdb_1_5(source: Path, mirror: Path, tables: Path) -> None:
    imported(source, mirror, tables, datasets=["users"])
    with duckdb.connect() as connection:
        connection.execute(f"attach '{tables}' as file (read_only)")
        (tags,) = connection.execute(
            "select cast(tags as varchar) from duckdb_databases() where database_name = 'file'"
        ).fetchall()
    assert "v1.5.0" in tags[0]


def test_tables_of_other_people_in_the_file_stay(source: Path, mirror: Path, tables: Path) -> None:
    with duckdb.connect(str(tables)) as connection:
        connection.execute(
            "create table mine as select 42 as answer; create schema marts; create table marts.ledger as"
            " select 43 as answer"
        )
    imported(source, mirror, tables, datasets=["ledger"])
    with duckdb.connect(str(tables), read_only=True) as connection:
        assert connection.execute("from mine union all from marts.ledger order by all").fetchall() == [
            (42,),
            (43,),
        ]


def test_a_view_in_the_way_is_reported(source: Path, mirror: Path, tables: Path) -> None:
    with duckdb.connect(str(tables)) as connection:
        connection.execute("create view ledger as select 1 as one")
    pull(str(source), mirror, datasets=["ledger"])
    with pytest.raises(PullError, match=r"(?s)ledger cannot be loaded: .*View"):
        list(load_into(mirror, tables))


# ---- a person who was erased


OWN = """
create table notes (id integer primary key, words varchar default 'n');
insert into notes values (1, 'mine');
create index by_words on notes (words);
create view spent as select user_id, sum(revenue) as revenue from ledger group by 1;
create macro twice(x) as 2 * x;
create schema s; create table s.t as select 1.5::decimal(38, 12) as d;
"""


def erased_id_is_in(file: Path) -> bool:
    """Whether any page of the file says `alice`, used or free; no other text of the two datasets does."""
    return b"alice" in file.read_bytes()


@pytest.mark.parametrize("pieces", [[TWO], [("ledger",), ("users",)]], ids=["at once", "one by one"])
def test_a_file_is_rewritten_when_a_person_was_erased(
    states: dict[str, State], source: Path, mirror: Path, tables: Path, pieces: list[tuple[str, ...]]
) -> None:
    become(source, states["restated"])
    imported(source, mirror, tables)
    with duckdb.connect(str(tables)) as connection:
        connection.execute(OWN)
    assert erased_id_is_in(tables)
    become(source, states["erased"])
    for piece in pieces:
        pull(str(source), mirror, datasets=piece)
        lines = list(load_into(mirror, tables, datasets=piece))
        assert lines[-1] == f"{tables}: rebuilt, without the data that was erased"
    assert not erased_id_is_in(tables)
    assert sorted(one.name for one in tables.parent.iterdir()) == ["mirror", "source", "tables.duckdb"]
    for name in TWO:
        assert_table_is_mart(tables, states["erased"].home, name)
    with duckdb.connect(str(tables)) as connection:
        assert connection.execute("select twice(id), words, d from notes, s.t").fetchall() == [
            (2, "mine", Decimal("1.5"))
        ]
        assert ("erased-1",) in connection.execute("select user_id from spent").fetchall()
        with pytest.raises(duckdb.ConstraintException):
            connection.execute("insert into notes values (1, 'twice')")
    # Another time there is nothing to do.
    inode = tables.stat().st_ino
    assert imported(source, mirror, tables) == {"ledger": "unchanged", "users": "unchanged"}
    assert tables.stat().st_ino == inode


def test_a_new_file_is_not_written_twice_for_an_erasure_before_it(
    states: dict[str, State], source: Path, mirror: Path, tables: Path
) -> None:
    become(source, states["erased"])
    pull(str(source), mirror)
    assert [line.split(": ")[1] for line in load_into(mirror, tables)] == ["ledger", "users"]


def test_a_file_of_a_version_without_erasures_is_rewritten(
    states: dict[str, State], source: Path, mirror: Path, tables: Path
) -> None:
    become(source, states["restated"])
    imported(source, mirror, tables)
    with duckdb.connect(str(tables)) as connection:
        for column in ("erased_at", "file_erased_at"):
            connection.execute(f"alter table paywall_pull.datasets drop column {column}")
    become(source, states["erased"])
    brought_lines = [pull(str(source), mirror), *load_into(mirror, tables)]
    assert str(brought_lines[-1]).endswith("rebuilt, without the data that was erased")
    assert not erased_id_is_in(tables)


def test_a_rewrite_that_was_cut_short_is_made_up_for(
    states: dict[str, State], source: Path, mirror: Path, tables: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    become(source, states["restated"])
    imported(source, mirror, tables)
    become(source, states["erased"])
    pull(str(source), mirror)

    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(duckdb_tables.shutil, "copymode", full)
        with pytest.raises(PullError, match="may still hold the id of a person who was erased"):
            list(load_into(mirror, tables))
    assert_table_is_mart(tables, states["erased"].home, "ledger")
    assert erased_id_is_in(tables)
    assert [line.split(": ", 1)[1] for line in load_into(mirror, tables)] == [
        "ledger: unchanged", "users: unchanged", "rebuilt, without the data that was erased",
    ]  # fmt: skip
    assert not erased_id_is_in(tables)


def test_csv_alone_cannot_be_loaded(source: Path, mirror: Path, tables: Path) -> None:
    pull(str(source), mirror, datasets=["ledger"], formats=["csv"])
    with pytest.raises(
        PullError, match=r"^--into needs Parquet, which the mirror of ledger has none of: pull it too"
    ) as error:
        list(load_into(mirror, tables))
    assert error.value.is_wrong_usage


def test_what_has_not_been_pulled_cannot_be_loaded(source: Path, mirror: Path, tables: Path) -> None:
    with pytest.raises(PullError, match=rf"^{mirror} is no whole mirror: .*Pull first") as error:
        list(load_into(mirror, tables))
    assert error.value.is_wrong_usage
    pull(str(source), mirror, datasets=["users"])
    with pytest.raises(PullError, match=rf"^{mirror} has no ledger: pull it first"):
        list(load_into(mirror, tables, datasets=["ledger"]))
    (mirror / "v1/users/parquet/part-00000.parquet").unlink()
    with pytest.raises(
        PullError,
        match=(
            r"users/parquet/part-00000\.parquet is not the file that was pulled: remove it, and pull again"
        ),
    ):
        list(load_into(mirror, tables))


# ---- the command


def test_the_command_says_what_changed_and_nothing_else_on_standard_output(
    states: dict[str, State], source: Path, mirror: Path, tables: Path
) -> None:
    become(source, states["restated"])
    asked = (
        "pull",
        str(source),
        str(mirror),
        "--dataset",
        "ledger",
        "--dataset",
        "users",
        "--format",
        "parquet",
        "--into",
        str(tables),
    )
    first = command(mirror, *asked)
    assert (first.returncode, first.stderr) == (0, "")
    ledger, users, *loaded = first.stdout.splitlines()
    days = f"{FOURTH} (revision 1), {THIRD} (revision 2), {FIRST} (revision 1)"
    sizes = {
        name: (
            sum(file["bytes"] for file in named(source, name).values() if file["format"] == "parquet") / 1000
        )
        for name in TWO
    }
    assert ledger == f"ledger: 3 days changed: {days}; 3 files, {sizes['ledger']:.1f} kB"
    assert users == f"users: revision 2, 3 rows; 1 file, {sizes['users']:.1f} kB"
    assert loaded == [f"{tables}: ledger: 3 partitions replaced", f"{tables}: users: 1 partition replaced"]
    for name in TWO:
        assert_table_is_mart(tables, states["restated"].home, name)
    again = command(mirror, *asked)
    assert again.stdout.splitlines() == [
        "ledger: unchanged",
        "users: unchanged",
        *(f"{tables}: {name}: unchanged" for name in TWO),
    ]


def test_the_exit_code_distinguishes_a_damaged_export_from_wrong_usage(
    source: Path, mirror: Path, tmp_path: Path
) -> None:
    missing = command(mirror, "pull", str(tmp_path / "nowhere"), str(mirror))
    assert (missing.returncode, missing.stdout) == (2, "")
    assert missing.stderr.startswith(
        f"{tmp_path}/nowhere/v1/catalog.json does not exist: nothing has been exported there yet"
    )
    unknown = command(mirror, "pull", str(source), str(mirror), "--dataset", "ledgers")
    assert (unknown.returncode, "it has: ledger, " in unknown.stderr) == (2, True)
    cut(source, OLD)
    damaged = command(mirror, "pull", str(source), str(mirror), "--dataset", "ledger")
    assert (damaged.returncode, damaged.stdout) == (1, "")
    assert damaged.stderr.startswith(f"{source}/v1/{OLD} has ")
    for done in (missing, unknown, damaged):
        assert "Traceback" not in done.stderr
        assert len(done.stderr.splitlines()) == 1


def test_the_command_reports_waiting_on_standard_error(source: Path, mirror: Path) -> None:
    (source / "v1/users/manifest.json").write_bytes((source / "v1/users/manifest.json").read_bytes() + b" ")
    running = subprocess.Popen(
        [
            str(Path(sys.executable).with_name("paywall-warehouse")),
            "pull",
            str(source),
            str(mirror),
            "--dataset",
            "users",
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # Whoever runs the tests in the background has SIGINT ignored, and so would have the command.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509
    )
    assert running.stderr is not None
    assert running.stderr.readline() == "the export is being written; looking again\n"
    running.send_signal(signal.SIGINT)
    said, rest = running.communicate()
    assert running.returncode != 0
    assert (said, "Traceback" in rest) == ("", False)


# ---- any sequence


@pytest.mark.parametrize("steps", [6, *in_soak(30)])
def test_after_any_sequence_of_exports_and_pulls_mirror_and_tables_are_what_is_published(
    states: dict[str, State], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, steps: int
) -> None:
    limit_datasets(monkeypatch, *TWO)
    chance = random.Random(4711)
    home, mirror, tables = (
        copied(states["first"].home, tmp_path / "home"),
        tmp_path / "mirror",
        tmp_path / "tables.duckdb",
    )

    def some_day() -> str:
        return f"date '2026-10-{chance.randint(2, 7):02}'"

    def add() -> str:
        return like_c1(
            entry_id=f"'{chance.random()}'",
            entry_date=some_day(),
            amount=f"{chance.randint(-9, 9)}.000000000001",
        )

    edits: list[Callable[[], str]] = [
        add,
        add,
        lambda: f"delete from marts.fct_ledger_entries where entry_date = {some_day()}",
        lambda: (
            f"update marts.fct_ledger_entries set revenue = {chance.randint(0, 3)} where entry_date ="
            f" {some_day()}"
        ),
        lambda: f"update marts.rpt_users set balance = {chance.randint(0, 2)}",
        lambda: "select 1",
    ]
    for step in range(steps):
        change(home, *(chance.choice(edits)() for _ in range(chance.randint(1, 3))), run_id=f"run-{step}")
        if chance.random() < 0.1:
            shutil.rmtree(home / "exports", ignore_errors=True)
        exported(home)
        fate = chance.random() if step < steps - 1 else 1
        if fate < 0.2:
            continue
        if fate < 0.4:
            with power_for(chance.randint(0, 4)):
                try:
                    pull(str(home / "exports"), mirror)
                except PowerCutError:
                    continue
        pull(str(home / "exports"), mirror)
        assert files(mirror) == contents(home / "exports")
        if fate < 0.6:
            continue
        list(load_into(mirror, tables))
        for name in TWO:
            assert_table_is_mart(tables, home, name)
