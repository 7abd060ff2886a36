"""A mart whose rows stay on the cluster, for exports.

The cluster computes its sums and writes the rows of changed days to files. Exports write the same files and
the same manifest, to the byte, as for any other mart.
"""

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from datetime import date

from paywall_warehouse.quoting import quoted
from paywall_warehouse.settings import Settings
from warehouse.published_tables import Table
from warehouse.spark.builds import PromotedBuild, day_in
from warehouse.spark.connection import Spark, SparkQueries
from warehouse.spark.exchange import exchange_folder

# The name of the hash function in fingerprints, where DuckDB's marts have DuckDB's version.
HASH_ENGINE = "spark-xxhash64"


class ClusterMart:
    """A mart of the published build. See `Mart`."""

    hash_engine = HASH_ENGINE
    sums_in_halves = True

    def __init__(
        self, settings: Settings, spark: Spark, build: PromotedBuild, mart: str, day: str | None, table: Table
    ) -> None:
        """Describe the mart. `day` is its column with the reporting day, None if it has none."""
        self._settings, self._spark, self._build = settings, spark, build
        self._mart, self._day = mart, day
        self.table = table

    @property
    def queries(self) -> SparkQueries:
        """See `Mart`."""
        return SparkQueries(self._spark, self._build.prefix, self._build.snapshots)

    @contextmanager
    def rows(self, days: Collection[date | None]) -> Iterator[str]:
        """See `Mart`; one query on the cluster writes the rows to files, which are deleted afterwards."""
        name, day = self._mart, self._day
        where, order = "true" if days else "false", ""
        if day and days:
            # Sorted within each file, so that DuckDB can skip the other days. A sort across files would move
            # rows between workers, and one day may have very many.
            where, order = day_in(day, days), f" sort by {day}"
        with exchange_folder(self._settings) as exchange:
            query = f"select * from {self._build.mart(name)} where {where}{order}"
            self._spark.run(f"insert overwrite directory '{exchange.location(name)}' using parquet {query}")
            typed = ", ".join(
                f"cast({quoted(one.name)} as {one.type}) as {quoted(one.name)}" for one in self.table.columns
            )
            yield f"(select {typed} from {exchange.parquet(name)})"
