"""Landed Parquet files: whether they can be read, and their rows as the JSON texts of equivalent JSON
lines.
"""

from collections.abc import Iterable
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from ingestion.readers.inspection import check_columns, check_expansion, damaged, refuse_repeated
from ingestion.readers.layout import Layout, UnreadableFileError
from ingestion.readers.text import MAX_RECORD_BYTES
from ingestion.validation import reject_codes
from paywall_warehouse.quoting import file_literal, literal, quoted

# DuckDB's name for the number of a row in its Parquet file.
ROW_NUMBER = "file_row_number"
MAX_DECIMAL_DIGITS = 38
# What the libraries raise for bytes that are not Parquet.
UNDECODABLE = (OSError, ValueError, OverflowError, MemoryError, pa.ArrowException, duckdb.Error)
# How much a reject shows of each field of a row that is too long.
SHOWN_CHARACTERS = 100


def check_parquet(connection: duckdb.DuckDBPyConnection, path: Path, layout: Layout) -> None:
    """Raise `UnreadableFileError` if no row of the file can be read or validated by itself."""
    if "\\" in path.name and set("*?[") & set(path.name):
        raise UnreadableFileError(
            reject_codes.UNSUPPORTED_FILE,
            "the name has a backslash and one of * ? [, which cannot be opened; rename it",
        )
    stored = path.stat().st_size
    try:
        with pq.ParquetFile(path) as parquet:
            schema, about = parquet.schema_arrow, parquet.metadata
        _check_schema(schema, layout)
        # The sizes in the file's metadata cost nothing to read. How much its dictionaries expand to is known
        # only after reading them.
        groups = [about.row_group(number) for number in range(about.num_row_groups)]
        check_expansion(sum(group.total_byte_size for group in groups), about.num_rows, stored)
        # Only decoding every page shows that none is damaged and that DuckDB, which reads them later, can.
        (expanded,) = connection.execute(
            f"select sum({_row_bytes(schema)}) from {_rows(path)}"
        ).fetchone() or (None,)
        check_expansion(expanded or 0, about.num_rows, stored)
    except UnicodeDecodeError:
        message = "the name of a column is not UTF-8; write the file again, with names in UTF-8"
        raise UnreadableFileError(reject_codes.UNREADABLE_FILE, message) from None
    except UNDECODABLE as error:
        raise damaged(error) from None


def parquet_texts(file_no: int, path: Path, layout: Layout) -> str:
    """Return SQL for the relation of `records.record_texts` for one Parquet file."""
    with pq.ParquetFile(path) as parquet:
        schema = parquet.schema_arrow
    named = {layout.known_as(field.name): field for field in schema}
    stated = {
        name: _as_text(field)
        for name, field in named.items()
        if layout.keeps_unknown or name in layout.columns
    }
    beginnings = ", ".join(
        f"{literal(name)}, left({sql}, {SHOWN_CHARACTERS})"
        for name, sql in stated.items()
        if name in layout.columns
    )
    size = _bytes_of(stated.values())
    odd = has_odd_json(stated, layout)
    return f"""select {file_no} as file_no, {ROW_NUMBER} + 1 as line, coalesce(text, beginnings) as raw,
            case when text is null then '{reject_codes.RECORD_TOO_LONG}' end as problem, may_be_odd, text
        from (
            select {ROW_NUMBER}, {odd} as may_be_odd, case when {size} <= {MAX_RECORD_BYTES}
                then {json_object(stated, layout)} || '}}' end as text,
                case when {size} > {MAX_RECORD_BYTES} then cast(json_object({beginnings}) as varchar) end
                    as beginnings
            from {_rows(path)}
        )"""


def has_odd_json(stated: dict[str, str], layout: Layout) -> str:
    """Return SQL for whether the numbers of a row may need a closer look.

    Those of JSON columns may. The values of all other columns become JSON texts.
    """
    return (
        " or ".join(f"coalesce(is_odd({stated[name]}), false)" for name in layout.json if name in stated)
        or "false"
    )


