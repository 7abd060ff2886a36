"""Fingerprints of a mart's partitions: rows, sums of money, and a digest that changes with any row."""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

import duckdb

from exports.datasets import Dataset
from paywall_warehouse.quoting import quoted
from warehouse.checks.invariant import EXACT
from warehouse.checks.queries import Queries
from warehouse.published_tables import Table

# Sums of money, by currency and column.
Totals = Mapping[str, Mapping[str, Decimal]]


@dataclass(frozen=True)
class Fingerprint:
    """A summary of the rows of one partition."""

    rows: int
    totals: Totals
    digest: str
    """Differs if any value of any row differs. The order of the rows does not matter."""
    text_bytes: int
    """The length of all texts together. The number of rows alone does not predict the size of a file."""


HASH_ENGINE = f"duckdb-{duckdb.__version__}"
EMPTY = Fingerprint(0, {}, f"{HASH_ENGINE}:0", 0)


def read_fingerprints(
    queries: Queries, dataset: Dataset, table: Table, *, engine: str = HASH_ENGINE, in_halves: bool = False
) -> dict[date | None, Fingerprint]:
    """Return the fingerprints of a mart's partitions, in order of their days.

    A snapshot is the partition None, even without rows. Reads the mart twice, once for the sums (`in_halves`:
    see `read_totals`). Digests use the engine's `hash`, and DuckDB's differs from version to version.
    """
    every = ", ".join(quoted(column.name) for column in table.columns)
    texts = [quoted(column.name) for column in table.columns if column.type == "VARCHAR"]
    partition = quoted(dataset.day) if dataset.day else "cast(null as date)"
    rows = queries.execute(f"""select {partition}, count(*), sum(hash({every})), bit_xor(hash({every})),
            sum({" + ".join(f"coalesce(strlen({name}), 0)" for name in texts) or 0})
        from marts.{dataset.mart} group by 1 order by 1""").fetchall()
    totals = read_totals(
        queries, dataset, table.amounts, f"marts.{dataset.mart}", partition, in_halves=in_halves
    )
    fingerprints: dict[date | None, Fingerprint] = {
        day: Fingerprint(
            count, totals.get(day, {}), f"{engine}:{count}:{int(summed):x}:{mixed:x}", int(length)
        )
        for day, count, summed, mixed, length in rows
    }
    return fingerprints or ({} if dataset.day else {None: EMPTY})


def engine_of(digest: str) -> str:
    """Return the engine that computed a digest, with DuckDB's version."""
    return digest.partition(":")[0]


def read_totals(
    queries: Queries,
    dataset: Dataset,
    amounts: Sequence[str],
    relation: str,
    partition: str,
    *,
    in_halves: bool = False,
) -> dict[Any, dict[str, dict[str, Decimal]]]:
    """Return the sums of `amounts` in `relation` (SQL), by value of `partition` (SQL), currency and column.

    A column that is unknown in every row of a currency has no sum there, because 0 would be a cost of zero.
    With `in_halves`, whole units and fractions are summed separately. With DuckDB, that happens by itself if
    a sum does not fit its type.
    """
    totals: dict[Any, dict[str, dict[str, Decimal]]] = {}
    by_currency: dict[tuple[str, ...], list[str]] = {}
    for amount in amounts:
        if currency := dataset.currency_columns(amount):
            by_currency.setdefault(currency, []).append(amount)
    for currency, columns in by_currency.items():
        for key, code, *sums in _sums(queries, columns, relation, partition, currency, in_halves):
            known = {
                column: amount for column, amount in zip(columns, sums, strict=True) if amount is not None
            }
            if known:
                totals.setdefault(key, {}).setdefault(code, {}).update(known)
    return totals


def _sums(
    queries: Queries,
    columns: Sequence[str],
    relation: str,
    partition: str,
    currency: Sequence[str],
    in_halves: bool,
) -> Iterable[tuple[Any, ...]]:
    query = (
        "select {partition}, {currency}, {sums} from {relation} where {currency} is not null group by 1, 2"
        " order by 1, 2"
    )
    names = {
        "partition": partition,
        "currency": f"coalesce({', '.join(map(quoted, currency))})",
        "relation": relation,
    }
    if not in_halves:
        sums = ", ".join(f"sum({quoted(name)})" for name in columns)
        # Amounts of failed entries are in no total of the warehouse. Two of 26 digits exceed the type.
        with suppress(duckdb.OutOfRangeException):
            return queries.execute(query.format(sums=sums, **names)).fetchall()
    # `trunc`, expressed by functions that Spark has too.
    whole = {
        name: (
            f"cast(case when {quoted(name)} < 0 then ceil({quoted(name)}) else floor({quoted(name)}) end as"
            " decimal(38, 0))"
        )
        for name in columns
    }
    halves = ", ".join(f"sum({units}), sum({quoted(name)} - {units})" for name, units in whole.items())
    rows = queries.execute(query.format(sums=halves, **names)).fetchall()
    return [(*row[:2], *map(_exact_sum, row[2::2], row[3::2])) for row in rows]


def _exact_sum(whole: Decimal | None, fraction: Decimal | None) -> Decimal | None:
    return None if whole is None or fraction is None else EXACT.add(whole, fraction)


def sum_totals(totals: Iterable[Totals]) -> dict[str, dict[str, Decimal]]:
    """Return the sum of several totals, exact for any number of digits."""
    result: dict[str, dict[str, Decimal]] = {}
    for addend in totals:
        for currency, sums in addend.items():
            own = result.setdefault(currency, {})
            for column, amount in sums.items():
                own[column] = EXACT.add(own.get(column, Decimal(0)), amount)
    return result


def totals_to_text(totals: Totals) -> dict[str, dict[str, str]]:
    """Return the texts of totals in a manifest."""
    return {
        currency: {column: format(amount, "f") for column, amount in sums.items()}
        for currency, sums in sorted(totals.items())
    }


def totals_from_text(texts: Mapping[str, Mapping[str, str]]) -> dict[str, dict[str, Decimal]]:
    """Return the totals that a manifest has as texts."""
    return {
        currency: {column: Decimal(text) for column, text in sums.items()} for currency, sums in texts.items()
    }
