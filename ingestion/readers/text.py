"""Landed files of text, and JSON lines as Arrow batches, one row per record with its line number.

Only the form of the text is checked here, not what it states.
"""

import gzip
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np
import pyarrow as pa
import zstandard

from ingestion.readers.arrow_arrays import flags, numbers, repeated, texts
from ingestion.validation import reject_codes

# 16 MiB of text at a time keeps both cores busy with some ten thousand records a batch; 4 MiB was a tenth
# slower, 64 MiB no faster.
CHUNK_BYTES = 16 << 20
# Metadata may have 64 KiB and ids 255 characters: more than 1 MiB is a broken file, not a record.
MAX_RECORD_BYTES = 1 << 20
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


def chunks_of_lines(stream: BinaryIO, size: int, limit: int = MAX_RECORD_BYTES) -> Iterator[bytes]:
    """Yield the stream in chunks of about `size` bytes, without a byte order mark. Each ends with a line
    feed, which the last one gets. A line of more than `limit` bytes may be cut after one more.
    """
    rest = b""
    first = True
    while block := stream.read(size):
        if first:
            block, first = block.removeprefix(BOM), False
        if len(rest) > limit:
            # The record is too long already: only its beginning is kept.
            rest = rest[: limit + 1]
            block = block[max(block.find(b"\n"), 0) :] if b"\n" in block else b""
        cut = block.rfind(b"\n") + 1
        if cut:
            yield b"".join((rest, memoryview(block)[:cut]))
            rest = block[cut:]
        else:
            rest += block
    if rest:
        yield rest + b"\n"


def numbered_lines(stream: BinaryIO, limit: int) -> Iterator[tuple[int, bytes]]:
    """Yield the lines of a stream that are not blank, with their numbers. A line of more than `limit` bytes
    is cut after one more.
    """
    lines = (
        line for chunk in chunks_of_lines(stream, CHUNK_BYTES, limit) for line in chunk.split(b"\n")[:-1]
    )
    for number, line in enumerate(lines, 1):
        if text := line.strip(b" \t\r"):
            yield number, text[: limit + 1]


def json_lines(stream: BinaryIO, file_no: int) -> Iterator[pa.RecordBatch]:
    """Yield batches of `LINES`, one row per line. `problem` is set if the line is not UTF-8 text or too long.

    `may_be_odd` is false if `looks_odd` finds nothing in the whole chunk: the numbers of its lines need no
    closer look.
    """
    line = 1
    for chunk in chunks_of_lines(stream, CHUNK_BYTES):
        text = np.frombuffer(chunk, dtype=np.uint8)
        ends = np.flatnonzero(text == ord("\n")).astype(np.int32) + 1
        offsets = np.concatenate([np.zeros(1, dtype=np.int32), ends])
        count = len(ends)
        raw = pa.StringArray.from_buffers(count, pa.py_buffer(offsets), pa.py_buffer(chunk))
        places = numbers(np.arange(line, line + count))
        if int(np.diff(offsets).max()) > MAX_RECORD_BYTES or not is_utf8(raw):
            yield _lines_one_by_one(chunk, file_no, line)
        else:
            odd = flags(looks_odd(chunk), count)
            yield pa.record_batch(
                [repeated(file_no, count), places, raw, pa.nulls(count, pa.string()), odd], schema=LINES
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
    places, raw, problems = zip(*rows, strict=True)
    return pa.record_batch(
        [
            repeated(file_no, len(rows)),
            numbers(places),
            texts(raw),
            texts(problems),
            flags(True, len(rows)),
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
