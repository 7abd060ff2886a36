"""CSV files as Arrow batches, one row per record with the line on which it begins.

Blocks of text that are plain are split by numpy (`plain_csv`). The others are read record by record, because
stray quotes, text that is not UTF-8 and records that are too long each cost only the line that has them.
"""

import csv
import itertools
import json
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import BinaryIO

import pyarrow as pa

from ingestion.readers.arrow_arrays import flags, numbers, repeated, texts
from ingestion.readers.plain_csv import PlainRows, plain_rows
from ingestion.readers.text import LINES, MAX_RECORD_BYTES, check_text, chunks_of_lines
from ingestion.validation import reject_codes

# Hostile text may have a field per byte, which takes about 50 bytes of memory each. Blocks of 16 MiB were no
# faster.
BLOCK_BYTES = 4 << 20
# Rows that are read one by one may have 1 MiB each.
ROWS_A_BATCH, BATCH_BYTES = 20_000, 16 << 20


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

    def __init__(self, blocks: Iterator[bytes], first_line: int) -> None:
        self._blocks = blocks
        self._lines: list[bytes] = []
        self._used = 0
        self._first_line = first_line
        self._again: deque[tuple[int, bytes]] = deque()
        self.taken: list[tuple[int, bytes]] = []
        self._size = 0
        self._quotes = 0

    @property
    def next_line(self) -> int:
        """Return the number of the line that is read next."""
        return self._again[0][0] if self._again else self._first_line + self._used

    def rest(self) -> bytes:
        """Return the text of the lines that were fetched and not read."""
        lines = [*(line for _, line in self._again), *self._lines[self._used :]]
        return b"\n".join([*lines, b""])

    def peek(self) -> bytes:
        """Return the next line without taking it; empty at the end."""
        if not self._again:
            with suppress(StopIteration):
                self._again.append(self._fetch())
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
            # a letter: with `a","b` on every line it would read 1 MiB ahead for each record.
            raise csv.Error("a quote inside an unquoted field")
        number, line = self._again.popleft() if self._again else self._fetch()
        self.taken.append((number, line))
        self._size += len(line) + 1
        self._quotes += line.count(b'"')
        return line.decode(errors="replace") + "\n"

    def _fetch(self) -> tuple[int, bytes]:
        while self._used == len(self._lines):
            self._first_line += self._used
            self._lines, self._used = next(self._blocks).split(b"\n")[:-1], 0
        number = self._first_line + self._used
        self._used += 1
        return number, self._lines[number - self._first_line]


def csv_records(stream: BinaryIO, separators: str = ",") -> Iterator[CsvRecord]:
    """Yield the records of a CSV file (RFC 4180, or with another separator), the header first, without blank
    lines.

    Of several separators, the one counts that is in the header most often. A quote that is never closed costs
    only its own line: reading continues with the next line.
    """
    lines = _Lines(chunks_of_lines(stream, BLOCK_BYTES), 1)
    return _records(lines, separator_of(lines.peek(), separators))


def separator_of(header: bytes, separators: str) -> str:
    """Return the one of several separators that is in a header most often; the first one of equals."""
    return max(separators, key=lambda one: header.count(one.encode()))


def _records(lines: _Lines, separator: str) -> Iterator[CsvRecord]:
    csv.field_size_limit(MAX_RECORD_BYTES)
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
    known_as: Callable[[str], str] = str,
) -> Iterator[pa.RecordBatch]:
    """Yield the rows after the header as batches of `csv_schema(columns)`; `extra` is NULL unless
    `keeps_unknown`. `known_as` returns the column that a name in the header stands for.

    An empty field is NULL, and so is a column that the file lacks. A row with more or fewer fields than the
    header has a `problem` and no fields.
    """
    schema = csv_schema(columns)
    blocks = chunks_of_lines(stream, BLOCK_BYTES)
    lines = _Lines(blocks, 1)
    separator = separator_of(lines.peek(), separators)
    names = [known_as(name) for name in next(_records(lines, separator)).fields]
    header = _Header(
        len(names),
        [names.index(name) if name in names else None for name in columns],
        [(place, name) for place, name in enumerate(names) if keeps_unknown and name not in columns],
    )
    line, rest = lines.next_line, lines.rest()
    while text := rest + next(blocks, b""):
        plain = plain_rows(text, separator)
        if plain is not None:
            if len(plain.raw):
                yield pa.record_batch(_plain_arrays(plain, file_no, line, header), schema=schema)
            line, rest = line + plain.lines, text[plain.end :]
        else:
            lines = _Lines(itertools.chain([text], blocks), line)
            records = _records_until(line + text.count(b"\n"), lines, separator)
            while rows := _next_rows(records):
                yield pa.record_batch(_arrays(rows, file_no, header), schema=schema)
            line, rest = lines.next_line, lines.rest()


