"""The models of provider bills in a home without bills: dbt skips them, because their tables are empty.

dbt and Dagster spend about as long on an empty table as on a small one. At 1 M entries that was 2 s of a run.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import duckdb

from paywall_warehouse.duckdb_connections import open_duckdb
from paywall_warehouse.quoting import literal, quoted

# The tag of the models that have no rows in a home without bills.
BILLS: Final = "bills"
EXCLUDE_BILLS: Final = ("--exclude", f"tag:{BILLS}")
INPUTS: Final = ("raw.bill_lines", "raw.bill_invoices", "raw.published_cost_breaks")
# Other models and readers of the published file use only these layers.
READ_LAYERS: Final = ("marts", "checks")


def unused_models(build_file: Path, manifest: Mapping[str, Any]) -> list[str]:
    """Return the ids of the models that dbt need not build, and create their tables where they are missing.

    `build_file` has the inputs of the build. There are no such models if a bill, an invoice or a past break
    is known, or if one of the tables has rows, such as those of bills that were discarded.
    """
    models = {
        name: node
        for name, node in manifest["nodes"].items()
        if node["resource_type"] == "model" and BILLS in node["tags"]
    }
    tables = [node for node in models.values() if node["fqn"][1] in READ_LAYERS]
    with open_duckdb(build_file) as connection:
        filled = [*INPUTS, *(table for node in tables if _exists(connection, table := _table(node)))]
        if any(_has_rows(connection, table) for table in filled):
            return []
        connection.begin()
        for statement in empty_tables(tables):
            connection.execute(statement)
        connection.commit()
    return list(models)


def empty_tables(nodes: Iterable[Mapping[str, Any]]) -> Iterable[str]:
    """Yield the statements that create missing tables with the columns and comments that dbt would write."""
    for node in nodes:
        table, columns = _table(node), node["columns"].values()
        types = ", ".join(f"{quoted(column['name'])} {column['data_type']}" for column in columns)
        yield f"create schema if not exists {quoted(node['schema'])}"
        yield f"create table if not exists {table} ({types})"
        persisted = node["config"]["persist_docs"]
        if persisted.get("relation"):
            yield f"comment on table {table} is {literal(node['description'])}"
        if persisted.get("columns"):
            for column in columns:
                name, text = quoted(column["name"]), literal(column["description"])
                yield f"comment on column {table}.{name} is {text}"


def _table(node: Mapping[str, Any]) -> str:
    return f"{quoted(node['schema'])}.{quoted(node['alias'])}"


def _exists(connection: duckdb.DuckDBPyConnection, table: str) -> bool:
    try:
        connection.table(table)
    except duckdb.CatalogException:
        return False
    return True


def _has_rows(connection: duckdb.DuckDBPyConnection, table: str) -> bool:
    return bool(connection.execute(f"select 1 from {table} limit 1").fetchone())