def json_object(stated: dict[str, str], layout: Layout) -> str:
    """Return SQL for an object of texts without its closing brace.

    Columns that hold JSON are inserted unchanged, so that numbers keep their digits.
    """
    known = ", ".join(
        f"{literal(name)}, {sql}"
        for name, sql in stated.items()
        if name in layout.columns and name not in layout.json
    )
    unknown = ", ".join(
        f"{literal(name)}, {sql}" for name, sql in stated.items() if name not in layout.columns
    )
    parts = [f"cast(json_object({known}) as varchar)[:-2]"]
    if unknown:
        # A column that is empty in this row states nothing: the merge patch (RFC 7396) removes nulls.
        extra = f"nullif(cast(json_merge_patch('{{}}', json_object({unknown})) as varchar), '{{}}')"
        parts.append(f"coalesce(', ' || ({extra})[2:-2], '')")
    for name in layout.json:
        if name in stated:
            sql = stated[name]
            value = (
                f"case when json_problem({sql}) is null then {sql} else cast(to_json({sql}) as varchar) end"
            )
            parts.append(f"coalesce(', \"{name}\": ' || ({value}), '')")
    return " || ".join(parts)


def _rows(path: Path) -> str:
    # Without Hive partitioning a folder such as `user=evil/` is not a column.
    return f"read_parquet({file_literal(str(path))}, file_row_number = true, hive_partitioning = false)"


def _row_bytes(schema: pa.Schema) -> str:
    """Return SQL for the total length of a row's texts."""
    return _bytes_of(map(_as_text, schema))


def _bytes_of(texts: Iterable[str]) -> str:
    return " + ".join(f"coalesce(strlen({text}), 0)" for text in texts)


def _as_text(field: pa.Field) -> str:
    """Return SQL for a column's value as the text that a JSON line would have."""
    column, kind = quoted(field.name), field.type
    if pa.types.is_timestamp(kind) and kind.tz is not None:
        return f"strftime({column}, '%Y-%m-%dT%H:%M:%S.%fZ')"
    if pa.types.is_float32(kind):
        return f"cast({column} as varchar)"  # the shortest text of its own precision
    if pa.types.is_floating(kind):
        # Data frames have no integer with NULL: a count column with gaps is written as 12.0.
        return f"cast(cast({column} as double) as varchar)"
    if pa.types.is_nested(kind):
        return f"cast(to_json({column}) as varchar)"
    return f"cast({column} as varchar)"


def _check_schema(schema: pa.Schema, layout: Layout) -> None:
    check_columns(schema.names, layout)
    if "" in schema.names:
        raise UnreadableFileError(reject_codes.MISSING_COLUMN, "a column has no name; give it one")
    # Names in DuckDB are case-insensitive, and DuckDB adds ROW_NUMBER itself.
    refuse_repeated([name.lower() for name in schema.names] + [ROW_NUMBER])
    wrong = [
        f'column "{field.name}" has the type {field.type}; it must be {wanted}'
        for field in schema
        if (wanted := _wanted_type(field, layout))
    ]
    if wrong:
        raise UnreadableFileError(reject_codes.WRONG_COLUMN_TYPE, f"{'. '.join(wrong)}. Write the file again")


def _wanted_type(field: pa.Field, layout: Layout) -> str:
    """Return the type that a column must have instead of its own; '' if it can be read."""
    kind, name = field.type, layout.known_as(field.name)
    wanted = ""
    if name in layout.money and not (
        _is_text(kind) or pa.types.is_integer(kind) or _is_exact_decimal(kind) or pa.types.is_null(kind)
    ):
        wanted = "text, a decimal of at most 38 digits or an integer: a float cannot state money exactly"
    elif name in layout.times and not (
        _is_text(kind) or (pa.types.is_timestamp(kind) and kind.tz is not None) or pa.types.is_null(kind)
    ):
        wanted = "text (RFC 3339) or a timestamp with a time zone: a time without one is not an instant"
    elif name in layout.columns and (
        pa.types.is_binary(kind) or (pa.types.is_nested(kind) and name not in layout.json)
    ):
        wanted = "text or a number"
    return wanted


def _is_exact_decimal(kind: pa.DataType) -> bool:
    """Check whether a type is a decimal that DuckDB reads exactly: wider ones become DOUBLE."""
    return bool(pa.types.is_decimal(kind) and kind.precision <= MAX_DECIMAL_DIGITS)


def _is_text(kind: pa.DataType) -> bool:
    return bool(
        pa.types.is_string(kind)
        or pa.types.is_large_string(kind)
        or pa.types.is_string_view(kind)
        or (pa.types.is_dictionary(kind) and _is_text(kind.value_type))
    )
