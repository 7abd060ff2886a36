"""Landed text files as Arrow batches, one row per record with its line number.

Only the form of the text is checked here, not what it states.
"""

import csv
import gzip
import itertools
import json
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np
import pyarrow as pa
import zstandard

from ingestion.validation import reject_codes

# 16 MiB of text at a time keeps both cores busy with some ten thousand records a batch; 4 MiB was a tenth
# slower, 64 MiB no faster.
CHUNK_BYTES = 16 << 20
# Metadata may have 64 KiB and ids 255 characters: more than 1 MiB is a broken file, not a record.
MAX_RECORD_BYTES = 1 << 20
CSV_ROWS_A_BATCH = 20_000
BOM = b"\xef\xbb\xbf"

LINES = pa.schema(
    [
        ("file_no", pa.int64()),
        ("line", pa.int64()),
        ("raw", pa.string()),
        ("problem", pa.string()),
        ("may_be_odd", pa.bool_()),
    ]
)


@contextmanager
def open_text(path: Path, compression: str) -> Iterator[BinaryIO]:
    """Yield a stream of the decompressed bytes of a file.

    Reading a damaged file raises OSError, EOFError or ZstdError.
    """
    with path.open("rb") as file:
        if compression == ".gz":
            with gzip.GzipFile(fileobj=file) as stream:
                yield cast(BinaryIO, stream)
        elif compression == ".zst":
            with zstandard.ZstdDecompressor().stream_reader(file, read_across_frames=True) as stream:
                yield cast(BinaryIO, stream)
        else:
            yield file


def _chunks_of_lines(stream: BinaryIO) -> Iterator[bytes]:
    """Yield the stream in chunks that end with a line feed, which the last one gets, without a byte order
    mark.
    """
    rest = b""
    first = True
    while block := stream.read(CHUNK_BYTES):
        if first:
            block, first = block.removeprefix(BOM), False
        if len(rest) > MAX_RECORD_BYTES:
            # The record is too long already: only its beginning is kept.
            rest = rest[: MAX_RECORD_BYTES + 1]
            block = block[max(block.find(b"\n"), 0) :] if b"\n" in block else b""
        cut = block.rfind(b"\n") + 1
        if cut:
            yield b"".join((rest, memoryview(block)[:cut]))
            rest = block[cut:]
        else:
            rest += block
    if rest:
        yield rest + b"\n"


def json_lines(stream: BinaryIO, file_no: int) -> Iterator[pa.RecordBatch]:
    """Yield batches of `LINES`, one row per line. `problem` is set if the line is not UTF-8 text or too long.

    `may_be_odd` is false if `looks_odd` finds nothing in the whole chunk: the numbers of its lines need no
    closer look.
    """
    line = 1
    for chunk in _chunks_of_lines(stream):
        text = np.frombuffer(chunk, dtype=np.uint8)
        ends = np.flatnonzero(text == ord("\n")).astype(np.int32) + 1
        offsets = np.concatenate([np.zeros(1, dtype=np.int32), ends])
        count = len(ends)
        raw = pa.StringArray.from_buffers(count, pa.py_buffer(offsets), pa.py_buffer(chunk))
        numbers = pa.array(np.arange(line, line + count))
        if int(np.diff(offsets).max()) > MAX_RECORD_BYTES or not is_utf8(raw):
            yield _lines_one_by_one(chunk, file_no, line)
        else:
            odd = pa.repeat(looks_odd(chunk), count)
            yield pa.record_batch(
                [pa.repeat(file_no, count), numbers, raw, pa.nulls(count, pa.string()), odd], schema=LINES
            )
        line += count


Bytes = np.ndarray[Any, np.dtype[np.uint8]]
Places = np.ndarray[Any, np.dtype[np.intp]]


def looks_odd(chunk: bytes) -> bool:
    """Check whether JSON lines may have a number of 16 digits and points, NaN, Infinity, or a comma before a
    closing bracket.

    The result is never false if they do. Regular expressions would take a second per million lines, and
    almost no file has any of these.
    """
    text = np.frombuffer(chunk, dtype=np.uint8)
    return (
        _has_long_number(text)
        or _has_lax_comma(text, "}")
        or (b"]" in chunk and _has_lax_comma(text, "]"))
        or _has_nan_or_infinity(text)
    )


