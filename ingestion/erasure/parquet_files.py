"""Parquet files of the lake without the ids of erased persons; every other value stays as it is."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from ingestion.erasure.texts import Person, words_of
from paywall_warehouse.files import replace_file
from paywall_warehouse.quoting import file_literal, literal

# Columns of the lake that hold an id, and those that hold texts in which one may stand.
ID_COLUMNS: Final = ("user_id", "wallet_user_id", "external_user_id")
JSON_COLUMNS: Final = ("metadata", "body")
ROW_COLUMNS: Final = ("raw", "reason", "reject_raw", "reject_words")


@dataclass(frozen=True)
class _Columns:
    """Those of a file."""

    ids: list[str]
    json: list[str]
    rows: list[str]

    @property
    def texts(self) -> list[str]:
        return self.json + self.rows


def ids_in(connection: duckdb.DuckDBPyConnection, parquet: Path) -> Iterator[str]:
    """Every id that a file states, and every word of its rejected rows that may be one; some more than once."""
    columns = _columns(parquet)
    for name in columns.ids:
        yield from (
            one for (one,) in connection.execute(f"select distinct {name} from {_rows(parquet)} where {name} is not null").fetchall()
        )
    for name in columns.rows:
        for (text,) in connection.execute(f"select {name} from {_rows(parquet)} where {name} is not null").fetchall():
            yield from words_of(text)


def states(connection: duckdb.DuckDBPyConnection, parquet: Path, user: str) -> bool:
    """Whether a file has a row of the person with this id."""
    named = [f"{name} = $user" for name in _columns(parquet).ids]
    if not named:
        return False
    return connection.execute(f"select 1 from {_rows(parquet)} where {' or '.join(named)} limit 1", {"user": user}).fetchone() is not None


def linked_wallets(connection: duckdb.DuckDBPyConnection, parquet: Path, user: str) -> list[str]:
    """The wallets that events of a file give to the person."""
    if "wallet_user_id" not in _columns(parquet).ids:
        return []
    query = f"""select distinct wallet_user_id from {_rows(parquet)}
        where external_user_id = $user and wallet_user_id is distinct from external_user_id and wallet_user_id is not null"""
    return [wallet for (wallet,) in connection.execute(query, {"user": user}).fetchall()]


def rewrite(connection: duckdb.DuckDBPyConnection, parquet: Path, people: Sequence[Person]) -> int:
    """Replace a file by one without these people's ids; returns the number of rows that named one of them.

    Where none does, the file is left alone. A process that is killed leaves the old file or the new one.
    """
    if not people:
        return 0
    columns = _columns(parquet)
    changed = dict(_changed_texts(connection, parquet, columns, people))
    pseudonyms = {person.user: person.pseudonym for person in people}
    connection.execute("create or replace temp table pseudonyms (id varchar, pseudonym varchar)")
    connection.executemany("insert into pseudonyms values (?, ?)", [list(pair) for pair in pseudonyms.items()])
    named = " or ".join([f"{name} in (select id from pseudonyms)" for name in columns.ids] or ["false"])
    ids = f"select file_row_number from {_rows(parquet)} where {named}"
    connection.register("changed_texts", _table(changed, columns.texts))
    try:
        (count,) = connection.execute(f"select count(*) from ({ids} union select place from changed_texts)").fetchall()[0]
        if count:
            replaced = [
                f"coalesce((select pseudonym from pseudonyms where id = rows.{name}), rows.{name}) as {name}" for name in columns.ids
            ] + [f"case when changed.place is null then rows.{name} else changed.{name} end as {name}" for name in columns.texts]
            query = f"""select rows.* exclude (file_row_number) replace ({", ".join(replaced)})
                from {_rows(parquet)} as rows left join changed_texts as changed on changed.place = rows.file_row_number"""

            def write(partial: Path) -> None:
                connection.execute(f"copy ({query}) to {literal(str(partial))} (format parquet, compression zstd)")

            replace_file(parquet, write)
    finally:
        connection.unregister("changed_texts")
    return int(count)


def _changed_texts(
    connection: duckdb.DuckDBPyConnection, parquet: Path, columns: _Columns, people: Sequence[Person]
) -> Iterator[tuple[int, Mapping[str, str | None]]]:
    """Of each row whose texts change: its place, and all its texts as they will be."""
    if not columns.texts:
        return
    own = [f"{name} = $user" for name in columns.ids]
    spelt = [f"contains({name}, $spelling_{number})" for name in columns.texts for number in range(max(len(p.spellings) for p in people))]
    escaped = [f"contains({name}, '\\u')" for name in columns.json]
    known: dict[int, dict[str, str | None]] = {}
    for person in people:
        spellings = {
            f"spelling_{number}": person.spellings[min(number, len(person.spellings) - 1)]
            for number in range(max(len(p.spellings) for p in people))
        }
        query = f"""select file_row_number, {" or ".join(own) if own else "false"}, {", ".join(columns.texts)}
            from {_rows(parquet)} where {" or ".join([*own, *spelt, *escaped])}"""
        parameters = spellings | ({"user": person.user} if own else {})
        for place, is_about, *texts in connection.execute(query, parameters).fetchall():
            before = known.get(place) or dict(zip(columns.texts, texts, strict=True))
            after = {name: _without(person, columns, name, text, is_about=bool(is_about)) for name, text in before.items()}
            if after != before:
                known[place] = after
    yield from known.items()


def _without(person: Person, columns: _Columns, name: str, text: str | None, *, is_about: bool) -> str | None:
    if text is None:
        return None
    if name in columns.json:
        return person.in_json(text, is_about=is_about)
    return person.in_row(person.in_json(text))


def _table(changed: Mapping[int, Mapping[str, str | None]], texts: Sequence[str]) -> pa.Table:
    columns: dict[str, Any] = {"place": pa.array(list(changed), pa.int64())}
    columns |= {name: pa.array([one[name] for one in changed.values()], pa.string()) for name in texts}
    return pa.table(columns)


def _columns(parquet: Path) -> _Columns:
    names = pq.read_schema(parquet).names
    ids, json_columns, rows = ([name for name in wanted if name in names] for wanted in (ID_COLUMNS, JSON_COLUMNS, ROW_COLUMNS))
    return _Columns(ids, json_columns, rows)


def _rows(parquet: Path) -> str:
    return f"read_parquet({file_literal(str(parquet))}, hive_partitioning = false, file_row_number = true)"
