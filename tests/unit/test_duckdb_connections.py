"""Every connection has the time zone UTC, whatever the machine's is."""

import time
from pathlib import Path

import duckdb
import pytest

from paywall_warehouse.duckdb_connections import open_duckdb


def test_a_connection_has_the_time_zone_utc(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    try:
        with open_duckdb() as connection:
            assert connection.execute("select current_setting('TimeZone')").fetchall() == [("UTC",)]
    finally:
        monkeypatch.undo()
        time.tzset()


def test_a_configuration_is_used() -> None:
    with open_duckdb(config={"threads": 1}) as connection:
        assert connection.execute("select current_setting('threads')").fetchall() == [(1,)]


def test_a_file_that_is_opened_read_only_cannot_be_written(tmp_path: Path) -> None:
    with open_duckdb(tmp_path / "a.duckdb") as connection:
        connection.execute("create table numbers as select 1 as number")
    with open_duckdb(tmp_path / "a.duckdb", read_only=True) as connection:
        assert connection.execute("from numbers").fetchall() == [(1,)]
        with pytest.raises(duckdb.Error):
            connection.execute("drop table numbers")
