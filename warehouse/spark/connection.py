"""A connection to Spark, and the schemas of a build there under the names and in the SQL of DuckDB.

Exports sum up a mart through the latter.
"""

from base64 import b64encode
from collections.abc import Container, Mapping, Sequence
from datetime import date
from importlib import import_module
from typing import Any, Final

import sqlglot
from sqlglot import exp

from paywall_warehouse.settings import Settings

# As the profile has them for dbt. Without them money would be rounded, or NULL where it does not fit.
SESSION: Final = {
    "spark.sql.decimalOperations.allowPrecisionLoss": "false",
    "spark.sql.ansi.enabled": "true",
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.parquet.outputTimestampType": "TIMESTAMP_MICROS",
    # What `insert overwrite` replaces: the whole table. dbt's sessions ask for single partitions.
    "spark.sql.sources.partitionOverwriteMode": "static",
}


class SparkAnswer:
    """Rows that have been fetched."""

    def __init__(self, names: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        self.description = [(name,) for name in names]
        self._rows = [tuple(row) for row in rows]

    def fetchone(self) -> tuple[Any, ...] | None:
        """The next row, None behind the last."""
        return self._rows.pop(0) if self._rows else None

    def fetchall(self) -> list[tuple[Any, ...]]:
        """All rows that are left."""
        rows, self._rows = self._rows, []
        return rows


class Spark:
    """A connection to Spark; its statements are Spark's own SQL."""

    def __init__(self, settings: Settings) -> None:
        """With `session`: dbt must have started that session in this process. The extra `spark` brings the
        drivers.
        """
        self._cursor: Any = None
        if settings.spark_method == "session":
            self._session = import_module("pyspark.sql").SparkSession.builder.getOrCreate()
        else:
            self._cursor = import_module("pyhive.hive").connect(**_way_in(settings)).cursor()
        for name, value in SESSION.items():
            self.run(f"set {name}={value}")

    def run(self, statement: str) -> None:
        """Run a statement; raises what the driver raises."""
        if self._cursor is None:
            self._session.sql(statement)
        else:
            self._cursor.execute(statement)

    def ask(self, query: str) -> SparkAnswer:
        """The answer to a query; raises what the driver raises."""
        if self._cursor is None:
            found = self._session.sql(query)
            return SparkAnswer(found.columns, found.collect())
        self._cursor.execute(query)
        names, kinds, *_ = zip(*self._cursor.description, strict=True)
        rows = self._cursor.fetchall()
        # The driver gives dates as text.
        dates = {place for place, kind in enumerate(kinds) if kind == "DATE_TYPE"}
        return SparkAnswer(names, [_with_dates(row, dates) for row in rows] if dates else rows)


def _way_in(settings: Settings) -> dict[str, Any]:
    """How the driver gets to the Thrift server: the same way as dbt-spark, whose `http` is that of
    Databricks' clusters.
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
    """The schemas of one build on the cluster, asked in DuckDB's SQL by DuckDB's names of them."""

    def __init__(self, spark: Spark, prefix: str, snapshots: Mapping[str, int] | None = None) -> None:
        """`snapshots` of tables of Iceberg's, by their name: without one a table is asked as it is now."""
        self._spark, self._prefix, self._snapshots = spark, prefix, snapshots or {}

    def execute(self, query: str, /) -> SparkAnswer:
        """The answer of the cluster."""
        return self._spark.ask(in_spark(query, self._prefix, self._snapshots))


def in_spark(query: str, prefix: str, snapshots: Mapping[str, int] | None = None) -> str:
    """A query of DuckDB's in Spark's words, over schemas whose names begin with `prefix`."""
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
            called.replace(_hashed(called))
        elif called.name.lower() == "strlen":
            called.set("this", "octet_length")
    return parsed.sql("spark")


def _hashed(called: exp.Anonymous) -> exp.Expression:
    """DuckDB's hash has 64 bits, Spark's 32, and Spark's pass over NULL: ('a', NULL) would be as (NULL,
    'a').
    """
    told = [
        part
        for one in called.expressions
        for part in (one.copy(), exp.Is(this=one.copy(), expression=exp.null()))
    ]
    wide = exp.Anonymous(this="xxhash64", expressions=told)
    # Sums of 64 bits need more.
    return wide if isinstance(called.parent, exp.BitwiseXorAgg) else exp.cast(wide, "decimal(38, 0)")
