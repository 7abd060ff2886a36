"""What a cluster reads on a store: a copy of the committed lake, and where it writes for this machine."""

import shutil
import uuid
from pathlib import Path

import duckdb
import fsspec
import pytest

from ingestion.lake.batches import Lake
from paywall_warehouse.settings import Settings, load_settings
from tests.support.builders import charge, deposit, land, ledger_file
from tests.support.ingestion import erase, load
from warehouse.price_book import resolve_price_book
from warehouse.spark.exchange import exchange_folder
from warehouse.spark.lake_copy import copies_before_erasure, copy_lake

STORE = fsspec.filesystem("memory")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home whose lake has two batches: of entries, and of their rejects."""
    home = tmp_path_factory.mktemp("lake") / "home"
    entries = [
        deposit("d1", "2026-10-01T08:00:00Z", "20"),
        charge("c1", "2026-10-01T09:00:00Z", "1.25"),
        {"id": "x"},
    ]
    land(home, [ledger_file("a.jsonl", entries)])
    settings = load_settings(_env_file=None, warehouse_home=home)
    load(settings, "ledger")
    resolve_price_book(settings)
    return home


@pytest.fixture
def settings(home: Path) -> Settings:
    """The home, with a copy of its lake on a store of its own."""
    return load_settings(_env_file=None, warehouse_home=home, lake_uri=f"memory://{uuid.uuid4().hex}/lake")


def copied(settings: Settings) -> dict[str, bytes]:
    root = settings.lake.removeprefix("memory:/")
    return {path.removeprefix(f"{root}/"): STORE.cat_file(path) for path in STORE.find(root)}


def committed(settings: Settings) -> dict[str, bytes]:
    lake = settings.home.lake
    return {file.relative_to(lake).as_posix(): file.read_bytes() for file in lake.rglob("*.parquet")}


def test_the_copy_has_what_is_committed_and_nothing_else(settings: Settings) -> None:
    (left_over := settings.home.lake / "ledger_entries" / "batch=00000099").mkdir()
    try:
        (left_over / "killed.parquet").write_bytes(b"half")
        written = copy_lake(settings)
    finally:
        (left_over / "killed.parquet").unlink()
        left_over.rmdir()
    assert copied(settings) == committed(settings)
    assert any(path.startswith("rejects/") for path in copied(settings))
    assert written == sum(map(len, committed(settings).values()))


def test_a_batch_is_copied_once_and_again_where_it_is_cut_short(settings: Settings) -> None:
    copy_lake(settings)
    book = sum(file.stat().st_size for file in Lake(settings.home).price_book.glob("*.parquet"))
    assert copy_lake(settings) == book, "the price book is a snapshot, whose size says nothing"
    (batch,) = (path for path in copied(settings) if path.startswith("rejects/"))
    STORE.pipe_file(f"{settings.lake.removeprefix('memory:/')}/{batch}", b"cut")
    assert copy_lake(settings) == book + len(committed(settings)[batch])
    assert copied(settings) == committed(settings)


def test_after_an_erasure_the_copy_is_rebuilt(home: Path, tmp_path: Path) -> None:
    shutil.copytree(home, tmp_path, dirs_exist_ok=True)
    settings = load_settings(
        _env_file=None, warehouse_home=tmp_path, lake_uri=f"memory://{uuid.uuid4().hex}/lake"
    )
    copy_lake(settings)
    before = copied(settings)
    assert erase(settings, "alice").rows == 2
    resolve_price_book(settings)
    # As a rewritten file has it by chance: sizes are the same.
    (entries,) = (path for path in before if path.startswith("ledger_entries/"))
    STORE.pipe_file(
        f"{settings.lake.removeprefix('memory:/')}/{entries}", b"x" * len(committed(settings)[entries])
    )
    copy_lake(settings)
    assert copied(settings) == committed(settings)
    assert copied(settings)[entries] != before[entries]
    book = sum(file.stat().st_size for file in Lake(settings.home).price_book.glob("*.parquet"))
    assert copy_lake(settings) == book, "once"


def test_copies_that_still_name_an_erased_person_are_known(home: Path, tmp_path: Path) -> None:
    shutil.copytree(home, tmp_path, dirs_exist_ok=True)
    places = [f"memory://{uuid.uuid4().hex}/lake" for _ in range(2)]
    one, other = (load_settings(_env_file=None, warehouse_home=tmp_path, lake_uri=place) for place in places)
    copy_lake(one)
    copy_lake(other)
    assert copies_before_erasure(one.home) == []
    erase(one, "alice")
    # Other tests have made copies, too.
    assert set(copies_before_erasure(one.home)) >= set(places)
    resolve_price_book(other)
    copy_lake(other)
    assert set(copies_before_erasure(one.home)) & set(places) == {places[0]}


def test_the_lake_itself_is_not_copied(home: Path, tmp_path: Path) -> None:
    assert copy_lake(load_settings(_env_file=None, warehouse_home=home)) == 0
    assert (
        copy_lake(load_settings(_env_file=None, warehouse_home=home, lake_uri=str(tmp_path / "mount"))) == 0
    )
    assert not (tmp_path / "mount").exists()


@pytest.mark.parametrize("is_copied", [False, True])
def test_what_the_cluster_writes_is_read_here_and_forgotten(
    settings: Settings, home: Path, tmp_path: Path, is_copied: bool
) -> None:
    settings = settings if is_copied else load_settings(_env_file=None, warehouse_home=home)
    duckdb.sql("select range as n from range(3)").write_parquet(str(tmp_path / "part.parquet"))
    with exchange_folder(settings) as staging_dir:
        folder = staging_dir.location("dim_dates")
        assert folder == f"{settings.lake}/_cluster/dim_dates"
        filesystem, path = fsspec.core.url_to_fs(folder)
        filesystem.makedirs(path, exist_ok=True)
        for number in range(2):
            filesystem.put_file(str(tmp_path / "part.parquet"), f"{path}/part-{number}.parquet")
        assert duckdb.sql(f"select count(*), sum(n) from {staging_dir.parquet('dim_dates')}").fetchall() == [
            (6, 6)
        ]
    assert not filesystem.exists(path)
    assert not (settings.home.tmp / "cluster").exists()
