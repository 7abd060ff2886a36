"""How this project opens DuckDB: one function, so that every connection has the time zone UTC."""

from collections.abc import Mapping, Sequence
from os import PathLike, fspath
from typing import Any

import duckdb

IN_MEMORY = ":memory:"


def open_duckdb(
    path: str | PathLike[str] = IN_MEMORY, *, config: Mapping[str, Any] | None = None, read_only: bool = False
) -> duckdb.DuckDBPyConnection:
    """Return a connection to a database file, or to a new database in memory, with the time zone UTC.

    Without the time zone, DuckDB would take that of the machine, and the same query could return other days
    on another machine. `config` is usually `Settings.duckdb_config()`. The connection is a context manager
    that closes it.
    """
    connection = duckdb.connect(fspath(path), read_only=read_only, config=dict(config or {}))
    try:
        # Not part of `config`: DuckDB accepts this setting only once its bundled calendar (ICU) is loaded,
        # and refuses a second connection to the same file in one process where the configurations differ.
        connection.execute("set TimeZone = 'UTC'")
    except BaseException:
        connection.close()
        raise
    return connection


def insert_rows(connection: duckdb.DuckDBPyConnection, table: str, rows: Sequence[Sequence[Any]]) -> None:
    """Insert rows in one statement: `executemany` plans one for each row, which takes 2 ms.

    State amounts as text. DuckDB gives all decimals of a column one type, which may round some of them.
    """
    if rows:
        values = ", ".join(["unnest(?)"] * len(rows[0]))
        connection.execute(
            f"insert into {table} select {values}", [list(one) for one in zip(*rows, strict=True)]
        )
