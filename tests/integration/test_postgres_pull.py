"""Rows of a Postgres table as landed Parquet files: nothing is lost, nothing doubles, nothing leaks."""

import random
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import adbc_driver_postgresql.dbapi as adbc
import dagster as dg
import duckdb
import fsspec
import pyarrow.parquet as pq
import pytest

from ingestion.postgres_pull.block import PostgresPull
from ingestion.postgres_pull.pull import PullResult, pull_postgres
from ingestion.postgres_pull.server import PostgresRefusedError, PostgresUnavailableError
from ingestion.pulls.failures import failed_pulls
from orchestration import retries
from orchestration.assets.postgres_pull import postgres_pulls
from paywall_warehouse.settings import Settings, load_settings
from tests.support.builders import deposit, land, ledger_file
from tests.support.harness import run_pipeline
from tests.support.postgres import postgres
from tests.support.shared import in_soak

VARIABLE = "LITELLM_DATABASE_URL"
SOURCE = "litellm_spend_logs"
PASSWORD = "topsecret-4711"
DAY = timedelta(days=1)


class Database:
    """A database on the server of this file."""

    def __init__(self, environment: dict[str, str], name: str) -> None:
        self._environment = environment | {"PGDATABASE": name}
        self.dsn = f"postgresql://postgres:{PASSWORD}@/{name}?host={environment['PGHOST']}"

    def run(self, script: str) -> str:
        done = subprocess.run(
            ["psql", "--no-psqlrc", "-qAt", "-v", "ON_ERROR_STOP=1"],
            input=script, env=self._environment, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert (done.returncode, done.stderr) == (0, ""), done
        return done.stdout.strip()


@pytest.fixture(scope="module")
def server() -> Iterator[dict[str, str]]:
    with postgres() as environment:
        yield environment


@pytest.fixture
def database(server: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Database:
    database = Database(server, "postgres")
    # A database for each test would take a second, and a minute to remove all of them.
    database.run("""set client_min_messages = error; drop schema if exists "of app" cascade;
        drop schema public cascade; create schema public; grant usage on schema public to public;
        alter role postgres reset all;""")
    monkeypatch.setenv(VARIABLE, database.dsn)
    return database


@pytest.fixture
def logs(database: Database) -> Database:
    """A database with an empty table of calls."""
    database.run('create table "SpendLogs" (id text primary key, "startTime" timestamp, status text)')
    return database


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load_settings(_env_file=None, warehouse_home=tmp_path / "home")


def pull_of(table: str = "SpendLogs", cursor: str = "startTime", **more: Any) -> PostgresPull:
    known = PostgresPull(VARIABLE, table, cursor, ("id",), DAY, ("id", "startTime", "status"))
    return replace(known, **more)


def pulled(settings: Settings, pull: PostgresPull | None = None, **more: Any) -> PullResult:
    return pull_postgres(settings, SOURCE, pull or pull_of(), **more)


def files(settings: Settings) -> list[Path]:
    """The landed files, in the order in which they landed."""
    found = (settings.home.landing / SOURCE).glob("*.parquet")
    return sorted(found, key=lambda file: file.stat().st_mtime_ns)


def landed(settings: Settings) -> list[dict[str, Any]]:
    return [row for file in files(settings) for row in pq.read_table(file).to_pylist()]


def ids(settings: Settings) -> list[str]:
    return [row["id"] for row in landed(settings)]


def insert(first: int, last: int, start: str = "2026-11-01 10:00") -> str:
    """Calls with ids from `first` to `last`, a second apart."""
    return f"""insert into "SpendLogs"
        select g::text, '{start}'::timestamp + g * interval '1 second', 'success'
        from generate_series({first}, {last}) g;"""


# ---- what is new


def test_a_first_pull_lands_everything_and_the_next_what_is_new(logs: Database, settings: Settings) -> None:
    logs.run(insert(1, 25))
    first = pulled(settings, rows_per_file=10)
    assert (first.rows, len(first.files), first.through) == (25, 3, "2026-11-01 10:00:25")
    assert [pq.read_metadata(file).num_rows for file in files(settings)] == [10, 10, 5]
    logs.run(insert(26, 27))
    second = pulled(settings)
    assert (second.rows, second.unchanged, len(second.files)) == (2, 25, 1)
    assert ids(settings) == [str(number) for number in range(1, 28)]
    assert re.fullmatch(
        rf"{SOURCE}/20261101T100026_20261101T100027-[0-9a-f]{{8}}-000003-[0-9a-f]{{8}}\.parquet",
        second.files[0],
    )


def test_nothing_new_lands_no_file(logs: Database, settings: Settings) -> None:
    assert (pulled(settings).files, pulled(settings).through) == ([], None)
    logs.run(insert(1, 3))
    pulled(settings)
    state = settings.home.root / "state" / "postgres_pull" / f"{SOURCE}.parquet"
    before = state.stat().st_ino
    assert pulled(settings).files == []
    assert len(files(settings)) == 1
    # The progress is not written again, either.
    assert state.stat().st_ino == before


def test_many_rows_with_the_same_time_are_not_lost_at_the_edge_of_a_file(
    logs: Database, settings: Settings
) -> None:
    logs.run("""insert into "SpendLogs" select g::text, '2026-11-01', '' from generate_series(1, 25) g""")
    pull = pull_of(look_back=timedelta(0))
    assert pulled(settings, pull, rows_per_file=10).rows == 25
    # Later ones with the very same time, too.
    logs.run("""insert into "SpendLogs" select g::text, '2026-11-01', '' from generate_series(26, 30) g""")
    assert pulled(settings, pull, rows_per_file=10).rows == 5
    assert sorted(map(int, ids(settings))) == list(range(1, 31))


def test_rows_that_changed_within_the_look_back_land_again(logs: Database, settings: Settings) -> None:
    logs.run(insert(1, 5) + insert(90_000, 90_001))
    pulled(settings)
    logs.run("""update "SpendLogs" set status = 'failure' where id in ('1', '90000')""")
    # The first row is more than a day before the last one.
    assert pulled(settings).rows == 1
    assert landed(settings)[-1] == {
        "id": "90000", "startTime": datetime.fromisoformat("2026-11-02T11:00:00"), "status": "failure",
    }  # fmt: skip
    # Back to what it was: this is a change as well.
    logs.run("""update "SpendLogs" set status = 'success' where id = '90000'""")
    assert pulled(settings).rows == 1
    assert pulled(settings).rows == 0
    assert landed(settings)[-1]["status"] == "success"
    assert len(set(files(settings))) == 3


def test_a_row_that_commits_late_is_pulled_next(logs: Database, settings: Settings) -> None:
    logs.run(insert(10, 20))
    with adbc.connect(logs.dsn) as late, late.cursor() as cursor:
        cursor.execute(insert(1, 1).rstrip(";"))
        assert pulled(settings).rows == 11
        late.commit()
    assert pulled(settings).rows == 1
    assert ids(settings)[-1] == "1"


def test_rows_that_are_inserted_during_a_pull_are_pulled_next(logs: Database, settings: Settings) -> None:
    logs.run(insert(1, 30))
    new = iter(range(100, 200))

    def meanwhile(_: str) -> None:
        logs.run(insert(number := next(new), number) + insert(-number, -number))

    assert pulled(settings, rows_per_file=10, log=meanwhile).rows == 30
    assert pulled(settings).rows == 6
    assert sorted(map(int, ids(settings))) == sorted([*range(1, 31), 100, 101, 102, -100, -101, -102])


def test_a_time_in_the_future_hides_no_row(logs: Database, settings: Settings) -> None:
    """Otherwise, nothing would be pulled until 2090."""
    logs.run(insert(1, 1) + insert(2, 2, "2090-01-01"))
    assert pulled(settings).rows == 2
    logs.run(f"""insert into "SpendLogs" values ('3', '{datetime.now(UTC):%Y-%m-%d %H:%M}', '')""")
    assert pulled(settings).rows == 1
    assert pulled(settings).rows == 0


def test_rows_without_a_usable_cursor_are_counted(logs: Database, settings: Settings) -> None:
    logs.run(
        insert(1, 2)
        + """insert into "SpendLogs"
            values ('n', null, ''), ('i', 'infinity', ''), ('b', '0044-03-15 BC', '')"""
    )
    result = pulled(settings)
    assert (result.rows, result.without_cursor) == (2, 3)
    assert result.warnings == [
        "3 rows of SpendLogs are not pulled, because their startTime is NULL or infinite. Set it in the"
        " table, or choose another cursor in the mapping"
    ]
    assert ids(settings) == ["1", "2"]


@pytest.mark.parametrize("kind", ["int4", "int8", "numeric", "float8", "float4", "numeric(38, 3)"])
def test_a_number_is_a_cursor(database: Database, settings: Settings, kind: str) -> None:
    database.run(f"create table calls (id {kind}); insert into calls select generate_series(1, 20)")
    pull = pull_of("calls", "id", columns=("id",), look_back=timedelta(seconds=5))
    assert pulled(settings, pull, rows_per_file=7).rows == 20
    database.run("insert into calls values (21), (18)")
    # From 15 on: the one that was there and the one that came are the same row.
    assert (second := pulled(settings, pull)).rows == 1
    assert (second.unchanged, second.through) == (7, "21" if "(" not in kind else "21.000")
    database.run("delete from calls where id > 19; insert into calls values (20)")
    assert pulled(settings, pull).rows == 0
    # A sequence that was reset: without a look at it, its rows would stay below the cursor for ever.
    database.run("truncate calls; insert into calls values (1), (2)")
    assert pulled(settings, pull).rows == 2


@pytest.mark.parametrize("kind", ["date", "timestamptz"])
def test_other_times_are_cursors(database: Database, settings: Settings, kind: str) -> None:
    database.run(
        f"create table calls (id int, at {kind}); insert into calls select g, '2026-11-01'::date + g"
        " from generate_series(1, 20) g"
    )
    pull = pull_of("public.calls", "at", columns=("id",), look_back=timedelta(days=2))
    assert pulled(settings, pull).rows == 20
    database.run("insert into calls values (21, '2026-11-19'), (22, '2026-11-18')")
    result = pulled(settings, pull)
    assert (result.rows, result.unchanged) == (1, 3)


def test_nan_is_no_cursor(database: Database, settings: Settings) -> None:
    database.run(
        "create table calls (id float8); insert into calls values (1), ('NaN'), ('Infinity'), (null)"
    )
    result = pulled(settings, pull_of("calls", "id", columns=("id",)))
    assert (result.rows, result.without_cursor, result.through) == (1, 3, "1")


# ---- crashes and lost state


def test_a_killed_pull_goes_on(logs: Database, settings: Settings, tmp_path: Path) -> None:
    """The process is killed after each of its files, once before and once after it has noted it."""
    logs.run(insert(1, 40))
    script = f"""
import os, signal, sys
from datetime import timedelta
from ingestion.postgres_pull import pull
from ingestion.postgres_pull.block import PostgresPull
from paywall_warehouse.settings import load_settings
settings = load_settings(_env_file=None, warehouse_home={str(settings.warehouse_home)!r})
block = PostgresPull(
    {VARIABLE!r}, "SpendLogs", "startTime", ("id",), timedelta(days=1), ("id", "status")
)
left = int(sys.argv[2])
write = pull.write_progress
def kill(*arguments):
    global left
    if sys.argv[1] == "after":
        write(*arguments)
    left -= 1
    if left < 0:
        os.kill(os.getpid(), signal.SIGKILL)
    write(*arguments)
pull.write_progress = kill
pull.pull_postgres(settings, {SOURCE!r}, block, rows_per_file=10)
"""
    names: set[str] = set()
    # The first time, the progress is written before any file.
    for moment, writes in (("before", 1), ("before", 0), ("after", 0), ("before", 0), ("after", 0)):
        done = subprocess.run(
            [sys.executable, "-c", script, moment, str(writes)], check=False, capture_output=True, text=True
        )
        assert done.returncode == -signal.SIGKILL, done.stderr
        now = {file.name for file in files(settings)}
        assert names <= now
        names = now
    # Two files were noted. One that was landed again had the same name.
    assert len(names) == 2
    assert pulled(settings, pull_of(columns=("id", "status")), rows_per_file=10).rows == 20
    assert sorted(map(int, ids(settings))) == list(range(1, 41))
    assert [
        file for file in settings.home.landing.rglob("*") if file.name.endswith((".partial", ".tmp"))
    ] == []


@pytest.mark.parametrize("steps", [12, *in_soak(100)])
def test_random_changes_and_crashes_lose_nothing(logs: Database, settings: Settings, steps: int) -> None:
    """The last landed version of each row is the row in the table, whatever happened in between."""
    chance = random.Random(7)

    def crash(_: str) -> None:
        if chance.random() < 0.3:
            raise KeyboardInterrupt

    for step in range(steps):
        now = step * 3600
        new = [(f"{step}-{number}", now - chance.randrange(43_000)) for number in range(chance.randrange(12))]
        logs.run(
            "".join(
                f"""insert into "SpendLogs"
                    values ('{id_}', '2026-11-01'::timestamp + interval '{at} s', 'a');"""
                for id_, at in new
            )
            + f"""update "SpendLogs" set status = '{chance.choice("ab")}' where hashtext(id) % 5 = {step % 5}
                and "startTime" > '2026-11-01'::timestamp + interval '{now - 43_000} s';"""
        )
        try:
            pulled(settings, rows_per_file=4, log=crash)
        except KeyboardInterrupt:
            continue
    pulled(settings)
    assert pulled(settings).rows == 0
    last = {row["id"]: row["status"] for row in landed(settings)}
    wanted = dict(line.split("|") for line in logs.run('select id, status from "SpendLogs"').splitlines())
    assert last == wanted
    assert len(wanted) > 4 * steps


@pytest.mark.parametrize("damage", [Path.unlink, lambda path: path.write_bytes(b"PAR1 no")])
def test_without_its_progress_a_pull_lands_everything_again_under_other_names(
    logs: Database, settings: Settings, damage: Callable[[Path], object]
) -> None:
    logs.run(insert(1, 5))
    pulled(settings)
    damage(settings.home.root / "state" / "postgres_pull" / f"{SOURCE}.parquet")
    assert pulled(settings).rows == 5
    assert len(files(settings)) == 2


def test_a_further_column_or_another_database_lands_everything_again(
    logs: Database, settings: Settings, server: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    logs.run(insert(1, 5))
    narrow = pull_of(columns=("id", "spend"))
    assert (pulled(settings, narrow).rows, pulled(settings, narrow).missing_columns) == (5, ("spend",))
    messages: list[str] = []
    assert pulled(settings, log=messages.append).rows == 5
    assert messages[0] == (
        f"{SOURCE}: the whole table lands again, because startTime, status is read for the first time"
    )
    # A password that changed does not.
    monkeypatch.setenv(VARIABLE, logs.dsn.replace(PASSWORD, "another"))
    assert pulled(settings).rows == 0
    Database(server, "template1").run("create database copied template postgres")
    monkeypatch.setenv(VARIABLE, Database(server, "copied").dsn)
    assert pulled(settings).rows == 5


# ---- values


def test_values_keep_every_digit(database: Database, settings: Settings) -> None:
    database.run("""
create type mood as enum ('happy', 'sad');
create domain money_amount as numeric;
create table kinds (
    id bigint primary key, n numeric, d money_amount, f float8, g float4, t text, j json, b jsonb,
    naive timestamp, zoned timestamptz, day date, u uuid, texts text[], numbers numeric[], m mood, yes bool,
    small int2, bytes bytea, pay money, span interval, "odd name" text
);
alter role postgres set extra_float_digits = -3;
alter role postgres set datestyle = 'German';
alter role postgres set timezone = 'Asia/Tokyo';
insert into kinds values (
    9223372036854775807, 123456789012345678.123456789012, 0.10, 0.1::float8 + 0.2::float8, 0.1, 'ä€😀',
    '{"a":  1.10}', '{"b": 0.10000000000000000001}', '2026-11-01 10:00:00.123456',
    '2026-11-01 10:00:00+02', '2026-11-01', 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', '{x,"y,z",null}',
    '{0.10,123456789012345678.123456789012}', 'sad', true, -7, '\\x00ff', 1234.5, '1 day 2 hours', 'odd'
), (1, 'NaN', null, '-Infinity', null, null, null, null, 'infinity', '-infinity', 'infinity', null, '{}',
    null, null, null, null, null, null, null, null);
""")
    names = database.run("select attname from pg_attribute where attrelid = 'kinds'::regclass and attnum > 0")
    columns = tuple(names.splitlines())
    assert pulled(settings, pull_of("kinds", "id", columns=columns)).rows == 2
    (file,) = files(settings)
    few, all_ = pq.read_table(file).to_pylist()
    assert all_ == {
        "id": 9223372036854775807,
        "n": "123456789012345678.123456789012",
        "d": "0.10",
        "f": "0.30000000000000004",
        "g": "0.1",
        "t": "ä€😀",
        "j": '{"a":  1.10}',
        "b": '{"b": 0.10000000000000000001}',
        "naive": datetime.fromisoformat("2026-11-01T10:00:00.123456"),
        "zoned": datetime(2026, 11, 1, 8, tzinfo=UTC),
        "day": date(2026, 11, 1),
        "u": "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11",
        "texts": '["x","y,z",null]',
        "numbers": "[0.10,123456789012345678.123456789012]",
        "m": "sad",
        "yes": True,
        "small": -7,
        "bytes": "\\x00ff",
        "pay": "1234.50",
        "span": "P1DT2H",
        "odd name": "odd",
    }
    assert {name: value for name, value in few.items() if value is not None} == {
        "id": 1, "n": "NaN", "f": "-Infinity", "texts": "[]",
    }  # fmt: skip
    with duckdb.connect() as connection:
        types = connection.execute(
            "select typeof(naive), typeof(zoned), typeof(n) from read_parquet(?) limit 1", [str(file)]
        ).fetchall()
    assert types == [("TIMESTAMP", "TIMESTAMP WITH TIME ZONE", "VARCHAR")]


def test_only_the_columns_of_the_mapping_leave_the_database(
    logs: Database, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    logs.run(
        insert(1, 3)
        + """alter table "SpendLogs" add messages text default 'my prompt', add api_key text default 'sk-1';
        create role reader login; grant select (id, "startTime", status) on "SpendLogs" to reader;"""
    )
    monkeypatch.setenv(VARIABLE, logs.dsn.replace("//postgres:", "//reader:"))
    pulled(settings, pull_of(columns=("status",), key=("id",)))
    content = b"".join(path.read_bytes() for path in settings.home.root.rglob("*") if path.is_file())
    assert b"prompt" not in content
    assert b"sk-1" not in content
    assert pq.read_schema(files(settings)[0]).names == ["status"]


def test_memory_stays_small(database: Database, settings: Settings) -> None:
    """300 MB of text that barely compresses in the server, in files of 40 MB."""
    database.run("""create table calls as select g as id, repeat(md5(g::text), 32) as txt
        from generate_series(1, 300000) g""")
    script = f"""
from pathlib import Path
from datetime import timedelta
from ingestion.postgres_pull.block import PostgresPull
from ingestion.postgres_pull.pull import pull_postgres
from paywall_warehouse.settings import load_settings
settings = load_settings(_env_file=None, warehouse_home={str(settings.warehouse_home)!r})
block = PostgresPull({VARIABLE!r}, "calls", "id", ("id",), timedelta(seconds=10), ("id", "txt"))
pull_postgres(settings, {SOURCE!r}, block, rows_per_file=40_000)
# Of this program alone: the kernel's maximum begins with that of the process that started it.
status = Path("/proc/self/status").read_text()
print(next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM")))
"""
    done = subprocess.run([sys.executable, "-c", script], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 500_000, done.stdout
    assert len(files(settings)) == 8


# ---- where files land


def test_files_land_behind_a_url(logs: Database, tmp_path: Path) -> None:
    settings = load_settings(_env_file=None, warehouse_home=tmp_path, landing_uri="memory://landing-of-pull")
    logs.run(insert(1, 3))
    (name,) = pulled(settings).files
    assert fsspec.filesystem("memory").exists(f"/landing-of-pull/{name}")
    assert pulled(settings).files == []


# ---- errors


def refused(settings: Settings, pull: PostgresPull | None = None) -> str:
    with pytest.raises(PostgresRefusedError) as caught:
        pulled(settings, pull)
    return str(caught.value)


def unavailable(settings: Settings) -> str:
    with pytest.raises(PostgresUnavailableError) as caught:
        pulled(settings)
    return str(caught.value)


def test_a_variable_that_is_not_set_is_named(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    assert refused(settings) == (
        f"{VARIABLE} is not set. Set it, in the environment or in .env, to the DSN of the database, such as"
        " postgresql://user:password@host:5432/database"
    )


def test_the_dsn_may_be_in_the_env_file(
    logs: Database, settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv(VARIABLE)
    (tmp_path / ".env").write_text(f"# ours\n{VARIABLE}='{logs.dsn}'\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    logs.run(insert(1, 1))
    assert pulled(settings).rows == 1


@pytest.mark.parametrize(
    ("dsn", "message"),
    [
        (f"postgresql://someone:{PASSWORD}@db.internal@x:1y/z", "is not a DSN that Postgres accepts"),
        (PASSWORD, "is not a DSN that Postgres accepts"),
        (f"host=db.internal password={PASSWORD} nonsense=1", "is not a DSN that Postgres accepts"),
        (f"mysql://someone:{PASSWORD}@db.internal/z", "is not a DSN that Postgres accepts"),
        (f"postgresql://someone:{PASSWORD}@127.0.0.1:9/z", "no server accepts connections"),
        (f"postgresql://someone:{PASSWORD}@db.internal.invalid/z", "the host of the DSN is not known"),
        (f"host=/nowhere user=someone password={PASSWORD}", "no server has its socket where the DSN says"),
    ],
)
def test_a_dsn_is_never_shown(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, dsn: str, message: str
) -> None:
    monkeypatch.setenv(VARIABLE, dsn)
    with pytest.raises((PostgresRefusedError, PostgresUnavailableError)) as caught:
        pulled(settings)
    text = str(caught.getrepr(chain=True))
    shown = str(caught.value)
    assert shown.startswith(VARIABLE)
    assert message in shown
    assert caught.value.__suppress_context__ or caught.value.__context__ is None
    for secret in (PASSWORD, "someone", "db.internal", "127.0.0.1", "/nowhere"):
        assert secret not in shown
    assert PASSWORD not in text.partition("E  ")[2]


def test_a_wrong_password_or_database_is_refused(
    logs: Database, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    rules = Path(logs.run("show hba_file"))
    logs.run("create role locked login password 'right'")
    rules.write_text("local all locked scram-sha-256\n" + rules.read_text(encoding="utf-8"), encoding="utf-8")
    logs.run("select pg_reload_conf()")
    time.sleep(0.5)
    monkeypatch.setenv(VARIABLE, logs.dsn.replace("//postgres:", "//locked:"))
    assert refused(settings) == (
        f"{VARIABLE}: Postgres refuses the user or the password. Correct the DSN in {VARIABLE}"
    )
    monkeypatch.setenv(VARIABLE, logs.dsn.replace("//postgres:", "//nobody:"))
    assert "Postgres does not accept the role" in refused(settings)
    monkeypatch.setenv(VARIABLE, logs.dsn.replace("/postgres?", "/no_such?"))
    assert "the database of the DSN does not exist" in refused(settings)


def test_a_table_or_column_that_does_not_exist_is_named(logs: Database, settings: Settings) -> None:
    assert refused(settings, pull_of("spendlogs")) == (
        f'{VARIABLE}: the table "spendlogs" does not exist (there is public.SpendLogs). Correct the table'
        " in the mapping, or the database in the DSN"
    )
    assert '"no"."SpendLogs" does not exist' in refused(settings, pull_of("no.SpendLogs"))
    assert refused(settings, pull_of(cursor="starttime")) == (
        f'{VARIABLE}: the table "SpendLogs" has no column starttime, the cursor of the mapping. Did you mean'
        " startTime? It has: id, startTime, status"
    )
    assert "no column key_id, the key of" in refused(settings, pull_of(key=("key_id",)))
    assert "has none of the columns" in refused(settings, pull_of(columns=("spend",)))
    assert '""; drop' in refused(settings, pull_of('"; drop table "SpendLogs'))


def test_a_text_is_no_cursor(logs: Database, settings: Settings) -> None:
    assert refused(settings, pull_of(cursor="status")) == (
        f'{VARIABLE}: the cursor status of "SpendLogs" is of type text, whose order is not the order in time.'
        " Use a timestamp, a date or a number that grows, such as startTime"
    )


def test_a_role_without_rights_is_refused(
    logs: Database, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    logs.run("create role stranger login")
    monkeypatch.setenv(VARIABLE, logs.dsn.replace("//postgres:", "//stranger:"))
    assert refused(settings) == (
        f"{VARIABLE}: Postgres reports error 42501: the role of the DSN may not read it. Grant it usage on"
        " the schema and select on the table"
    )


def test_a_connection_that_breaks_off_is_tried_again(logs: Database, settings: Settings) -> None:
    """What has landed stays, and the next pull goes on."""
    # More than the driver reads ahead.
    logs.run(insert(1, 60_000) + """update "SpendLogs" set status = repeat(md5(id), 32);""")

    def cut(_: str) -> None:
        logs.run(
            "select pg_terminate_backend(pid) from pg_stat_activity"
            " where application_name = 'paywall-warehouse' and backend_type = 'client backend'"
        )

    with pytest.raises(PostgresUnavailableError, match="LITELLM_DATABASE_URL") as caught:
        pulled(settings, rows_per_file=10_000, log=cut)
    assert PASSWORD not in str(caught.value)
    assert 0 < len(files(settings)) < 6
    pulled(settings, rows_per_file=10_000)
    assert sorted(map(int, ids(settings))) == list(range(1, 60_001))


@pytest.mark.parametrize(
    "form", ["{0}&schema=odd%20no&connection_limit=5", "postgresql+asyncpg{1}", "keywords"]
)
def test_urls_of_other_libraries_are_understood(
    logs: Database, settings: Settings, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    """LiteLLM's URL is one for Prisma."""
    logs.run(insert(1, 1) + 'create schema "of app"; create table "of app"."SpendLogs" (like "SpendLogs");')
    dsn = form.format(logs.dsn, logs.dsn.removeprefix("postgresql"))
    if form == "keywords":
        place = re.search(r"/(postgres)\?host=(.*)", logs.dsn)
        assert place
        dsn = f"host={place[2]} dbname = '{place[1]}' user=postgres password='with \\' quote'"
    monkeypatch.setenv(VARIABLE, dsn.replace("odd%20no", "of%20app"))
    assert pulled(settings).rows == (0 if "schema" in form else 1)


# ---- in a run


@pytest.fixture
def no_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retries, "FIRST_WAIT_SECONDS", 0)


def test_a_pull_in_a_run_records_that_it_failed_and_that_it_recovered(
    logs: Database, settings: Settings, monkeypatch: pytest.MonkeyPatch, no_waits: None
) -> None:
    land(settings.warehouse_home, [ledger_file("a.jsonl", [deposit("d1", "2026-09-01T10:00:30Z", "10")])])
    logs.run(insert(1, 3) + insert(4, 4).replace("'2026-11-01 10:00'", "null"))
    pulls = {SOURCE: pull_of(), "other": pull_of("other"), "second": pull_of()}
    messages: list[str] = []
    metadata = postgres_pulls(settings, pulls, messages.append, messages.append)
    assert metadata[SOURCE]["new rows"] == 3
    assert metadata["second"]["rows without cursor"] == 1
    assert "does not exist" in metadata["other"]["pull failed"]
    assert [failure.source for failure in failed_pulls(settings.home)] == ["other"]
    assert any(message.startswith(f"{SOURCE}: 1 rows of SpendLogs are not pulled") for message in messages)
    monkeypatch.setenv(VARIABLE, f"postgresql://someone:{PASSWORD}@127.0.0.1:9/x")
    messages.clear()
    metadata = postgres_pulls(settings, pulls, messages.append, messages.append)
    assert [failure.source for failure in failed_pulls(settings.home)] == sorted(pulls)
    # Only the first source waits for the server.
    assert sum("retrying in" in message for message in messages) == 3
    assert PASSWORD not in f"{messages} {metadata} {failed_pulls(settings.home)}"
    monkeypatch.setenv(VARIABLE, logs.dsn)
    logs.run('create table other (like "SpendLogs")')
    metadata = postgres_pulls(settings, pulls, messages.append, messages.append)
    assert metadata[SOURCE]["unchanged rows"] == 3
    assert failed_pulls(settings.home) == []


def test_a_run_with_nothing_to_publish_fails_with_its_pull(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, no_waits: None
) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    with pytest.raises(dg.Failure) as caught:
        postgres_pulls(settings, {SOURCE: pull_of()}, lambda _: None, lambda _: None)
    assert str(caught.value.description).startswith(f"{VARIABLE} is not set.")
    assert str(caught.value.description).endswith("so there is nothing to publish.")


def test_a_run_without_pulls_does_not_load_the_driver() -> None:
    script = "import sys, orchestration.assets.postgres_pull; sys.exit('adbc_driver_manager' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


def test_a_run_pulls_the_spend_logs_of_litellm(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LITELLM_DATABASE_URL", database.dsn)
    database.run("""create table "LiteLLM_SpendLogs" (
            request_id text primary key, "startTime" timestamp, "endTime" timestamp, model text, spend float8,
            end_user text, messages jsonb, api_key text);
        insert into "LiteLLM_SpendLogs" values ('r1', '2026-11-10 09:00', '2026-11-10 09:00:01', 'gpt-4o',
            0.1::float8 + 0.2::float8, 'acme', '[{"content": "SECRET PROMPT"}]', 'sk-SECRET')""")
    for run in (1, 2):
        result = run_pipeline(tmp_path, as_of="2026-11-12T12:00:00Z", exports=False)
        assert result.exit_code == 0, result.output
        if run == 1:
            database.run("""insert into "LiteLLM_SpendLogs"
                values ('r2', '2026-11-11 09:00', '2026-11-11 09:01', 'gpt-4o', 1e-05, 'acme', '[]', 'k')""")
    with duckdb.connect(str(tmp_path / "published" / "warehouse.duckdb"), read_only=True) as connection:
        # 0.1 + 0.2 is 0.30000000000000004 as a float. Without a markup, the amount is the cost.
        assert connection.execute(
            "select entry_id, user_id, provider_cost, amount from marts.fct_ledger_entries order by entry_id"
        ).fetchall() == [
            ("litellm:r1", "acme", Decimal("0.3"), Decimal("0.3")),
            ("litellm:r2", "acme", Decimal("0.00001"), Decimal("0.00001")),
        ]
    texts = [file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()]
    assert not any(b"SECRET" in text for text in texts)
