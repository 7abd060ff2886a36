"""Checks whether a landed file can be read at all: damage, size limits, a wrong name, missing columns."""

import os
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

import duckdb
import zstandard

from ingestion.landing.area import COMPRESSIONS, FORMATS, LandingFile
from ingestion.readers.csv_text import csv_records
from ingestion.readers.json_values import JsonDamageError, chunks_of, json_records
from ingestion.readers.layout import SEPARATORS, Layout, UnreadableFileError
from ingestion.readers.text import open_text
from ingestion.validation import reject_codes

MAGIC = {b"\x1f\x8b": ".gz", b"\x28\xb5\x2f\xfd": ".zst", b"PAR1": ".parquet"}
DAMAGE = (OSError, EOFError, zlib.error, zstandard.ZstdError)
# Compression makes ledgers 10 to 30 times smaller, repetitive test data 100 times, and a decompression bomb
# 1,000 times and more.
MAX_EXPANSION = 200
# A file that expands to less than this is not a bomb: it is read in seconds.
HARMLESS_BYTES = 256 << 20
# A record costs more than its text: billions of lines of one character would be billions of rejects.
BYTES_A_RECORD = 100
MAX_COLUMNS = 2_000


def check_openable(file: LandingFile, path: Path) -> None:
    """Raise `UnreadableFileError` for a file that must not be opened, or that would take hours to read, such
    as a huge sparse file.
    """
    if file.hindrance is not None:
        raise UnreadableFileError(*file.hindrance)
    if not _is_unicode(file.location):
        raise UnreadableFileError(reject_codes.UNSUPPORTED_FILE, "the file's name is not UTF-8; rename it")
    size = path.stat().st_size
    if size > HARMLESS_BYTES:
        check_expansion(size, 0, _bytes_on_disk(path, size))


def check_readable(file: LandingFile, path: Path, layout: Layout) -> None:
    """Raise `UnreadableFileError` if the file cannot be split into records that are validated one by one."""
    if file.format not in FORMATS:
        allowed = ", ".join(FORMATS)
        raise UnreadableFileError(
            reject_codes.UNSUPPORTED_FILE,
            f"the name ends in none of {allowed} (all but .parquet also with {' or '.join(COMPRESSIONS)});"
            " rename or convert it",
        )
    if path.stat().st_size == 0:
        raise UnreadableFileError(
            reject_codes.EMPTY_FILE,
            "the file has no bytes; land it again, or delete it if it has nothing to state",
        )
    _check_magic(file, path)
    if file.format == ".parquet":
        return
    try:
        _check_text(file, path, layout)
    except DAMAGE as error:
        raise damaged(error) from None


def csv_header(file: LandingFile, path: Path, separator: str = ",") -> list[str]:
    """Return the names of the columns of a CSV file; none for a file of another format, or one that cannot be
    read.
    """
    if file.format != ".csv":
        return []
    try:
        with open_text(path, file.compression) as stream:
            header = next(csv_records(stream, separator), None)
    except DAMAGE:
        return []
    return header.fields if header is not None else []


def damaged(error: BaseException) -> UnreadableFileError:
    """Return the error for a file that a library cannot read, with the library's message."""
    if isinstance(error, duckdb.OutOfMemoryException):
        message = (
            "its records need more memory than DUCKDB_MEMORY_LIMIT; raise it, or land them as .jsonl, which"
            " needs less"
        )
        return UnreadableFileError(reject_codes.UNREADABLE_FILE, message)
    first_line = (str(error).splitlines() or [type(error).__name__])[0][:200]
    return UnreadableFileError(
        reject_codes.UNREADABLE_FILE, f"the file is damaged or cut short ({first_line}); land it again, whole"
    )


def check_expansion(expanded: int, records: int, stored: int) -> None:
    """Raise `UnreadableFileError` if a file of `stored` bytes expands so much that it is a decompression
    bomb.
    """
    size = expanded + records * BYTES_A_RECORD
    if size > HARMLESS_BYTES and size > stored * MAX_EXPANSION:
        raise UnreadableFileError(
            reject_codes.DECOMPRESSION_BOMB,
            f"its {stored:,} bytes become more than {MAX_EXPANSION} times as many, and more than"
            f" {HARMLESS_BYTES >> 20} MiB; such a file is not read to its end. Land its records in smaller"
            " files, or uncompressed",
        )


