"""Two published files beside each other: what the cluster's run published, and what DuckDB's did."""

from pathlib import Path

import duckdb

from paywall_warehouse.quoting import literal, quoted


def differences(published: Path, other: Path) -> dict[str, str]:
    """For each table of `marts` that is not the same in both files, how: names and types of columns,
    comments, then rows as text.
    """
    with duckdb.connect(config={"memory_limit": "2GB"}) as connection:
        connection.execute("set TimeZone = 'UTC'")
        for name, file in (("one", published), ("two", other)):
            connection.execute(f"attach {literal(str(file))} as {name} (read_only)")
        tables = {name: _tables(connection, name) for name in ("one", "two")}
        assert tables["one"], "something was published"
        found = {table: _difference(connection, table) for table in tables["one"] if table in tables["two"]}
    missing = dict.fromkeys(set(tables["one"]) ^ set(tables["two"]), "only one of the files has it")
    return {table: difference for table, difference in found.items() if difference} | missing


def _tables(connection: duckdb.DuckDBPyConnection, database: str) -> dict[str, str | None]:
    rows = connection.execute(
        "select table_name, comment from duckdb_tables() where database_name = ? and schema_name = 'marts'"
        " order by 1",
        [database],
    ).fetchall()
    return dict(rows)


def _difference(connection: duckdb.DuckDBPyConnection, table: str) -> str:
    described = (
        "select column_name, data_type, comment from duckdb_columns() where database_name = ? and table_name"
        " = ? order by column_index"
    )
    columns = {name: connection.execute(described, [name, table]).fetchall() for name in ("one", "two")}
    if columns["one"] != columns["two"]:
        return (
            f"columns {set(columns['one']) - set(columns['two'])} beside"
            f" {set(columns['two']) - set(columns['one'])}"
        )
    texts = ", ".join(
        f"cast({quoted(column)} as varchar) as {quoted(column)}" for column, *_ in columns["one"]
    )
    rows = {name: f"(select {texts} from {name}.marts.{quoted(table)})" for name in ("one", "two")}
    only = {
        name: (
            connection.execute(
                f"from {rows[name]} except all from {rows[other]} order by all limit 5"
            ).fetchall()
        )
        for name, other in (("one", "two"), ("two", "one"))
    }
    return (
        f"rows of the first only {only['one']}, of the second only {only['two']}"
        if only["one"] or only["two"]
        else ""
    )