@dataclass(frozen=True)
class _Header:
    """What the header of a file says about the fields of its rows."""

    width: int
    places: Sequence[int | None]
    """Where each known column is; None for one that the file lacks."""
    unknown: Sequence[tuple[int, str]]
    """Where the other columns are, and their names."""


def _plain_arrays(rows: PlainRows, file_no: int, first_line: int, header: _Header) -> list[pa.Array]:
    count = len(rows.raw)
    has_fields = rows.widths == header.width
    if has_fields.all():
        problems = pa.nulls(count, pa.string())
    else:
        problems = texts([_width_problem(width, header.width) for width in rows.widths.tolist()])
    if header.unknown:
        stated = [rows.column(place, has_fields).to_pylist() for place, _ in header.unknown]
        names = [name for _, name in header.unknown]
        extra = texts([_extra(names, values) for values in zip(*stated, strict=True)])
    else:
        extra = pa.nulls(count, pa.string())
    return [
        repeated(file_no, count),
        numbers(rows.first_lines + first_line),
        rows.raw,
        problems,
        flags(True, count),
        *(
            rows.column(place, has_fields) if place is not None else pa.nulls(count, pa.string())
            for place in header.places
        ),
        extra,
    ]


def _arrays(records: list[CsvRecord], file_no: int, header: _Header) -> list[pa.Array]:
    good = [_check_width(record, header.width) for record in records]
    # A record with a problem has no fields.
    rows = [record.fields or [""] * header.width for record in good]
    names = [name for _, name in header.unknown]
    return [
        repeated(file_no, len(good)),
        numbers([record.line for record in good]),
        texts([record.raw for record in good]),
        texts([record.problem for record in good]),
        flags(True, len(good)),
        *(
            texts([row[place] or None for row in rows])
            if place is not None
            else pa.nulls(len(rows), pa.string())
            for place in header.places
        ),
        texts([_extra(names, [row[place] for place, _ in header.unknown]) for row in rows]),
    ]


def _records_until(line: int, lines: _Lines, separator: str) -> Iterator[CsvRecord]:
    """Yield the records up to the first one that ends on the line before this one, or later."""
    for record in _records(lines, separator):
        yield record
        if lines.next_line >= line:
            return


def _next_rows(records: Iterator[CsvRecord]) -> list[CsvRecord]:
    """Return the next rows for a batch; fewer if they are long, because 20,000 rows may have 20 GB."""
    rows: list[CsvRecord] = []
    size = 0
    for record in itertools.islice(records, ROWS_A_BATCH):
        rows.append(record)
        size += len(record.raw)
        if size > BATCH_BYTES:
            break
    return rows


def _check_width(record: CsvRecord, width: int) -> CsvRecord:
    problem = record.problem or _width_problem(len(record.fields), width)
    return record if problem is None else replace(record, fields=[], problem=problem)


def _width_problem(found: int, width: int) -> str | None:
    if found == width:
        return None
    return reject_codes.TOO_MANY_FIELDS if found > width else reject_codes.TOO_FEW_FIELDS


def _extra(names: Sequence[str], values: Sequence[str | None]) -> str | None:
    stated = {name: value for name, value in zip(names, values, strict=True) if value}
    return json.dumps(stated, ensure_ascii=False) if stated else None
