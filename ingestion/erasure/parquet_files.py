"""Replacing the ids of erased persons in Parquet files of the lake. Every other value stays as it is."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from ingestion.erasure.texts import METADATA, Person, texts_of, words_of
from paywall_warehouse.files import replace_file
from paywall_warehouse.quoting import file_literal, literal

# Columns of the lake that are an id, and columns whose texts may contain one.
ID_COLUMNS: Final = ("user_id", "wallet_user_id", "external_user_id")
# Each with the path of the text in its record.
JSON_COLUMNS: Final = {"metadata": METADATA, "body": ()}
ROW_COLUMNS: Final = ("raw", "reason", "reject_raw", "reject_words")
# Texts that were extracted from a record, with the name of their field: they are treated like the JSON that
# they
# come from.
EXTRACTED: Final = {
    "model": "model",
    "reason": "reason",
    "metadata_reason": "reason",
    "error_code": "errorCode",
    "source": "source",
}
# The `reason` of a webhook event or an entry is a field of its record; that of a reject quotes the record.
# The
# `source` of a reject is the name of one of our sources.
QUOTING: Final = "reason_code"
JSON_TEXTS: Final = r'"(?:[^"\\]|\\.)*"'


@dataclass(frozen=True)
class _Columns:
    """The columns of a file that may contain an id, by kind."""

    ids: list[str]
    json: list[str]
    extracted: list[str]
    rows: list[str]

    @property
    def texts(self) -> list[str]:
        return self.json + self.extracted + self.rows


def ids_in(connection: duckdb.DuckDBPyConnection, parquet: Path) -> Iterator[str]:
    """Yield every id of a file, and every text of its records that may be one, some of them repeatedly."""
    columns = _columns(parquet)
    for name in columns.ids:
        yield from (
            one
            for (one,) in connection.execute(
                f"select distinct {name} from {_rows(parquet)} where {name} is not null"
            ).fetchall()
        )
    for name in columns.json:
        texts = (
            f"select distinct unnest(regexp_extract_all({name}, {literal(JSON_TEXTS)})) from {_rows(parquet)}"
        )
        for (token,) in connection.execute(texts).fetchall():
            yield from texts_of(token)
    for name in (*columns.extracted, *columns.rows):
        for (text,) in connection.execute(
            f"select distinct {name} from {_rows(parquet)} where {name} is not null"
        ).fetchall():
            yield from words_of(text)


def linked_wallets(connection: duckdb.DuckDBPyConnection, parquet: Path, user: str) -> list[str]:
    """Return the wallets that events of a file assign to the person."""
    if "wallet_user_id" not in _columns(parquet).ids:
        return []
    query = f"""select distinct wallet_user_id from {_rows(parquet)}
        where external_user_id = $user and wallet_user_id is distinct
            from external_user_id and wallet_user_id is not null"""
    return [wallet for (wallet,) in connection.execute(query, {"user": user}).fetchall()]


def naming_keys(connection: duckdb.DuckDBPyConnection, parquet: Path, user: str) -> Counter[str]:
    """Return the number of rows whose keys contain an id, by column. Keys are never changed."""
    schema, columns = pq.read_schema(parquet), _columns(parquet)
    keys = [
        one.name
        for one in schema
        if pa.types.is_string(one.type) and one.name not in (*columns.ids, *columns.texts)
    ]
    if not keys:
        return Counter()
    counts = ", ".join(f"count(*) filter (where contains({name}, $user))" for name in keys)
    found = connection.execute(f"select {counts} from {_rows(parquet)}", {"user": user}).fetchall()[0]
    return Counter({name: rows for name, rows in zip(keys, found, strict=True) if rows})


def named_rows(connection: duckdb.DuckDBPyConnection, parquet: Path, people: Sequence[Person]) -> int:
    """Return the number of rows of a file that name one of these people."""
    with _Change(connection, parquet, people) as change:
        return change.rows


def rewrite(connection: duckdb.DuckDBPyConnection, parquet: Path, people: Sequence[Person]) -> int:
    """Replace a file by one without these people's ids, and return the number of rows that named one of them.

    If no row names one, the file is not written. A killed process leaves the old file or the new one.
    """
    with _Change(connection, parquet, people) as change:
        if change.rows:
            replace_file(parquet, change.write)
        return change.rows


class _Change:
    """The change of one file: a context in which its temporary tables of replacements exist."""

    def __init__(
        self, connection: duckdb.DuckDBPyConnection, parquet: Path, people: Sequence[Person]
    ) -> None:
        self._connection = connection
        self._parquet = parquet
        self._columns = _columns(parquet)
        texts = _changed_texts(connection, parquet, self._columns, people)
        connection.execute("create or replace temp table pseudonyms (id varchar, pseudonym varchar)")
        for person in people:
            connection.execute("insert into pseudonyms values (?, ?)", [person.user, person.pseudonym])
        connection.register("changed_texts", _table(texts, self._columns.texts))
        named = " or ".join(
            [f"{name} in (select id from pseudonyms)" for name in self._columns.ids] or ["false"]
        )
        ids = f"select file_row_number from {_rows(parquet)} where {named}"
        self.rows = int(
            connection.execute(
                f"select count(*) from ({ids} union select place from changed_texts)"
            ).fetchall()[0][0]
        )

    def __enter__(self) -> "_Change":
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.unregister("changed_texts")

    def write(self, partial: Path) -> None:
        """Write the changed file."""
        ids = [
            f"coalesce((select pseudonym from pseudonyms where id = rows.{name}), rows.{name}) as {name}"
            for name in self._columns.ids
        ]
        texts = [
            f"case when changed.place is null then rows.{name} else changed.{name} end as {name}"
            for name in self._columns.texts
        ]
        query = f"""select rows.* exclude (file_row_number) replace ({", ".join(ids + texts)})
            from {_rows(self._parquet)} as rows left join changed_texts as changed
                on changed.place = rows.file_row_number"""
        self._connection.execute(
            f"copy ({query}) to {literal(str(partial))} (format parquet, compression zstd)"
        )


def _changed_texts(
    connection: duckdb.DuckDBPyConnection, parquet: Path, columns: _Columns, people: Sequence[Person]
) -> dict[int, dict[str, str | None]]:
    """Return all new texts of each row whose texts change, by row number."""
    changed: dict[int, dict[str, str | None]] = {}
    if not columns.texts:
        return changed
    for person in people:
        spellings = {f"spelling_{number}": spelling for number, spelling in enumerate(person.spellings)}
        spelt = [f"contains({name}, ${spelling})" for name in columns.texts for spelling in spellings]
        escaped = [f"contains({name}, '\\u')" for name in columns.texts]
        own = " or ".join(f"{name} is not distinct from $user" for name in columns.ids) or "$user is null"
        query = f"""select file_row_number, {own}, {", ".join(columns.texts)}
            from {_rows(parquet)} where {" or ".join([*spelt, *escaped])}"""
        for place, is_about, *texts in connection.execute(
            query, {"user": person.user, **spellings}
        ).fetchall():
            before = changed.get(place) or dict(zip(columns.texts, texts, strict=True))
            about = bool(is_about) or any(person.is_stated_in(before[name] or "") for name in columns.json)
            after = {
                name: _without(person, columns, name, text, is_about=about) for name, text in before.items()
            }
            if after != before:
                changed[place] = after
    return changed


def _without(person: Person, columns: _Columns, name: str, text: str | None, *, is_about: bool) -> str | None:
    if text is None:
        return None
    if name in columns.json:
        return person.in_json(text, is_about=is_about, within=JSON_COLUMNS[name])
    if name in columns.extracted:
        return person.in_text(EXTRACTED[name], text, is_about=is_about)
    return person.in_row(person.in_json(text))


def _table(changed: Mapping[int, Mapping[str, str | None]], texts: Sequence[str]) -> pa.Table:
    columns: dict[str, Any] = {"place": pa.array(list(changed), pa.int64())}
    columns |= {name: pa.array([one[name] for one in changed.values()], pa.string()) for name in texts}
    return pa.table(columns)


def _columns(parquet: Path) -> _Columns:
    names = pq.read_schema(parquet).names
    # Elsewhere than in a webhook event, `source` is a name that the operator gave.
    texts = [name for name in EXTRACTED if name != "source" or "event_type" in names]
    extracted, rows = (
        ((), ROW_COLUMNS) if QUOTING in names else (texts, [name for name in ROW_COLUMNS if name != "reason"])
    )
    return _Columns(
        *(
            [name for name in wanted if name in names]
            for wanted in (ID_COLUMNS, JSON_COLUMNS, extracted, rows)
        )
    )


def _rows(parquet: Path) -> str:
    return f"read_parquet({file_literal(str(parquet))}, hive_partitioning = false, file_row_number = true)"
