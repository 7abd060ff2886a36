"""Blocks of CSV text that need no closer look, split into rows by numpy instead of one by one.

A block is plain if every quote begins or ends a field, or is doubled inside of one: `csv.reader` then finds
the same fields. Any other block is left to it.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from ingestion.readers.arrow_arrays import numbers
from ingestion.readers.text import MAX_RECORD_BYTES

QUOTE, NEWLINE, RETURN = b'"\n\r'

Bytes = np.ndarray[Any, np.dtype[np.uint8]]
Places = np.ndarray[Any, np.dtype[np.int64]]
Flags = np.ndarray[Any, np.dtype[np.bool_]]


@dataclass(frozen=True)
class PlainRows:
    """The rows of a plain block, without blank lines."""

    end: int
    """Where the last row ends in the block, with its line end. What follows is the beginning of a row."""
    lines: int
    """The number of lines up to there."""
    first_lines: Places
    """The line on which each row begins, counted from 0."""
    raw: pa.StringArray
    """The text of each row, without its line end."""
    widths: Places
    """The number of fields of each row."""
    _first_fields: Places
    _fields: pa.StringArray
    """Every field, each followed by what is between it and the next one."""
    _is_stated: Flags
    """Whether each field has any text."""
    _has_doubled_quotes: bool

    def column(self, place: int, has_fields: Flags) -> pa.StringArray:
        """Return a field of every row; NULL if it is empty, or where `has_fields` is false."""
        # A row without fields may have fewer than this one.
        fields = np.where(has_fields, self._first_fields + place, 0)
        column = self._fields.take(numbers(fields * 2, has_fields & self._is_stated[fields]))
        if self._has_doubled_quotes:
            # Every quote that is left is inside of a quoted field.
            import pyarrow.compute as pc  # noqa: PLC0415  slow, and JSON files do not need it

            column = pc.replace_substring(column, '""', '"')
        return column


def plain_rows(block: bytes, separator: str) -> PlainRows | None:
    """Return the rows of a block that begins with a row; None if it is not plain, or has no end of a row."""
    codes = np.frombuffer(block, dtype=np.uint8)
    is_quote = codes == QUOTE
    places = np.flatnonzero((codes == ord(separator)) | (codes == NEWLINE) | is_quote)
    if b'"' in block:
        quote_here = is_quote[places]
        is_outside = np.cumsum(quote_here) % 2 == 0
        breaks = places[is_outside & ~quote_here]
    else:
        breaks = places
    row_breaks = np.flatnonzero(codes[breaks] == NEWLINE)
    if not len(row_breaks):
        return None
    breaks = breaks[: row_breaks[-1] + 1]
    end = int(breaks[-1]) + 1
    row_ends = breaks[row_breaks]
    row_starts = _after_each(row_ends)
    quotes = np.flatnonzero(is_quote[:end])
    if (
        max(int((row_ends - row_starts).max()) + 1, len(block) - end) > MAX_RECORD_BYTES
        or not _are_at_borders(codes, quotes, separator)
        or not _returns_end_lines(codes[:end], quotes)
        or not _is_utf8(block[:end])
    ):
        return None
    ends = breaks.copy()
    has_return = (codes[row_ends - 1] == RETURN) & (row_ends > row_starts)
    ends[row_breaks] -= has_return
    starts = _after_each(breaks)
    is_quoted = (codes[starts] == QUOTE) & (starts < ends)
    starts, ends = starts + is_quoted, ends - is_quoted
    is_row = row_ends - has_return > row_starts
    first_fields = _after_each(row_breaks)
    newlines = np.flatnonzero(codes[:end] == NEWLINE)
    first_lines = np.concatenate([np.zeros(1, np.int64), np.searchsorted(newlines, row_ends)[:-1] + 1])
    return PlainRows(
        end=end,
        lines=len(newlines),
        first_lines=first_lines[is_row],
        raw=_pieces(block, row_starts, row_ends - has_return).take(numbers(np.flatnonzero(is_row) * 2)),
        widths=(row_breaks - first_fields + 1)[is_row],
        _first_fields=first_fields[is_row],
        _fields=_pieces(block, starts, ends),
        _is_stated=ends > starts,
        _has_doubled_quotes=len(quotes) > 2 * int(np.count_nonzero(is_quoted)),
    )


def _after_each(places: Places) -> Places:
    """Return where each piece begins, of pieces that end at some places."""
    return np.concatenate([np.zeros(1, np.int64), places[:-1] + 1])


def _pieces(block: bytes, starts: Places, ends: Places) -> pa.StringArray:
    """Return the pieces of a block between some places, each followed by the text up to the next one."""
    offsets = np.empty(2 * len(starts), dtype=np.int32)
    offsets[0::2], offsets[1::2] = starts, ends
    return pa.StringArray.from_buffers(len(offsets) - 1, pa.py_buffer(offsets), pa.py_buffer(block))


def _are_at_borders(codes: Bytes, quotes: Places, separator: str) -> bool:
    """Check whether each quote begins a field, ends one, or is beside another quote inside of one.

    The quotes are in pairs, and a line end follows the last one.
    """
    if not len(quotes):
        return True
    opening, closing = quotes[0::2], quotes[1::2]
    is_border = np.zeros(256, dtype=np.bool_)
    is_border[[ord(separator), NEWLINE, QUOTE]] = True
    begins = is_border[codes[opening - 1]] | (opening == 0)
    after = codes[closing + 1]
    ends = is_border[after] | (after == RETURN)
    return bool(begins.all() and ends.all())


def _returns_end_lines(codes: Bytes, quotes: Places) -> bool:
    """Check whether each carriage return is before a line feed, or inside of a quoted field."""
    returns = np.flatnonzero(codes == RETURN)
    alone = returns[codes[returns + 1] != NEWLINE]
    return bool((np.searchsorted(quotes, alone) % 2 == 1).all())


def _is_utf8(text: bytes) -> bool:
    if text.isascii():
        return True
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True