def _is_unicode(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _bytes_on_disk(path: Path, size: int) -> int:
    """Return how many bytes of a file are not in holes, counted until they are enough.

    On a file system without sparse files this is the size.
    """
    with path.open("rb") as opened:
        place = counted = 0
        while place < size and counted * MAX_EXPANSION < size:
            try:
                start = os.lseek(opened.fileno(), place, os.SEEK_DATA)
            except OSError:  # only a hole up to the end
                break
            place = os.lseek(opened.fileno(), start, os.SEEK_HOLE)
            counted += place - start
    return counted


def _check_magic(file: LandingFile, path: Path) -> None:
    with path.open("rb") as opened:
        start = opened.read(4)
    found = next((kind for magic, kind in MAGIC.items() if start.startswith(magic)), "")
    stated = file.compression or (".parquet" if file.format == ".parquet" else "")
    if found != stated:
        raise UnreadableFileError(
            reject_codes.NOT_WHAT_ITS_NAME_SAYS,
            f"the name says {stated or 'plain text'}, the content is {found or 'something else'}; rename the"
            " file to what it is",
        )


def _check_text(file: LandingFile, path: Path, layout: Layout) -> None:
    with open_text(path, file.compression) as stream:
        if file.format == ".csv":
            header = next(csv_records(stream, layout.separator), None)
            if header is None:
                raise UnreadableFileError(
                    reject_codes.EMPTY_FILE, "the file has no header line; land it again"
                )
            if header.problem is not None:
                message = (
                    "the header line is not CSV: it is longer than 1 MiB, not UTF-8, or its quotes do not"
                    " match; write it again"
                )
                raise UnreadableFileError(reject_codes.MISSING_COLUMN, message)
            _check_separator(header.fields, layout)
            check_columns(header.fields, layout)
        if file.format == ".json":
            _check_json(file, path, stream, layout)
            return
        some = b""
        expanded = lines = 0
        stored = path.stat().st_size
        while block := stream.read(1 << 20):
            some = some or block.strip()
            if file.compression:
                expanded, lines = expanded + len(block), lines + block.count(b"\n")
                check_expansion(expanded, lines, stored)
            # A compressed file is read to its end, because damage may be anywhere in it.
            if some and not file.compression:
                break
        if file.format == ".jsonl" and not some:
            raise _without_records()


def _check_json(file: LandingFile, path: Path, stream: BinaryIO, layout: Layout) -> None:
    """Raise `UnreadableFileError` if a `.json` file cannot be split into records up to its end."""
    stored = path.stat().st_size
    expanded = count = 0
    is_blank = True

    def counted() -> Iterator[bytes]:
        nonlocal expanded, is_blank
        for chunk in chunks_of(stream):
            expanded += len(chunk)
            is_blank = is_blank and not chunk.strip()
            yield chunk

    try:
        for records in json_records(counted(), layout.page_lists):
            count += len(records)
            if file.compression:
                check_expansion(expanded, count, stored)
    except JsonDamageError as error:
        # What follows the place and the fault is content, of which a mapped source keeps little.
        problem = str(error) if layout.keeps_unknown else ":".join(str(error).split(":")[:2])
        raise UnreadableFileError(
            reject_codes.UNREADABLE_FILE, f"{problem}. Land it again, whole, or as .jsonl"
        ) from None
    # The page of an API without results says that there were none.
    if not count and (is_blank or layout.flatten is None):
        raise _without_records()


def _check_separator(header: Sequence[str], layout: Layout) -> None:
    """Raise `UnreadableFileError` if the header is one column only because it has another separator."""
    if len(header) > 1 or not missing_columns(header, layout):
        return
    for separator in SEPARATORS:
        if separator not in layout.separator and separator in header[0]:
            # Without a header, it is a row.
            found = f" (found: {header[0][:500]})" if layout.keeps_unknown else ""
            shown = "a tab" if separator == "\t" else f"'{separator}'"
            expected = " or ".join(SEPARATORS[one] for one in layout.separator)
            raise UnreadableFileError(
                reject_codes.MISSING_COLUMN,
                f"the file is separated by {shown}, not by {expected}{found}; "
                + ("state the separator under `csv` in the mapping, or " if layout.is_mapped else "")
                + f"write it again with {expected} between the fields",
            )


def _without_records() -> UnreadableFileError:
    return UnreadableFileError(
        reject_codes.EMPTY_FILE,
        "the file has no records; land it again, or delete it if it has nothing to state",
    )


def check_columns(found: Sequence[str], layout: Layout) -> None:
    """Raise `UnreadableFileError` if a file with these columns cannot hold records."""
    found = [layout.known_as(name) for name in found]
    if len(found) > MAX_COLUMNS:
        raise UnreadableFileError(
            reject_codes.TOO_MANY_COLUMNS,
            f"the file has {len(found):,} columns, {MAX_COLUMNS:,} are allowed; put the others into metadata",
        )
    missing = [" or ".join(f'"{name}"' for name in names) for names in missing_columns(found, layout)]
    if missing:
        # The message names all of them, so that the file has to be corrected only once.
        subject = f"column {missing[0]} is" if len(missing) == 1 else f"columns {', '.join(missing)} are"
        # Without a header, the names are the values of the first row, of which a mapped source keeps few.
        shown = found if layout.keeps_unknown else [name for name in found if name in layout.columns]
        raise UnreadableFileError(
            reject_codes.MISSING_COLUMN,
            f"{subject} missing (found: {', '.join(shown)[:500] or 'no column that is known'})."
            + (f" {layout.remedy}; see docs/inputs.md" if layout.remedy else _renaming(layout, len(missing))),
        )
    if layout.refuses_unknown:
        _refuse_unknown([name for name in found if name and name not in layout.stated_columns], layout)
    # Columns that nobody reads may repeat, and their names may hold anything.
    refuse_repeated(found if not layout.any_case else [name for name in found if name in layout.columns])


def _refuse_unknown(unknown: Sequence[str], layout: Layout) -> None:
    """Raise `UnreadableFileError` with all unknown columns and the allowed ones."""
    if unknown:
        listed = ", ".join(f'"{name}"' for name in dict.fromkeys(unknown))[:500]
        subject = f"columns {listed} are" if len(unknown) > 1 else f"column {listed} is"
        raise UnreadableFileError(
            reject_codes.UNKNOWN_COLUMN,
            f"{subject} not known; allowed: {', '.join(layout.stated_columns)}. Rename or remove"
            f" {'them' if len(unknown) > 1 else 'it'}",
        )


def _renaming(layout: Layout, missing: int) -> str:
    """Return what to do about a number of missing columns."""
    if layout.is_mapped:
        return " Correct the mapping (docs/mappings.md) or the file"
    return f" Rename the column{'s' * (missing > 1)} or see docs/inputs.md"


def missing_columns(found: Sequence[str], layout: Layout) -> list[tuple[str, ...]]:
    """Return the required columns that are not among the found ones, each with its other names."""
    found = [layout.known_as(name) for name in found]
    alternatives = [(needed,) if isinstance(needed, str) else needed for needed in layout.required]
    return [names for names in alternatives if not set(names) & set(found)]


def refuse_repeated(names: Sequence[str]) -> None:
    """Raise `UnreadableFileError` with every name that a header has more than once."""
    repeated = sorted(name for name, count in Counter(names).items() if count > 1)
    if len(repeated) == 1:
        raise UnreadableFileError(
            reject_codes.DUPLICATE_COLUMN,
            f'column "{repeated[0]}" is in the header more than once; keep one of them',
        )
    if repeated:
        listed = ", ".join(f'"{name}"' for name in repeated)
        raise UnreadableFileError(
            reject_codes.DUPLICATE_COLUMN,
            f"columns {listed} are in the header more than once; keep one of each",
        )
