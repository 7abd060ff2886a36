"""Landed files of all formats as one relation of records, each with its text as a JSON object."""

import itertools
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from ingestion.landing.area import LandingFile
from ingestion.readers.arrow_arrays import flags, numbers, repeated, texts
from ingestion.readers.csv_text import ROWS_A_BATCH, csv_rows, csv_schema
from ingestion.readers.inspection import DAMAGE, csv_header
from ingestion.readers.json_values import JsonDamageError, chunks_of, json_batches, json_records
from ingestion.readers.layout import MAX_NESTED_BYTES, PAGE_LISTS, Flatten, Layout, UnreadableFileError
from ingestion.readers.parquet import has_odd_json, json_object, parquet_texts
from ingestion.readers.text import BOM, LINES, json_lines, numbered_lines, open_text
from paywall_warehouse.quoting import quoted, texts_list

JSON_FORMATS = (".jsonl", ".json")
SAMPLE_BYTES = 256 << 10
# The beginning of a JSONL file whose keys are its columns: later records may have further keys.
NAMES_BYTES = 4 << 20
# A record is compared with this many lists of keys. More would cost more than they save.
USUAL_KEYS = 8


@dataclass(frozen=True)
class LocalFile:
    """A readable landed file, its local path, and its number in the batch."""

    file_no: int
    file: LandingFile
    path: Path


def record_texts(connection: duckdb.DuckDBPyConnection, files: Sequence[LocalFile], layout: Layout) -> str:
    """Return SQL for `file_no, line, raw, problem, may_be_odd, text`, one row per record of any of the files.

    `raw` is the record as it is in the file, perhaps with its line end. `text` is the record as a JSON
    object; NULL if it has a `problem`. `may_be_odd` is the result of `text.looks_odd`. The query reads
    lines and rows as a stream, in parallel, and can therefore be run only once.
    """
    branches = []
    lines = [file for file in files if file.file.format in JSON_FORMATS]
    if lines:
        batches = itertools.chain.from_iterable(_json_batches(file, layout) for file in lines)
        connection.register("landed_lines", pa.RecordBatchReader.from_batches(LINES, batches))
        branches.append(
            "select file_no, line, raw, problem, may_be_odd, case when problem is null then raw end as text"
            " from landed_lines where problem is not null or strlen(raw) > 2"
            " or ltrim(raw, e' \\t\\r\\n') <> ''"
        )
    rows = [file for file in files if file.file.format == ".csv"]
    if rows:
        batches = itertools.chain.from_iterable(_csv_batches(file, layout) for file in rows)
        connection.register(
            "landed_rows", pa.RecordBatchReader.from_batches(csv_schema(layout.columns), batches)
        )
        texts = {name: _csv_text(name, layout) for name in layout.columns}
        stated = json_object(texts, layout)
        branches.append(
            f"""select file_no, line, raw, problem, {has_odd_json(texts, layout)} as may_be_odd,
                case when problem is null then {stated} || coalesce(', ' || extra[2:],
                    '}}') end as text from landed_rows"""
        )
    branches += [
        parquet_texts(file.file_no, file.path, layout) for file in files if file.file.format == ".parquet"
    ]
    return "\nunion all\n".join(branches)


def usual_keys(files: Sequence[LocalFile], layout: Layout) -> str:
    """Return SQL for a list of the key lists that the first records of each file have.

    Only lists without repetitions are included, and without unknown keys where those are kept. A record with
    exactly these keys needs no search for unknown or repeated fields, which costs more than reading the
    record.
    """
    lines = [file for file in files if file.file.format in JSON_FORMATS and layout.flatten is None]
    found = Counter(keys for file in lines for keys in _first_keys(file, layout) if _are_usual(keys, layout))
    return (
        f"cast([{', '.join(texts_list(keys) for keys, _ in found.most_common(USUAL_KEYS))}] as varchar[][])"
    )


