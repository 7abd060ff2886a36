"""A file in a folder that nothing reads is reported, with the folder that was probably meant."""

import re
from pathlib import Path

import fsspec
import pytest

from ingestion.unloaded_files import nothing_landed
from ingestion.unread_files import unread_folders, unread_warnings
from paywall_warehouse.settings import Settings, load_settings
from tests.support.builders import charge, jsonl

AS_OF = "2026-10-05T12:00:00Z"
CONTENT = jsonl([charge("c1", "2026-10-01T09:00:00Z")])


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load_settings(_env_file=None, warehouse_home=tmp_path, as_of=AS_OF)


def put(settings: Settings, path: str) -> None:
    file = settings.home.landing / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(CONTENT)


@pytest.mark.parametrize(
    ("path", "nearest"),
    [
        ("ledgers/x.jsonl", "ledger"),
        ("Ledger/x.jsonl", "ledger"),
        ("event/x.jsonl", "events"),
        ("2026/payments/x.csv", "payments"),
        ("stripe_reports/x.csv", "stripe"),
        ("ledger-2026-10.jsonl", "ledger"),
        ("Prices.csv", "prices"),
        ("x.jsonl", None),
        ("backup/x.jsonl", None),
    ],
)
def test_the_nearest_folder_is_named(settings: Settings, path: str, nearest: str | None) -> None:
    put(settings, path)
    (warning,) = unread_warnings(settings)
    assert warning.startswith(f"nothing reads {path}: move it to ")
    where = f"{settings.home.landing}/{nearest}/" if nearest else "that is read"
    assert where in warning
    # In the order of the sources' registry.
    assert "source folders: ledger/, events/, prices/, payments/," in warning
    assert "stripe/" in warning


def test_files_of_a_folder_are_reported_together_and_of_many_folders_the_first(settings: Settings) -> None:
    for number in range(3):
        put(settings, f"ledgers/{number}.jsonl")
    assert [re.sub(":.*", "", warning) for warning in unread_warnings(settings)] == [
        "nothing reads 3 files such as ledgers/0.jsonl"
    ]
    for number in range(7):
        put(settings, f"folder{number}/x.jsonl")
    warnings = unread_warnings(settings)
    assert (len(warnings), warnings[-1].startswith("nothing reads the files in 3 more folders of ")) == (
        6,
        True,
    )


def test_files_that_are_read_or_not_meant_to_be_are_not_reported(settings: Settings) -> None:
    for path in (
        "ledger/2026/x.jsonl",
        "events/received/2026-10-01/a.jsonl",
        "stripe/payouts.itemized.5/p.csv",
        ".hidden",
        "a.jsonl.part",
    ):
        put(settings, path)
    for path in (".git/config", "ledgers/.keep", "lost+found/x"):
        put(settings, path)
    assert unread_warnings(settings) == []


def test_a_linked_folder_is_reported_and_a_linked_landing_area_is_read(
    settings: Settings, tmp_path: Path
) -> None:
    put(settings, "ledger/x.jsonl")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (settings.home.landing / "ledgers").symlink_to(elsewhere)
    (tmp_path / "link").symlink_to(settings.home.landing)
    linked = load_settings(_env_file=None, warehouse_home=tmp_path, landing_uri=str(tmp_path / "link"))
    assert [warning.partition(":")[0] for warning in unread_warnings(linked)] == ["nothing reads ledgers"]


def test_a_store_is_looked_at_too(tmp_path: Path) -> None:
    store = fsspec.filesystem("memory")
    for path in ("ledger/a.jsonl", "ledgers/b.jsonl", "c.jsonl"):
        store.pipe_file(f"/unread_files/{path}", CONTENT)
    elsewhere = load_settings(_env_file=None, warehouse_home=tmp_path, landing_uri="memory://unread_files")
    assert [(folder.name, [file.path for file in folder.files]) for folder in unread_folders(elsewhere)] == [
        ("", ["c.jsonl"]),
        ("ledgers", ["ledgers/b.jsonl"]),
    ]


def test_the_sample_does_not_land_beside_files_that_lie_in_the_wrong_place(settings: Settings) -> None:
    assert nothing_landed(settings)
    put(settings, "x.jsonl")
    assert not nothing_landed(settings)
