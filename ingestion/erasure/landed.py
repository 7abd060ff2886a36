"""Landed files that name a person: finding them for the operator, and rewriting them on request."""

import csv
import gzip
import io
import itertools
import json
import os
import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any, BinaryIO, cast

import pyarrow as pa
import pyarrow.parquet as pq
import zstandard

from ingestion.erasure.texts import NAMES_A_USER, Person
from ingestion.lake.batches import Lake
from ingestion.landing.area import FORMATS, Landing, LandingFile
from ingestion.pulls.sidecars import sidecar_name
from ingestion.readers.csv_text import csv_records, separator_of
from ingestion.readers.inspection import DAMAGE
from ingestion.readers.json_values import JsonRecord, chunks_of, json_records
from ingestion.readers.parquet import UNDECODABLE
from ingestion.readers.text import BOM, open_text
from paywall_warehouse.files import sha256

PIECE_BYTES = 16 << 20


@dataclass(frozen=True)
class Naming:
    """A landed file that names a person."""

    file: LandingFile
    records: int
    fault: str | None = None
    """Why the file cannot be rewritten."""


def naming(landing: Landing, files: Iterable[LandingFile], person: Person) -> Iterator[Naming]:
    """Yield the files that name a person, in their order, with the number of records that do."""
    for file in files:
        if found := _read(landing, file, person, None):
            yield found


def rewrite_file(landing: Landing, lake: Lake, found: Naming, person: Person) -> None:
    """Replace a landed file by one without the person's id, and record it in the lake as loaded.

    Name, format, compression, time and mode stay; lines keep their order. A process that is killed between
    the two steps leaves a file that the next run loads again, which changes no number.
    """
    with landing.local_copy(found.file) as path, landing.staging() as staging_file:
        before = sha256(path)
        if _read(landing, found.file, person, staging_file) is None:
            return  # the target of a link, which was rewritten already
        if landing.is_local:
            shutil.copystat(path, staging_file)
        _write_sidecar(landing, found.file, staging_file)
        landing.put(_place(landing, found.file), staging_file)
        after = sha256(staging_file)
    now = landing.listed(found.file)
    for manifest in lake.manifests():
        known = [
            replace(one, sha256=after, bytes=now.bytes, fingerprint=now.fingerprint)
            if (one.path, one.sha256) == (found.file.path, before)
            else one
            for one in manifest.files
        ]
        discarded = [
            replace(one, sha256=after, fingerprint=now.fingerprint)
            if (one.path, one.sha256) == (found.file.path, before)
            else one
            for one in manifest.discarded
        ]
        if known != manifest.files or discarded != manifest.discarded:
            lake.restate(replace(manifest, files=known, discarded=discarded))


def _place(landing: Landing, file: LandingFile) -> str:
    """Return the path of a file relative to the landing area, with links resolved."""
    if landing.is_local:
        return os.path.relpath(os.path.realpath(file.location), os.path.realpath(landing.root))
    return landing.relative(file.location)


def _write_sidecar(landing: Landing, file: LandingFile, staging_file: Path) -> None:
    """Update size and digest in the sidecar of a pulled file, which would otherwise be pulled again."""
    folder, _, name = landing.relative(file.location).rpartition("/")
    sidecar = f"{folder}/{sidecar_name(name)}"
    try:
        content = json.loads(landing.filesystem.cat_file(f"{landing.root}/{sidecar}"))
    except FileNotFoundError:
        return
    landing.put_text(
        sidecar,
        json.dumps(
            {**content, "bytes": staging_file.stat().st_size, "sha256": sha256(staging_file)}, indent=1
        ),
    )


def _read(landing: Landing, file: LandingFile, person: Person, target: Path | None) -> Naming | None:
    """Count the records of a file that name a person, and write the file without the id if there is a
    target.
    """
    if file.format not in FORMATS or file.hindrance is not None:
        return None
    try:
        with landing.local_copy(file) as path:
            if not _may_name(file, path, person):
                return None
            records = (
                _parquet(path, person, target)
                if file.format == ".parquet"
                else _text(file, path, person, target)
            )
    except (*DAMAGE, *UNDECODABLE) as error:
        return Naming(file, 0, f"it cannot be read ({error}); delete it if it names the person")
    return Naming(file, records) if records else None


def _may_name(file: LandingFile, path: Path, person: Person) -> bool:
    """Check quickly whether the bytes of a text file contain a spelling of the id, or a JSON escape."""
    if file.format == ".parquet":
        return True
    spellings = [b"\\u", *(spelling.encode(errors="surrogateescape") for spelling in person.spellings)]
    overlap = max(map(len, spellings))
    rest = b""
    with open_text(path, file.compression) as stream:
        while block := stream.read(PIECE_BYTES):
            piece = rest + block
            if any(spelling in piece for spelling in spellings):
                return True
            rest = piece[-overlap:]
    return False


def _text(file: LandingFile, path: Path, person: Person, target: Path | None) -> int:
    records = 0
    with ExitStack() as opened:
        stream = opened.enter_context(open_text(path, file.compression))
        sink = opened.enter_context(_writing(target, file.compression)) if target else None
        if file.format == ".json":
            again = opened.enter_context(open_text(path, file.compression))
            pieces = _json_values(again, json_records(chunks_of(stream), file.page_lists), person)
        else:
            pieces = (
                _csv_lines(stream, person, file.separator)
                if file.format == ".csv"
                else _json_lines(stream, person)
            )
        for before, after in pieces:
            records += before != after
            if sink:
                sink.write(after)
    return records


