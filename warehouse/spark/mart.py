"""A mart that stayed on the cluster, as an export reads it: the cluster sums up and gives the rows of days
that changed.

What becomes of the rows is the same as with any other mart: the same parts, to the byte, in the same
manifest.
"""

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from datetime import date

from paywall_warehouse.quoting import quoted
from paywall_warehouse.settings import Settings
from warehouse.published_tables import Table
from warehouse.spark.builds import PromotedBuild, is_one_of
from warehouse.spark.connection import Spark, SparkQueries
from warehouse.spark.exchange import exchange_folder

# In a fingerprint where DuckDB's version stands: hashes of another engine say nothing about these.
ENGINE = "spark-xxhash64"


class ClusterMart:
    """A mart of the build that is published."""

    hash_engine = ENGINE
    sums_in_halves = True

    def __init__(
        self, settings: Settings, spark: Spark, build: PromotedBuild, mart: str, day: str | None, table: Table
    ) -> None:
        """`day` is the column with the reporting day, None for a mart without one."""
        self._settings, self._spark, self._build = settings, spark, build
        self._mart, self._day = mart, day
        self.table = table

    @property
    def queries(self) -> SparkQueries:
        """See `Mart`."""
        return SparkQueries(self._spark, self._build.prefix, self._build.snapshots)

    @contextmanager
    def rows(self, days: Collection[date | None]) -> Iterator[str]:
        """See `Mart`; one query of the cluster writes them all, into files that are deleted afterwards."""
        name, day = self._mart, self._day
        where, order = "true" if days else "false", ""
        if day and days:
            # In order within each file, so that DuckDB passes over the other days; without moving rows, of
            # which a hot day may have many.
            where, order = is_one_of(day, days), f" sort by {day}"
        with exchange_folder(self._settings) as exchange:
            query = f"select * from {self._build.mart(name)} where {where}{order}"
            self._spark.run(f"insert overwrite directory '{exchange.location(name)}' using parquet {query}")
            typed = ", ".join(
                f"cast({quoted(one.name)} as {one.type}) as {quoted(one.name)}" for one in self.table.columns
            )
            yield f"(select {typed} from {exchange.parquet(name)})"
