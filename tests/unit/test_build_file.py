"""What the next build starts from: the published file as publication left it, and nothing that anybody has
changed since.
"""

import shutil
from pathlib import Path

import duckdb
import pytest

from ingestion.lake.schemas import BREAKS, defined
from paywall_warehouse.home import Home
from paywall_warehouse.settings import load_settings
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


def test_a_copy_that_is_not_needed_leaves_nothing(home: Home) -> None:
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
def test_a_build_file_that_cannot_be_opened_is_rebuilt_from_what_is_published(
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