def column_names(file: LandingFile, path: Path, layout: Layout | None = None) -> list[str]:
    """Return the names of the columns of a file: its header, or the keys of its first records.

    With a `layout` the file is read as its source reads it. The names are empty if the file cannot be read; a
    load says why.
    """
    try:
        if file.format == ".parquet":
            return list(pq.read_schema(path).names)
        if file.format == ".csv":
            return csv_header(file, path, layout.separator if layout else ",")
        texts = first_texts(path, file, NAMES_BYTES, layout.page_lists if layout else PAGE_LISTS)
        if layout is not None and layout.flatten is not None:
            texts = [record.text.encode() for record in layout.flatten(enumerate(texts, 1))]
        envelope = layout.envelope if layout else None
        return list(dict.fromkeys(key for text in texts for key in _keys(text, envelope)))
    except (*DAMAGE, ValueError, pa.ArrowException, UnreadableFileError):
        return []


def _keys(text: bytes, envelope: str | None) -> Sequence[str]:
    try:
        record = json.loads(text)
    except (ValueError, RecursionError):
        return ()
    if isinstance(record, dict) and isinstance(record.get(envelope), dict):
        record = record[envelope]
    return list(record) if isinstance(record, dict) else ()


def _first_keys(file: LocalFile, layout: Layout) -> Iterator[tuple[str, ...]]:
    for text in first_texts(file.path, file.file, SAMPLE_BYTES, layout.page_lists):
        # The query that reads all records reports the fault of an invalid one.
        with suppress(ValueError, RecursionError):
            pairs = json.loads(text, object_pairs_hook=tuple)
            if isinstance(pairs, tuple):
                yield tuple(key for key, _ in pairs)


def first_texts(
    path: Path, file: LandingFile, length: int, page_lists: Sequence[str] = PAGE_LISTS
) -> list[bytes]:
    """Return the texts of the records in the first bytes of a file of JSON."""
    with open_text(path, file.compression) as stream:
        begin = stream.read(length)
    if file.format == ".jsonl":
        return begin.split(b"\n")[:-1]
    texts: list[bytes] = []
    with suppress(JsonDamageError):  # the end is cut off
        for records in json_records([begin.removeprefix(BOM)], page_lists):
            texts += [record.text for record in records]
    return texts


def _are_usual(keys: Sequence[str], layout: Layout) -> bool:
    return len(set(keys)) == len(keys) and (
        not (layout.keeps_unknown or layout.refuses_unknown) or set(keys) <= set(layout.columns)
    )


def _json_batches(file: LocalFile, layout: Layout) -> Iterator[pa.RecordBatch]:
    if layout.flatten is not None:
        yield from _flat_batches(file, layout.flatten)
        return
    with open_text(file.path, file.file.compression) as stream:
        if file.file.format == ".jsonl":
            yield from json_lines(stream, file.file_no)
        else:
            yield from json_batches(stream, file.file_no, layout.page_lists)


def _flat_batches(file: LocalFile, flatten: Flatten) -> Iterator[pa.RecordBatch]:
    """Yield batches of `LINES`, one row per flat record of a file of nested JSON."""
    with open_text(file.path, file.file.compression) as stream:
        nested = (
            numbered_lines(stream, MAX_NESTED_BYTES)
            if file.file.format == ".jsonl"
            else (
                (record.line, record.text)
                for records in json_records(chunks_of(stream), limit=MAX_NESTED_BYTES)
                for record in records
            )
        )
        flat = flatten(nested)
        while block := list(itertools.islice(flat, ROWS_A_BATCH)):
            columns = [
                repeated(file.file_no, len(block)),
                numbers([record.line for record in block]),
                texts([record.text for record in block]),
                texts([record.problem for record in block]),
                # Its numbers are texts.
                flags(False, len(block)),
            ]
            yield pa.record_batch(columns, schema=LINES)


def _csv_batches(file: LocalFile, layout: Layout) -> Iterator[pa.RecordBatch]:
    with open_text(file.path, file.file.compression) as stream:
        yield from csv_rows(
            stream,
            file.file_no,
            layout.columns,
            layout.separator,
            keeps_unknown=layout.keeps_unknown,
            known_as=layout.known_as,
        )


def _csv_text(name: str, layout: Layout) -> str:
    """Return SQL for the text of a CSV column, with a decimal point."""
    return f"with_decimal_point({quoted(name)})" if name in layout.comma_decimals else quoted(name)
