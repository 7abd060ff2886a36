"""A published file that was edited or damaged is rebuilt by the next run."""

import os
import shutil
from pathlib import Path

import duckdb
import pytest

from tests.support.builders import charge, deposit, land, ledger_file
from tests.support.harness import publish_home

AS_OF = "2026-10-05T12:00:00Z"


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
    publish_home(home, as_of=AS_OF)
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
def test_rows_deleted_from_the_published_file_are_back_after_the_next_run(
    run_once: Path, tmp_path: Path
) -> None:
    home = Path(shutil.copytree(run_once, tmp_path / "home"))
    file = home / "published" / "warehouse.duckdb"
    with duckdb.connect(str(file)) as connection:
        connection.execute(
            "delete from marts.fct_ledger_entries where entry_id = 'c1'; delete from marts.fct_user_days"
        )
    land(home, [ledger_file("b.jsonl", [charge("c2", "2026-10-02T09:00:00Z", "2")])])
    publish_home(home, as_of=AS_OF)
    assert entries(file) == ["c1", "c2", "d1"]
    with duckdb.connect(str(file), read_only=True) as connection:
        assert connection.execute(
            "select cast(sum(revenue) as varchar) from marts.fct_user_days"
        ).fetchall() == [("3.500000000000",)]


@pytest.mark.soak
def test_a_published_file_damaged_on_disk_is_rebuilt_from_the_lake(run_once: Path, tmp_path: Path) -> None:
    home = Path(shutil.copytree(run_once, tmp_path / "home"))
    file = home / "published" / "warehouse.duckdb"
    before = file.stat()
    with file.open("r+b") as opened:
        opened.write(bytes(20_000))
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    publish_home(home, as_of=AS_OF)
    assert entries(file) == ["c1", "d1"]
