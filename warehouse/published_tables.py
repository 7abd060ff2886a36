"""The marts of the published file, tables and views: their columns, types and descriptions."""

from dataclasses import dataclass

import duckdb

from warehouse.build_file import ON_CLUSTER
from warehouse.published import NotPublishedError

MONEY = "DECIMAL(38,12)"


@dataclass(frozen=True)
class Column:
    """A column of a mart."""

    name: str
    type: str
    """DuckDB's name of the type, such as `DECIMAL(38,12)` or `TIMESTAMP WITH TIME ZONE`."""
    description: str


@dataclass(frozen=True)
class Table:
    """A mart of the published file."""

    description: str
    columns: tuple[Column, ...]
    is_on_cluster: bool = False
    """Whether the published file only describes the mart, because its rows are on the cluster."""
    is_view: bool = False
    """Whether its rows are computed when they are read."""

    @property
    def amounts(self) -> tuple[str, ...]:
        """The names of the columns with money."""
        return tuple(column.name for column in self.columns if column.type == MONEY)


def published_table(connection: duckdb.DuckDBPyConnection, mart: str, schema: str = "marts") -> Table:
    """Return a table's columns and the descriptions that dbt wrote into the file as comments.

    Raises `NotPublishedError` if the published file does not have the table.
    """
    described = connection.execute(
        """select schema_name, coalesce(comment, ''), false from duckdb_tables()
        where database_name = current_database() and schema_name in ($schema, $on_cluster)
            and table_name = $mart
        union all
        select schema_name, coalesce(comment, ''), true from duckdb_views()
        where database_name = current_database() and schema_name = $schema and view_name = $mart""",
        {"schema": schema, "on_cluster": ON_CLUSTER, "mart": mart},
    ).fetchone()
    if described is None:
        raise NotPublishedError(
            f"The published file has no {schema}.{mart}, because an earlier version wrote it, or because the"
            " ledger, from which it is computed, is on a cluster. In the first case, rebuild the file with"
            " `paywall-warehouse run`."
        )
    found_in, description, is_view = described
    columns = connection.execute(
        """select column_name, data_type, coalesce(comment, '') from duckdb_columns()
        where database_name = current_database() and schema_name = ? and table_name = ?
            order by column_index""",
        [found_in, mart],
    ).fetchall()
    return Table(
        description,
        tuple(Column(*row) for row in columns),
        is_on_cluster=found_in == ON_CLUSTER,
        is_view=is_view,
    )


def table_with_rows(connection: duckdb.DuckDBPyConnection, mart: str, schema: str = "marts") -> Table:
    """Return the `published_table` of a table whose rows are in the published file.

    Raises `NotPublishedError` if the rows are on the cluster.
    """
    table = published_table(connection, mart, schema)
    if table.is_on_cluster:
        raise NotPublishedError(
            f"marts.{mart} is on the cluster, as it has more than SPARK_PUBLISH_MAX_ROWS rows."
            " Query it there, or read its export."
        )
    return table
