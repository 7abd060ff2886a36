"""Connections to Spark, and queries in DuckDB's SQL that are translated to Spark's.

The checks before publication are written once, in DuckDB's SQL.
"""

from base64 import b64encode
from collections.abc import Container, Mapping, Sequence
from datetime import date
from importlib import import_module
from typing import Any, Final

import sqlglot
from sqlglot import exp

from paywall_warehouse.settings import Settings

# The same settings as in dbt's profile. Without them the amounts of a check would be rounded, or NULL on
# overflow.
SESSION: Final = {
    "spark.sql.decimalOperations.allowPrecisionLoss": "false",
    "spark.sql.ansi.enabled": "true",
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.parquet.outputTimestampType": "TIMESTAMP_MICROS",
    # `insert overwrite` replaces the whole table. In dbt's sessions it replaces single partitions.
    "spark.sql.sources.partitionOverwriteMode": "static",
}


class SparkAnswer:
    """The fetched rows of a query."""

    def __init__(self, names: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        self.description = [(name,) for name in names]
        self._rows = [tuple(row) for row in rows]

    def fetchone(self) -> tuple[Any, ...] | None:
        """Return the next row, None after the last."""
        return self._rows.pop(0) if self._rows else None

    def fetchall(self) -> list[tuple[Any, ...]]:
        """Return all remaining rows."""
        rows, self._rows = self._rows, []
        return rows


class Spark:
    """A connection to Spark, for statements in Spark's SQL."""

    def __init__(self, settings: Settings) -> None:
        """Connect. With SPARK_METHOD `session`, dbt must have started the session in this process.

        The drivers belong to the extra `spark`.
        """
        self._cursor: Any = None
        if settings.spark_method == "session":
            self._session = import_module("pyspark.sql").SparkSession.builder.getOrCreate()
        else:
            self._cursor = import_module("pyhive.hive").connect(**_connection_arguments(settings)).cursor()
        for name, value in SESSION.items():
            self.run(f"set {name}={value}")

    def run(self, statement: str) -> None:
        """Run a statement. Raises the driver's exceptions."""
        if self._cursor is None:
            self._session.sql(statement)
        else:
            self._cursor.execute(statement)

    def ask(self, query: str) -> SparkAnswer:
        """Return the rows of a query. Raises the driver's exceptions."""
        if self._cursor is None:
            found = self._session.sql(query)
            return SparkAnswer(found.columns, found.collect())
        self._cursor.execute(query)
        names, kinds, *_ = zip(*self._cursor.description, strict=True)
        rows = self._cursor.fetchall()
        # The driver returns dates as text.
        dates = {place for place, kind in enumerate(kinds) if kind == "DATE_TYPE"}
        return SparkAnswer(names, [_with_dates(row, dates) for row in rows] if dates else rows)


def _connection_arguments(settings: Settings) -> dict[str, Any]:
    """Return the driver's arguments for the Thrift server, the same as dbt-spark's.

    Its method `http` is that of Databricks clusters.
    """
    if settings.spark_method != "http" or settings.spark_token is None:
        return {"host": settings.spark_host, "port": settings.spark_port, "username": settings.spark_user}
    path = f"sql/protocolv1/o/{settings.spark_organization}/{settings.spark_cluster}"
    client = import_module("thrift.transport.THttpClient").THttpClient(
        f"https://{settings.spark_host}:{settings.spark_port}/{path}"
    )
    credentials = b64encode(f"token:{settings.spark_token.get_secret_value()}".encode()).decode()
    client.setCustomHeaders({"Authorization": f"Basic {credentials}"})
    return {"thrift_transport": client}


def _with_dates(row: Sequence[Any], places: Container[int]) -> list[Any]:
    return [
        date.fromisoformat(value) if value and place in places else value for place, value in enumerate(row)
    ]


class SparkQueries:
    """Queries of one build on the cluster, in DuckDB's SQL and with the schema names of the build file."""

    def __init__(self, spark: Spark, prefix: str, snapshots: Mapping[str, int] | None = None) -> None:
        """Pin Iceberg tables to `snapshots`, by name. Other tables are queried in their current state."""
        self._spark, self._prefix, self._snapshots = spark, prefix, snapshots or {}

    def execute(self, query: str, /) -> SparkAnswer:
        """Return the cluster's answer to a query."""
        return self._spark.ask(in_spark(query, self._prefix, self._snapshots))


def in_spark(query: str, prefix: str, snapshots: Mapping[str, int] | None = None) -> str:
    """Translate a query from DuckDB's SQL to Spark's, for schemas whose names start with `prefix`."""
    parsed = sqlglot.parse_one(query, read="duckdb")
    for table in parsed.find_all(exp.Table):
        if table.db:
            table.set("db", exp.to_identifier(prefix + table.db))
            if snapshot := (snapshots or {}).get(table.name):
                table.set(
                    "version",
                    exp.Version(this="VERSION", kind="AS OF", expression=exp.Literal.number(snapshot)),
                )
    for called in list(parsed.find_all(exp.Anonymous)):
        if called.name.lower() == "hash":
            called.replace(_spark_hash(called))
        elif called.name.lower() == "strlen":
            called.set("this", "octet_length")
    return parsed.sql("spark")


def _spark_hash(called: exp.Anonymous) -> exp.Expression:
    """Translate DuckDB's `hash`, which has 64 bits and depends on NULL values.

    Spark's `hash` has 32 bits. Spark's functions skip NULL values, so that ('a', NULL) and (NULL, 'a') would
    have the same hash. Each value is therefore hashed together with whether it is NULL.
    """
    arguments = [
        part
        for one in called.expressions
        for part in (one.copy(), exp.Is(this=one.copy(), expression=exp.null()))
    ]
    wide = exp.Anonymous(this="xxhash64", expressions=arguments)
    # A sum of 64-bit hashes needs more than 64 bits.
    return wide if isinstance(called.parent, exp.BitwiseXorAgg) else exp.cast(wide, "decimal(38, 0)")
