"""The answers of billing APIs as flat records: one per result of a bucket, one for a bucket without results.

An answer may be a page (`{"data": [...]}`), an array of pages, or what is in a page, as one JSON text or as
lines. Bills are small, so plain Python reads them. The text of a number is never made a float.
"""

# ruff: noqa: PLC0415  the reader imports pyarrow, which a run with nothing new does not need

import itertools
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from ingestion.readers.layout import MAX_NESTED_BYTES, FlatRecord, Flatten, folded
from ingestion.validation import reject_codes

# Columns of flat records that no file states. `SHAPE` is NULL for the rows of CSV and Parquet files.
POSITION: Final = "_position"
BUCKET_NO: Final = "_bucket_no"
SHAPE: Final = "_shape"
MADE: Final = (POSITION, BUCKET_NO, SHAPE)
EMPTY, RESULT, ROW = "empty", "result", "row"

# An array of pages has two lists around a bucket. More are no answer of an API.
MAX_LISTS: Final = 4

Row = dict[str, Any]


class _DuplicateFieldError(ValueError):
    """An object that has a field more than once."""


def flatten(
    columns: Sequence[str],
    of_result: Callable[[Row, Row], Row] | None = None,
    json_columns: Sequence[str] = (),
    *,
    keeps_unknown: bool = False,
) -> Flatten:
    """Return the function that makes flat records with some of `columns` of the texts of a file.

    `of_result` makes a row of a bucket and one of its results; the result is empty for a bucket without
    results. Without it, and outside of buckets, objects are rows. A part that cannot be read becomes a record
    with a `problem`, and the parts beside it stay. The objects of `json_columns` are kept as they are. With
    `keeps_unknown` the names of the other fields are kept, without their values.
    """
    named = {folded(column): column for column in columns}

    def rows(part: Row | str, bucket_no: int) -> Iterator[Row | str]:
        if isinstance(part, str):
            yield part
        elif of_result is None or (results := _results(part)) is None:
            others = {key: "" for key in part if folded(key) not in named} if keeps_unknown else {}
            yield others | _known(part, named) | {SHAPE: ROW}
        elif not results:
            yield of_result(part, {}) | {SHAPE: EMPTY, BUCKET_NO: bucket_no}
        else:
            for result in results:
                is_object = isinstance(result, dict)
                made = {SHAPE: RESULT, BUCKET_NO: bucket_no}
                yield of_result(part, result) | made if is_object else reject_codes.NOT_AN_OBJECT

    def flat_records(texts: Iterable[tuple[int, bytes]]) -> Iterator[FlatRecord]:
        bucket_no = 0
        for line, text in texts:
            position = itertools.count(1)
            for part in _parts(text):
                bucket_no += not isinstance(part, str) and _results(part) is not None
                for row, number in zip(rows(part, bucket_no), position, strict=False):
                    if isinstance(row, str):
                        yield FlatRecord(line, "", row)
                    else:
                        yield FlatRecord(line, _text(row | {POSITION: number}, json_columns))

    return flat_records


def _parts(text: bytes, lists: int = MAX_LISTS) -> Iterator[Row | str]:
    """Yield the objects of a text without the pages and arrays around them, or the fault of a part."""
    if len(text) > MAX_NESTED_BYTES:
        yield reject_codes.PAGE_TOO_LONG
        return
    try:
        value = json.loads(
            text.decode(),
            parse_float=str,
            parse_int=str,
            parse_constant=_refuse_constant,
            object_pairs_hook=_object,
        )
    except UnicodeDecodeError:
        yield from _parts_beside(text, reject_codes.INVALID_UTF8, lists)
    except _DuplicateFieldError:
        yield from _parts_beside(text, reject_codes.DUPLICATE_FIELD, lists)
    except (ValueError, RecursionError):
        yield from _parts_beside(text, reject_codes.INVALID_JSON, lists)
    else:
        yield from _opened(value, lists)


def _parts_beside(text: bytes, fault: str, lists: int) -> Iterator[Row | str]:
    """Yield the parts of a page or an array with a fault, each by itself; the fault for any other text."""
    from ingestion.readers.json_values import JsonDamageError, json_records

    try:
        elements = [record.text for records in json_records([text], limit=len(text)) for record in records]
    except JsonDamageError:
        elements = []
    if not lists or not elements or elements == [text]:
        yield fault
        return
    for element in elements:
        yield from _parts(element, lists - 1)


def _opened(value: Any, lists: int) -> Iterator[Row | str]:
    if isinstance(value, dict) and isinstance(value.get("data"), list):
        value = value["data"]
    if isinstance(value, list) and lists:
        for one in value:
            yield from _opened(one, lists - 1)
    elif not isinstance(value, dict):
        yield reject_codes.NOT_AN_OBJECT
    elif _is_bucket(value) and _results(value) is None:
        yield reject_codes.WITHOUT_RESULTS
    else:
        yield value


def _is_bucket(value: Row) -> bool:
    return value.get("object") == "bucket" or "results" in value


def _results(value: Row) -> list[Any] | None:
    """Return the results of a bucket; None if the object is no bucket."""
    found = [value[name] for name in ("results", "result") if isinstance(value.get(name), list)]
    return found[0] if found else None


def _known(row: Row, named: Mapping[str, str]) -> Row:
    """Return the fields of a row that are columns, whatever their case."""
    return {named[name]: value for key, value in row.items() if (name := folded(key)) in named}


def _text(row: Row, json_columns: Sequence[str]) -> str:
    # An object or a list in the place of a text may hold anything: only its kind is kept.
    stated = {
        name: type(value)() if isinstance(value, dict | list) and name not in json_columns else value
        for name, value in row.items()
        if value is not None
    }
    return json.dumps(stated)


def _object(pairs: list[tuple[str, Any]]) -> Row:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise _DuplicateFieldError
    return made


def _refuse_constant(text: str) -> Any:
    raise ValueError(f"{text} is no number of JSON")