def _json_lines(stream: BinaryIO, person: Person) -> Iterator[tuple[bytes, bytes]]:
    """Yield each line before and after the replacement."""
    # The reader of zstandard does not iterate over lines.
    for line in io.BufferedReader(cast(io.RawIOBase, stream)):
        yield line, _record_without(line, person)


def _json_values(
    stream: BinaryIO, records: Iterable[Sequence[JsonRecord]], person: Person
) -> Iterator[tuple[bytes, bytes]]:
    """Yield the records of a `.json` file, and what is between them, before and after the replacement."""
    rest = io.BufferedReader(cast(io.RawIOBase, stream))
    place = 0
    if rest.peek(len(BOM)).startswith(BOM):
        yield rest.read(len(BOM)), BOM
    for record in itertools.chain.from_iterable(records):
        between, text = rest.read(record.start - place), rest.read(record.end - record.start)
        place = record.end
        yield between, _row_without(between, person)
        yield text, _record_without(text, person)
    end = rest.read()
    yield end, _row_without(end, person)


def _record_without(record: bytes, person: Person) -> bytes:
    """Return the text of a JSON record without the person's id."""
    text = record.decode(errors="surrogateescape")
    if not person.may_be_in(text):
        return record
    after = person.in_json(text)
    return (after if _is_json(text) else person.in_row(after)).encode(errors="surrogateescape")


def _row_without(row: bytes, person: Person) -> bytes:
    """Return a text that is no record without the person's id."""
    return person.in_row(row.decode(errors="surrogateescape")).encode(errors="surrogateescape")


def _is_json(text: str) -> bool:
    try:
        json.loads(text, parse_float=str, parse_int=str)
    except (ValueError, RecursionError):
        return False
    return True


def _csv_lines(stream: BinaryIO, person: Person, separators: str) -> Iterator[tuple[bytes, bytes]]:
    """Yield each record before and after the replacement. Other records stay byte for byte."""
    header: list[str] = []
    separator = ","
    for record in csv_records(stream, separators):
        before = f"{record.raw}\n"
        after = before
        if not header:
            header, separator = record.fields, separator_of(record.raw.encode(), separators)
        elif not person.may_be_in(before):
            pass
        elif record.problem is not None or len(record.fields) != len(header):
            after = person.in_row(before)
        else:
            fields = [
                person.in_field((name,), value) for name, value in zip(header, record.fields, strict=True)
            ]
            if fields != record.fields:
                line = io.StringIO()
                csv.writer(line, delimiter=separator, lineterminator="\n").writerow(fields)
                after = line.getvalue()
        yield before.encode(errors="surrogateescape"), after.encode(errors="surrogateescape")


@contextmanager
def _writing(target: Path, compression: str) -> Iterator[IO[bytes]]:
    with target.open("wb") as file:
        if compression == ".gz":
            with gzip.GzipFile(filename="", fileobj=file, mode="wb", mtime=0) as packed:
                yield cast(IO[bytes], packed)
        elif compression == ".zst":
            with zstandard.ZstdCompressor().stream_writer(file, closefd=False) as stream:
                yield cast(IO[bytes], stream)
        else:
            yield file


def _parquet(path: Path, person: Person, target: Path | None) -> int:
    records = 0
    with pq.ParquetFile(path) as parquet, ExitStack() as opened:
        writer: pq.ParquetWriter | None = None
        for batch in parquet.iter_batches():
            columns, places = [], set[int]()
            for name, column in zip(batch.schema.names, batch.columns, strict=True):
                after, changed = _column(name, column, person)
                columns.append(after)
                places.update(changed)
            records += len(places)
            if target:
                rows = pa.record_batch(columns, names=batch.schema.names)
                writer = writer or opened.enter_context(pq.ParquetWriter(target, rows.schema))
                writer.write_batch(rows)
    return records


def _column(name: str, column: pa.Array, person: Person) -> tuple[pa.Array, list[int]]:
    """Return a column without the id, and the rows that had it. A column of numeric ids becomes text."""
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if pa.types.is_integer(column.type) and person.looks_like_number and NAMES_A_USER.search(name):
        column = column.cast(pa.string())
    if not (pa.types.is_nested(column.type) or _holds_text(column.type)):
        return column, []
    before = column.to_pylist()
    after = [_without((name,), value, person) for value in before]
    places = [place for place, (old, new) in enumerate(zip(before, after, strict=True)) if old != new]
    return (pa.array(after, column.type) if places else column), places


def _holds_text(kind: pa.DataType) -> bool:
    tests = (
        "is_string",
        "is_large_string",
        "is_string_view",
        "is_binary",
        "is_large_binary",
        "is_binary_view",
    )
    return any(getattr(pa.types, test)(kind) for test in tests)


def _without(path: tuple[str, ...], value: Any, person: Person) -> Any:
    """Return a value of any type, at some path of its record, without the id."""
    if isinstance(value, str):
        return person.in_field(path, value) if person.may_be_in(value) else value
    if isinstance(value, bytes):
        return _without(path, value.decode(errors="surrogateescape"), person).encode(errors="surrogateescape")
    if isinstance(value, dict):
        return {key: _without((*path, key), one, person) for key, one in value.items()}
    if isinstance(value, list):
        return [_without((*path, ""), one, person) for one in value]
    if isinstance(value, tuple):  # a member of a map
        return value[0], _without((*path, str(value[0])), value[1], person)
    return value
