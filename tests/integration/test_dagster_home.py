"""Dagster's home: made by several commands at once, and damaged."""

import sqlite3
import subprocess
import sys
from contextlib import closing
from datetime import date
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.storage.event_log import SqliteEventLogStorage

from orchestration.history import DATABASES
from orchestration.instance import open_instance
from paywall_warehouse.home import Home
from sample_data import land_sample
from tests.support.command import COMMAND, command, environment
from tests.support.shared import in_soak

# For each home four forks that have imported everything; they begin when the pipe is closed.
OPEN = """
import os
import sys
import traceback
from pathlib import Path
from orchestration.instance import open_instance
from paywall_warehouse.home import Home

def runs(home):
    try:
        with open_instance(Home(Path(home))) as instance:
            return len(instance.get_runs())
    except BaseException:
        traceback.print_exc()
        return 99

for line in sys.stdin:
    waiting, beginning = os.pipe()
    openers = []
    for _ in range(4):
        openers.append(os.fork())
        if not openers[-1]:
            os.close(beginning)
            os.read(waiting, 1)
            os._exit(runs(line.strip()))
    os.close(beginning)
    os.close(waiting)
    print(*(os.waitstatus_to_exitcode(os.waitpid(opener, 0)[1]) for opener in openers), flush=True)
"""
STATED = ("29b539ebc72a", "5771160a95ad")


def versions(home: Home) -> list[int]:
    """How many versions of its tables each file of Dagster's states."""
    counts = []
    for name in DATABASES:
        with closing(sqlite3.connect(home.dagster / name)) as connection:
            counts += [count for (count,) in connection.execute("select count(*) from alembic_version")]
    return counts


@pytest.mark.slow
@pytest.mark.parametrize("rounds", [3, *in_soak(12)])
def test_four_that_make_a_home_at_once_make_one_that_works(tmp_path: Path, rounds: int) -> None:
    """They start at the same moment, several times: without the lock more than one of three homes was broken
    for good.
    """
    homes = [Home(tmp_path / f"home-{number}") for number in range(rounds)]
    done = subprocess.run(
        [sys.executable, "-c", OPEN],
        input="".join(f"{home.root}\n" for home in homes),
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "0 0 0 0\n" * rounds, done.stderr
    for home in homes:
        assert versions(home) == [1, 1, 1]


@pytest.mark.soak
@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_first_commands_on_a_home_may_come_at_once(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    first = [["run", "--sample"], ["sample"], ["erase", "somebody"], ["run", "--no-wait"]]
    started = [
        subprocess.Popen(
            [COMMAND, *words],
            cwd=tmp_path,
            env=environment(home.root, AS_OF="2026-11-01T12:00:00Z"),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for words in first
    ]
    said = [process.communicate() for process in started]
    assert [text for pair in said for text in pair if "Traceback" in text] == []
    codes = [process.returncode for process in started]
    assert codes[:3] == [0, 0, 1], said  # nobody of that name is erased
    assert codes[3] == 0 or "is in use by" in said[3][1], said
    assert versions(home) == [1, 1, 1]
    then = command(home.root, "run", AS_OF="2026-11-01T12:00:00Z")
    assert (then.returncode, then.stdout.strip().startswith("Nothing new: ")) == (0, True), then
    land_sample(tmp_path / "alone", date(2026, 11, 1))
    landed = {path.relative_to(home.landing) for path in home.landing.rglob("*") if path.is_file()}
    assert landed == {
        path.relative_to(tmp_path / "alone") for path in (tmp_path / "alone").rglob("*") if path.is_file()
    }


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Home:
    home = Home(tmp_path_factory.mktemp("made") / "home")
    open_instance(home).dispose()
    return home


def copied(made: Home, folder: Path) -> Home:
    """A home with Dagster's files of another one."""
    home = Home(folder / "home")
    home.make()
    for path in (
        path for path in made.dagster.rglob("*") if path.is_file() and not path.name.startswith(".")
    ):
        target = home.dagster / path.relative_to(made.dagster)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(path.read_bytes())
    return home


def refused(home: Home) -> str:
    with pytest.raises(SystemExit) as ended:
        open_instance(home)
    return str(ended.value)


def test_an_event_waits_for_no_disk_and_a_power_cut_leaves_the_file_whole(made: Home, tmp_path: Path) -> None:
    """Both need a write-ahead log (https://www.sqlite.org/pragma.html#pragma_synchronous, 1 is NORMAL)."""
    with open_instance(copied(made, tmp_path)) as instance:
        storage = instance.event_log_storage
        assert isinstance(storage, SqliteEventLogStorage)
        for connecting in (storage.index_connection(), storage.run_connection("a-run")):
            with connecting as connection:
                # A connection learns with its first statement that another one has changed the file's mode.
                connection.exec_driver_sql("select count(*) from event_logs")
                pragmas = [
                    connection.exec_driver_sql(f"pragma {name}").scalar()
                    for name in ("journal_mode", "synchronous")
                ]
            assert pragmas == ["wal", 1]


@pytest.mark.parametrize("name", DATABASES)
def test_a_home_broken_at_its_first_command_is_reported_with_a_remedy(
    made: Home, tmp_path: Path, name: str
) -> None:
    home = copied(made, tmp_path)
    with closing(sqlite3.connect(home.dagster / name)) as connection, connection:
        connection.execute("delete from alembic_version")
        connection.executemany("insert into alembic_version values (?)", [(version,) for version in STATED])
    words = refused(home)
    assert f"{home.dagster / name} has 2 versions of its tables ({', '.join(STATED)})" in words
    remedy = next(line.strip() for line in words.splitlines() if line.strip().startswith("mkdir "))
    subprocess.run(["sh", "-c", remedy], check=True)
    with open_instance(home) as instance:
        assert instance.get_runs() == []
    assert (home.dagster / "damaged" / name).exists()


@pytest.mark.parametrize("name", DATABASES)
def test_a_file_that_is_no_database_is_reported_with_a_remedy(made: Home, tmp_path: Path, name: str) -> None:
    home = copied(made, tmp_path)
    (home.dagster / name).write_bytes(b"SQLite format 3\x00" + b"garbage " * 1000)
    words = refused(home)
    assert str(home.dagster / name) in words
    assert f"mv {home.dagster}/history {home.dagster}/schedules" in words


def test_a_home_that_was_half_made_is_made_to_its_end(made: Home, tmp_path: Path) -> None:
    home = copied(made, tmp_path)
    for name in DATABASES:
        (home.dagster / name).unlink()
    (home.dagster / DATABASES[0]).touch()
    with open_instance(home) as instance:
        assert instance.get_runs() == []
    assert versions(home) == [1, 1, 1]


@pytest.mark.parametrize("content", ["storage: [", "no_such_setting: 1\n"])
def test_settings_that_dagster_rejects_are_reported(made: Home, tmp_path: Path, content: str) -> None:
    home = copied(made, tmp_path)
    (home.dagster / "dagster.yaml").write_text(content, encoding="utf-8")
    assert refused(home).startswith(f"{home.dagster}/dagster.yaml is not allowed: ")
    (home.dagster / "dagster.yaml").unlink()
    with open_instance(home) as instance:
        assert isinstance(instance, dg.DagsterInstance)


def test_the_command_reports_it_without_a_traceback(made: Home, tmp_path: Path) -> None:
    home = copied(made, tmp_path)
    (home.dagster / DATABASES[0]).write_bytes(b"garbage")
    done = command(home.root, "run")
    assert done.returncode == 1
    assert "Dagster's history of runs is damaged" in done.stderr
    assert "Traceback" not in done.stderr
