"""What a mart holds, partition by partition: rows, sums, and a fingerprint that tells whether anything has
changed.
"""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

import duckdb

from exports.datasets import Dataset
from paywall_warehouse.quoting import quoted
from warehouse.checks.invariant import EXACT, Queries
from warehouse.published_tables import Table

# Sums of money, by currency and column.
Totals = Mapping[str, Mapping[str, Decimal]]


@dataclass(frozen=True)
class Contents:
    """The rows of one partition, summed up."""

    rows: int
    totals: Totals
    fingerprint: str
    """Differs where any value of any row differs; the same rows in another order have the same."""
    text_bytes: int
    """How long all texts are together: rows alone do not tell how large a file will be."""


HASH_ENGINE = f"duckdb-{duckdb.__version__}"
NOTHING = Contents(0, {}, f"{HASH_ENGINE}:0", 0)


def read_contents(
    queries: Queries, dataset: Dataset, table: Table, *, engine: str = HASH_ENGINE, in_halves: bool = False
) -> dict[date | None, Contents]:
    """The partitions of a mart in order of their days; a snapshot is the partition None, with or without
    rows.

    Two passes over the mart, one of them for the sums (`in_halves`: see `read_totals`). The fingerprint rests
    on the engine's `hash`; DuckDB's is the same within a version only.
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
    contents: dict[date | None, Contents] = {
        day: Contents(count, totals.get(day, {}), f"{engine}:{count}:{int(summed):x}:{mixed:x}", int(length))
        for day, count, summed, mixed, length in rows
    }
    return contents or ({} if dataset.day else {None: NOTHING})


def engine_of(fingerprint: str) -> str:
    """The engine that a fingerprint comes from, with DuckDB's version."""
    return fingerprint.partition(":")[0]


def read_totals(
    queries: Queries,
    dataset: Dataset,
    amounts: Sequence[str],
    relation: str,
    partition: str,
    *,
    in_halves: bool = False,
) -> dict[Any, dict[str, dict[str, Decimal]]]:
    """The sums of `amounts` in `relation` (SQL), for each value of `partition` (SQL) by currency and column.

    A column that is unknown in every row of a currency has no sum there: 0 would be a cost of zero.
    `in_halves`: whole units and the rest are summed apart, as where DuckDB meets a sum that does not fit the
    type.
    """
    totals: dict[Any, dict[str, dict[str, Decimal]]] = {}
    by_currency: dict[tuple[str, ...], list[str]] = {}
    for amount in amounts:
        if currency := dataset.currency_columns(amount):
            by_currency.setdefault(currency, []).append(amount)
    for currency, columns in by_currency.items():
        for key, code, *sums in _sums(queries, columns, relation, partition, currency, in_halves):
            stated = {
                column: amount for column, amount in zip(columns, sums, strict=True) if amount is not None
            }
            if stated:
                totals.setdefault(key, {}).setdefault(code, {}).update(stated)
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
        # Amounts of failed entries are in no total of the warehouse, and two of 26 digits are more than the
        # type holds.
        with suppress(duckdb.OutOfRangeException):
            return queries.execute(query.format(sums=sums, **names)).fetchall()
    # `trunc` of a number by names that Spark has too.
    whole = {
        name: (
            f"cast(case when {quoted(name)} < 0 then ceil({quoted(name)}) else floor({quoted(name)}) end as"
            " decimal(38, 0))"
        )
        for name in columns
    }
    halves = ", ".join(f"sum({units}), sum({quoted(name)} - {units})" for name, units in whole.items())
    rows = queries.execute(query.format(sums=halves, **names)).fetchall()
    return [(*row[:2], *map(_together, row[2::2], row[3::2])) for row in rows]


def _together(whole: Decimal | None, rest: Decimal | None) -> Decimal | None:
    return None if whole is None or rest is None else EXACT.add(whole, rest)


def added(totals: Iterable[Totals]) -> dict[str, dict[str, Decimal]]:
    """Sums of sums, exact whatever their size."""
    result: dict[str, dict[str, Decimal]] = {}
    for one in totals:
        for currency, sums in one.items():
            own = result.setdefault(currency, {})
            for column, amount in sums.items():
                own[column] = EXACT.add(own.get(column, Decimal(0)), amount)
    return result


def totals_as_text(totals: Totals) -> dict[str, dict[str, str]]:
    """As manifests state them."""
    return {
        currency: {column: format(amount, "f") for column, amount in sums.items()}
        for currency, sums in sorted(totals.items())
    }


def stated_totals(stated: Mapping[str, Mapping[str, str]]) -> dict[str, dict[str, Decimal]]:
    """`totals_as_text` the other way."""
    return {
        currency: {column: Decimal(text) for column, text in sums.items()}
        for currency, sums in stated.items()
    }
