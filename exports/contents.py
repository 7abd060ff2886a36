"""What a mart holds, partition by partition: rows, sums, and a fingerprint that tells whether anything has changed."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

import duckdb

from exports.checks import EXACT
from exports.datasets import Dataset, Table
from paywall_warehouse.quoting import quoted

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


ENGINE = f"duckdb-{duckdb.__version__}"
NOTHING = Contents(0, {}, f"{ENGINE}:0", 0)


def read_contents(connection: duckdb.DuckDBPyConnection, dataset: Dataset, table: Table) -> dict[date | None, Contents]:
    """The partitions of a mart in order of their days; a snapshot is the partition None, with or without rows.

    Two passes over the mart, one of them for the sums. The fingerprint rests on DuckDB's `hash`, which is the same within a version only.
    """
    every = ", ".join(quoted(column.name) for column in table.columns)
    texts = [quoted(column.name) for column in table.columns if column.type == "VARCHAR"]
    partition = quoted(dataset.day) if dataset.day else "cast(null as date)"
    rows = connection.execute(
        f"""select {partition}, count(*), sum(hash({every})), bit_xor(hash({every})),
            sum({" + ".join(f"coalesce(strlen({name}), 0)" for name in texts) or 0})
        from marts.{dataset.mart} group by 1 order by 1"""
    ).fetchall()
    totals = read_totals(connection, dataset, table.amounts, f"marts.{dataset.mart}", partition)
    contents: dict[date | None, Contents] = {
        day: Contents(count, totals.get(day, {}), f"{ENGINE}:{count}:{int(summed):x}:{mixed:x}", int(length))
        for day, count, summed, mixed, length in rows
    }
    return contents or ({} if dataset.day else {None: NOTHING})


def engine_of(fingerprint: str) -> str:
    """The version of DuckDB that a fingerprint comes from."""
    return fingerprint.partition(":")[0]


def read_totals(
    connection: duckdb.DuckDBPyConnection, dataset: Dataset, amounts: Sequence[str], relation: str, partition: str
) -> dict[Any, dict[str, dict[str, Decimal]]]:
    """The sums of `amounts` in `relation` (SQL), for each value of `partition` (SQL) by currency and column.

    A column that is unknown in every row of a currency has no sum there: 0 would be a cost of zero.
    """
    totals: dict[Any, dict[str, dict[str, Decimal]]] = {}
    by_currency: dict[tuple[str, ...], list[str]] = {}
    for amount in amounts:
        if currency := dataset.currency_columns(amount):
            by_currency.setdefault(currency, []).append(amount)
    for currency, columns in by_currency.items():
        for key, code, *sums in _sums(connection, columns, relation, partition, currency):
            stated = {column: amount for column, amount in zip(columns, sums, strict=True) if amount is not None}
            if stated:
                totals.setdefault(key, {}).setdefault(code, {}).update(stated)
    return totals


def _sums(
    connection: duckdb.DuckDBPyConnection, columns: Sequence[str], relation: str, partition: str, currency: Sequence[str]
) -> Iterable[tuple[Any, ...]]:
    query = "select {partition}, {currency}, {sums} from {relation} where {currency} is not null group by 1, 2 order by 1, 2"
    names = {"partition": partition, "currency": f"coalesce({', '.join(map(quoted, currency))})", "relation": relation}
    try:
        sums = ", ".join(f"sum({quoted(name)})" for name in columns)
        return connection.execute(query.format(sums=sums, **names)).fetchall()
    except duckdb.OutOfRangeException:
        # Amounts of failed entries are in no total of the warehouse, and two of 26 digits are more than the type holds: whole units and
        # the rest are summed apart.
        sums = ", ".join(f"sum(cast(trunc({name}) as decimal(38, 0))), sum({name} - trunc({name}))" for name in map(quoted, columns))
        rows = connection.execute(query.format(sums=sums, **names)).fetchall()
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


def told_totals(totals: Totals) -> dict[str, dict[str, str]]:
    """As manifests state them."""
    return {currency: {column: format(amount, "f") for column, amount in sums.items()} for currency, sums in sorted(totals.items())}


def stated_totals(stated: Mapping[str, Mapping[str, str]]) -> dict[str, dict[str, Decimal]]:
    """`told_totals` the other way."""
    return {currency: {column: Decimal(text) for column, text in sums.items()} for currency, sums in stated.items()}