def _has_long_number(text: Bytes) -> bool:
    """Check whether a text has a run of 16 digits and points.

    Such a run covers four neighbours among every fourth byte. The bytes between are tested only where those
    four may be digits.
    """
    fourth = _may_be_in_number(text[::4])
    starts = np.flatnonzero(fourth[:-3] & fourth[1:-2] & fourth[2:-1] & fourth[3:]) * 4
    for place in (2, 6, 10, 1, 3, 5, 7, 9, 11):
        starts = starts[_may_be_in_number(text[starts + place])]
    return bool(len(starts))


def _may_be_in_number(text: Bytes) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Return which bytes are digits or points, or the slash, whose code is between theirs."""
    return (text - np.uint8(ord("."))) <= ord("9") - ord(".")


def _has_lax_comma(text: Bytes, bracket: str) -> bool:
    """Check whether a closing bracket has a comma or a space before it."""
    before = text[np.flatnonzero(text == ord(bracket)) - 1]
    return bool(((before == ord(",")) | (before <= ord(" "))).any())


def _has_nan_or_infinity(text: Bytes) -> bool:
    """Check whether a value begins like NaN or Infinity, in upper or lower case."""
    small = text | np.uint8(0x20)
    places = np.flatnonzero(small == ord("n"))
    places = places[(places > 0) & (places < len(text) - 2)]
    after, before = small[places + 1], small[places - 1]
    return _begins_value(
        text, places[(after == ord("a")) & (small[places + 2] == ord("n"))]
    ) or _begins_value(text, places[(after == ord("f")) & (before == ord("i"))] - 1)


def _begins_value(text: Bytes, places: Places) -> bool:
    before = np.where(text[places - 1] == ord("-"), text[places - 2], text[places - 1])
    return bool(
        ((before == ord(":")) | (before == ord(",")) | (before == ord("[")) | (before <= ord(" "))).any()
    )


def is_utf8(text: pa.StringArray) -> bool:
    """Check whether an array that was made of bytes is text."""
    try:
        text.validate(full=True)
    except pa.ArrowInvalid:
        return False
    return True


def _lines_one_by_one(chunk: bytes, file_no: int, first_line: int) -> pa.RecordBatch:
    rows = [(number, *check_text(line)) for number, line in enumerate(chunk.split(b"\n")[:-1], first_line)]
    numbers, texts, problems = zip(*rows, strict=True)
    return pa.record_batch(
        [
            pa.repeat(file_no, len(rows)),
            pa.array(numbers),
            pa.array(texts, pa.string()),
            pa.array(problems, pa.string()),
            pa.repeat(True, len(rows)),
        ],
        schema=LINES,
    )


def check_text(line: bytes) -> tuple[str, str | None]:
    """Return the bytes of a record as text, and a reject code if they are not acceptable."""
    if len(line) > MAX_RECORD_BYTES:
        return line[:MAX_RECORD_BYTES].decode(errors="replace"), reject_codes.RECORD_TOO_LONG
    try:
        return line.decode(), None
    except UnicodeDecodeError:
        return line.decode(errors="replace"), reject_codes.INVALID_UTF8


@dataclass(frozen=True)
class CsvRecord:
    """One record of a CSV file: its first line, its text, and its fields or its problem."""

    line: int
    raw: str
    fields: list[str]
    problem: str | None = None


class _Lines:
    """The lines of a CSV file for `csv.reader`, which takes several if quoted fields contain line feeds.

    It keeps the lines of the current record, so that a malformed record can give back all but the first.
    """

    def __init__(self, stream: BinaryIO) -> None:
        self._fresh = enumerate(
            (line for chunk in _chunks_of_lines(stream) for line in chunk.split(b"\n")[:-1]), 1
        )
        self._again: deque[tuple[int, bytes]] = deque()
        self.taken: list[tuple[int, bytes]] = []
        self._size = 0
        self._quotes = 0

    def peek(self) -> bytes:
        """Return the next line without taking it; empty at the end."""
        if not self._again and (line := next(self._fresh, None)):
            self._again.append(line)
        return self._again[0][1] if self._again else b""

    def begin_record(self) -> None:
        self.taken, self._size, self._quotes = [], 0, 0

    def give_back(self) -> None:
        """Return all lines but the first of the current record to the input."""
        self._again.extendleft(reversed(self.taken[1:]))
        self.taken = self.taken[:1]

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        if self._size > MAX_RECORD_BYTES:
            raise csv.Error("a record of more than MAX_RECORD_BYTES")
        if self.taken and self._quotes % 2 == 0:
            # A quote is open after an odd number of quotes. `csv` treats a quote inside an unquoted field as
            # a
            # letter: with `a","b` on every line it would read 1 MiB ahead for each record.
            raise csv.Error("a quote inside an unquoted field")
        number, line = self._again.popleft() if self._again else next(self._fresh)
        self.taken.append((number, line))
        self._size += len(line) + 1
        self._quotes += line.count(b'"')
        return line.decode(errors="replace") + "\n"


def csv_records(stream: BinaryIO, separators: str = ",") -> Iterator[CsvRecord]:
    """Yield the records of a CSV file (RFC 4180, or with another separator), the header first, without blank
    lines.

    Of several separators, the one counts that is in the header most often. A quote that is never closed costs
    only its own line: reading continues with the next line.
    """
    csv.field_size_limit(MAX_RECORD_BYTES)
    lines = _Lines(stream)
    separator = separator_of(lines.peek(), separators)
    reader = csv.reader(lines, delimiter=separator, strict=True)
    while True:
        lines.begin_record()
        problem = None
        try:
            fields = next(reader)
        except StopIteration:
            return
        except csv.Error:
            lines.give_back()
            reader = csv.reader(lines, delimiter=separator, strict=True)
            fields, problem = [], reject_codes.BAD_QUOTING
        raw, text_problem = check_text(b"\n".join(line for _, line in lines.taken))
        if fields or problem:
            yield CsvRecord(lines.taken[0][0], raw.removesuffix("\r"), fields, text_problem or problem)


def separator_of(header: bytes, separators: str) -> str:
    """Return the one of several separators that is in a header most often; the first one of equals."""
    return max(separators, key=lambda one: header.count(one.encode()))


def csv_schema(columns: Sequence[str]) -> pa.Schema:
    """Return `LINES` with a text column for each known column, and `extra`: the unknown ones as JSON."""
    return pa.schema([*LINES, *((name, pa.string()) for name in columns), ("extra", pa.string())])


def csv_rows(
    stream: BinaryIO,
    file_no: int,
    columns: Sequence[str],
    separators: str = ",",
    *,
    keeps_unknown: bool = True,
) -> Iterator[pa.RecordBatch]:
    """Yield the rows after the header as batches of `csv_schema(columns)`; `extra` is NULL unless
    `keeps_unknown`.

    An empty field is NULL, and so is a column that the file lacks. A row with more or fewer fields than the
    header has a `problem` and no fields.
    """
    schema = csv_schema(columns)
    records = csv_records(stream, separators)
    header = next(records).fields
    places = [header.index(name) if name in header else None for name in columns]
    unknown = [(place, name) for place, name in enumerate(header) if keeps_unknown and name not in columns]
    while block := _next_rows(records):
        good = [_check_width(record, len(header)) for record in block]
        rows = [record.fields for record in good]
        texts = [
            [row[place] or None if row else None for row in rows] if place is not None else [None] * len(rows)
            for place in places
        ]
        arrays = [
            pa.repeat(file_no, len(good)),
            pa.array([record.line for record in good], pa.int64()),
            pa.array([record.raw for record in good], pa.string()),
            pa.array([record.problem for record in good], pa.string()),
            pa.repeat(True, len(good)),
            *(pa.array(values, pa.string()) for values in texts),
            (
                pa.array([_extra(row, unknown) for row in rows], pa.string())
                if unknown
                else pa.nulls(len(rows), pa.string())
            ),
        ]
        yield pa.record_batch(arrays, schema=schema)


def _next_rows(records: Iterator[CsvRecord]) -> list[CsvRecord]:
    """Return the next rows for a batch; fewer if they are long, because 20,000 rows may have 20 GB."""
    block: list[CsvRecord] = []
    size = 0
    for record in itertools.islice(records, CSV_ROWS_A_BATCH):
        block.append(record)
        size += len(record.raw)
        if size > CHUNK_BYTES:
            break
    return block


def _check_width(record: CsvRecord, width: int) -> CsvRecord:
    if record.problem is not None or len(record.fields) == width:
        return record if record.problem is None else replace(record, fields=[])
    problem = reject_codes.TOO_MANY_FIELDS if len(record.fields) > width else reject_codes.TOO_FEW_FIELDS
    return replace(record, fields=[], problem=problem)


def _extra(row: list[str], unknown: list[tuple[int, str]]) -> str | None:
    stated = {name: row[place] for place, name in unknown if row and row[place]}
    return json.dumps(stated, ensure_ascii=False) if stated else None
