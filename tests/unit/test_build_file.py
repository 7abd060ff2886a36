"""What the next build starts from: the published file as publication left it, and nothing that anybody has
changed since.
"""

import os
import shutil
from pathlib import Path

import duckdb
import pytest

from ingestion.lake.schemas import BREAKS, defined
from paywall_warehouse.home import Home
from paywall_warehouse.settings import load_settings
from tests.support.builders import charge, deposit, land, ledger_file
from tests.support.harness import run_pipeline
from warehouse import build_file
from warehouse.build import prepare_build
from warehouse.build_file import (
    PublishedState,
    copy_ahead,
    drop_copy_ahead,
    note_publication,
    prepare_build_file,
    published_state,
)
from warehouse.price_book import resolve_price_book

AS_OF = "2026-10-05T12:00:00Z"


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """A home with a published file of one table."""
    home = Home(tmp_path)
    publish(home, "first")
    return home


def publish(home: Home, name: str) -> None:
    home.published_file.parent.mkdir(exist_ok=True)
    home.published_file.unlink(missing_ok=True)
    with duckdb.connect(str(home.published_file)) as connection:
        connection.execute(f"create table {name} as select 1")
    note_publication(home, home.published_file, fingerprint=name, built_through=3)


def tables(file: Path) -> list[str]:
    with duckdb.connect(str(file), read_only=True) as connection:
        return [name for (name,) in connection.execute("select table_name from duckdb_tables()").fetchall()]


def files(home: Home) -> set[str]:
    return {file.name for file in home.root.iterdir() if file.is_file()}


def test_a_build_starts_from_what_is_published(home: Home) -> None:
    state = published_state(home)
    assert isinstance(state, PublishedState)
    assert (state.fingerprint, state.built_through) == ("first", 3)
    assert prepare_build_file(home, state)
    assert tables(home.build_file) == ["first"]
    assert not prepare_build_file(home, state), "what was not published yet is gone on with"


def test_a_publication_that_was_cut_short_leaves_what_was_published(home: Home, tmp_path: Path) -> None:
    """Killed between noting the new file and moving it, and then killed so once more."""
    for name in ("second", "third"):
        (tmp_path / name).write_bytes(name.encode())
        note_publication(home, tmp_path / name, fingerprint=name, built_through=4)
        state = published_state(home)
        assert state is not None
        assert state.fingerprint == "first"


def test_a_copy_that_was_started_ahead_is_taken(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    def nothing(*_: object) -> None:
        raise AssertionError("it was copied once more")

    copy_ahead(home)
    monkeypatch.setattr(build_file, "_copy", nothing)
    assert prepare_build_file(home, published_state(home))
    assert tables(home.build_file) == ["first"]
    assert files(home) == {"warehouse.duckdb"}


def test_a_copy_of_what_is_no_longer_published_is_not_taken(home: Home) -> None:
    copy_ahead(home)
    publish(home, "second")
    assert prepare_build_file(home, published_state(home))
    assert tables(home.build_file) == ["second"]
    assert files(home) == {"warehouse.duckdb"}


def test_a_copy_that_nobody_needs_leaves_nothing(home: Home) -> None:
    copy_ahead(home)
    drop_copy_ahead(home)
    assert files(home) == set()


def test_what_a_killed_process_left_is_removed(home: Home) -> None:
    (home.root / ".warehouse.duckdb.4711.ahead").write_bytes(b"half")
    (home.root / ".warehouse.duckdb.4711.partial").write_bytes(b"half")
    prepare_build_file(home, published_state(home))
    assert files(home) == {"warehouse.duckdb"}


def test_a_build_file_is_there_whole_or_not_at_all(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    class Killed(BaseException):
        pass

    def half(path: Path) -> None:
        path.write_bytes(b"half of a header")
        raise Killed

    monkeypatch.setattr(build_file, "_create", half)
    with pytest.raises(Killed):
        prepare_build_file(home, None)
    assert not home.build_file.exists()
    monkeypatch.undo()
    prepare_build_file(home, None)
    assert tables(home.build_file) == []


@pytest.mark.parametrize("content", [b"", b"half", bytes(12_288)])
def test_a_build_file_that_cannot_be_opened_is_made_anew_from_what_is_published(
    tmp_path: Path, content: bytes
) -> None:
    settings = load_settings(_env_file=None, warehouse_home=tmp_path)
    resolve_price_book(settings)
    home = settings.home
    publish(home, "first")
    with duckdb.connect(str(home.published_file)) as connection:
        connection.execute(
            f"create schema marts; create table marts.fct_reconciliation_history ({defined(BREAKS)})"
        )
    note_publication(home, home.published_file, fingerprint="first", built_through=3)
    home.build_file.write_bytes(content)
    with duckdb.connect(str(tmp_path / "another.duckdb")) as connection:
        connection.execute("create table another as select 1")
        shutil.copy(tmp_path / "another.duckdb.wal", tmp_path / "warehouse.duckdb.wal")
    assert prepare_build(settings, "code").needed
    assert "first" in tables(home.build_file)


def test_a_file_that_somebody_has_changed_is_not_built_on(home: Home) -> None:
    with duckdb.connect(str(home.published_file)) as connection:
        connection.execute("create table other as select 1")
    assert published_state(home) is None
    assert not prepare_build_file(home, None)
    assert tables(home.build_file) == []


@pytest.fixture(scope="module")
def run_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home after its first run; not to be changed."""
    home = tmp_path_factory.mktemp("run")
    land(
        home,
        [
            ledger_file(
                "a.jsonl",
                [deposit("d1", "2026-10-01T08:00:00Z", "20"), charge("c1", "2026-10-01T09:00:00Z", "1.5")],
            )
        ],
    )
    assert run_pipeline(home, as_of=AS_OF).exit_code == 0
    return home


def entries(file: Path) -> list[str]:
    with duckdb.connect(str(file), read_only=True) as connection:
        return [
            name
            for (name,) in connection.execute(
                "select entry_id from marts.fct_ledger_entries order by 1"
            ).fetchall()
        ]


@pytest.mark.soak
def test_rows_that_somebody_deleted_from_the_published_file_are_back_after_the_next_run(
    run_once: Path, tmp_path: Path
) -> None:
    home = Path(shutil.copytree(run_once, tmp_path / "home"))
    file = home / "published" / "warehouse.duckdb"
    with duckdb.connect(str(file)) as connection:
        connection.execute(
            "delete from marts.fct_ledger_entries where entry_id = 'c1'; delete from marts.fct_user_days"
        )
    land(home, [ledger_file("b.jsonl", [charge("c2", "2026-10-02T09:00:00Z", "2")])])
    result = run_pipeline(home, as_of=AS_OF)
    assert result.exit_code == 0, result
    assert entries(file) == ["c1", "c2", "d1"]
    with duckdb.connect(str(file), read_only=True) as connection:
        assert connection.execute(
            "select cast(sum(revenue) as varchar) from marts.fct_user_days"
        ).fetchall() == [("3.500000000000",)]


@pytest.mark.soak
def test_a_published_file_that_was_damaged_on_the_disk_is_made_anew_from_the_lake(
    run_once: Path, tmp_path: Path
) -> None:
    home = Path(shutil.copytree(run_once, tmp_path / "home"))
    file = home / "published" / "warehouse.duckdb"
    before = file.stat()
    with file.open("r+b") as opened:
        opened.write(bytes(20_000))
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    result = run_pipeline(home, as_of=AS_OF)
    assert result.exit_code == 0, result
    assert entries(file) == ["c1", "d1"]
