"""What a cluster's tables hold beside what DuckDB published, row for row, as text."""

from pathlib import Path

import duckdb

from paywall_warehouse.quoting import file_literal, literal, quoted


def differences(published: Path, warehouse: Path) -> dict[str, str]:
    """For each table of `marts` that is not the same, how; `warehouse` is the cluster's folder of Parquet tables."""
    with duckdb.connect(config={"memory_limit": "2GB"}) as connection:
        connection.execute("set TimeZone = 'UTC'")
        connection.execute(f"attach {literal(str(published))} as published (read_only)")
        tables = connection.execute(
            "select table_name from duckdb_tables() where database_name = 'published' and schema_name = 'marts' order by 1"
        ).fetchall()
        assert tables, "something was published"
        found = {table: _difference(connection, table, warehouse / "marts.db" / table) for (table,) in tables}
    return {table: difference for table, difference in found.items() if difference}


def row_counts(published: Path) -> dict[str, int]:
    """The rows of each table of `marts`."""
    with duckdb.connect(str(published), read_only=True) as connection:
        tables = connection.execute("select table_name from duckdb_tables() where schema_name = 'marts' order by 1").fetchall()
        return {table: connection.execute(f"select count(*) from marts.{quoted(table)}").fetchall()[0][0] for (table,) in tables}


def _difference(connection: duckdb.DuckDBPyConnection, table: str, folder: Path) -> str:
    if not any(folder.glob("**/*.parquet")):
        return "the cluster has no files of it"
    duck = f"published.marts.{quoted(table)}"
    spark = f"read_parquet({file_literal(str(folder))[:-1]}/**/*.parquet', hive_partitioning = true)"
    described = {side: f"select column_name, column_type from (describe from {side})" for side in (duck, spark)}
    types = {side: dict(connection.execute(query).fetchall()) for side, query in described.items()}
    if types[duck] != types[spark]:
        return f"types {sorted(types[duck].items() - types[spark].items())} beside {sorted(types[spark].items() - types[duck].items())}"
    texts = ", ".join(f"cast({quoted(column)} as varchar) as {quoted(column)}" for column in types[duck])
    rows = {side: f"(select {texts} from {side})" for side in (duck, spark)}
    only = {
        side: connection.execute(f"from {rows[side]} except all from {rows[other]} order by all limit 5").fetchall()
        for side, other in ((duck, spark), (spark, duck))
    }
    return f"rows of DuckDB only {only[duck]}, rows of Spark only {only[spark]}" if only[duck] or only[spark] else ""
