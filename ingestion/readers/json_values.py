"""Landed `.json` files as records: the elements of arrays and of the lists of API pages, and single objects.

Only brackets, quotes and commas are looked at here, so that a file of any size needs little memory and each
element keeps its text. Whether an element is valid JSON is decided with the rules of a record.
"""

import itertools
import json
import re
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO, Final

import numpy as np
import pyarrow as pa

from ingestion.readers.arrow_arrays import flags, numbers, repeated, texts
from ingestion.readers.layout import PAGE_LISTS
from ingestion.readers.text import BOM, LINES, MAX_RECORD_BYTES, check_text, is_utf8, looks_odd

# Hostile text may have a token or an element per byte or two, which take about 50 bytes of memory each.
CHUNK_BYTES: Final = 4 << 20
WHITE: Final = b" \t\r\n"
QUOTE, BACKSLASH, COMMA, NEWLINE = b'"\\,\n'
LIST, LIST_END, OBJECT, OBJECT_END = b"[]{}"
# What each byte adds to the depth, and which bytes may matter for the structure.
STEPS: Final = np.zeros(256, dtype=np.int8)
STEPS[[LIST, OBJECT]], STEPS[[LIST_END, OBJECT_END]] = 1, -1
IS_TOKEN: Final = STEPS != 0
IS_TOKEN[[QUOTE, COMMA]] = True
# The name, the colon and the white space between them have less.
NAME_BYTES: Final = 256
SHOWN_BYTES: Final = 40

Places = np.ndarray[Any, np.dtype[np.intp]]


class JsonDamageError(ValueError):
    """A text that cannot be split into records. The message names the line and the fault."""


@dataclass(slots=True)
class JsonRecord:
    """A record of a `.json` file: its text, or the beginning of a text that is too long."""

    text: bytes
    line: int
    """The line on which it begins, or the number after that of the record before it if that is greater: two
    records of a file never have the same one.
    """
    start: int
    """Where it begins in the decompressed file, without a byte order mark."""
    end: int
    """Where the comma or bracket after it is."""


class _Part:
    """A text that is collected while it passes by, up to a little more than a record may have."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self.text = b""
        self.start: int | None = None
        self.line = 0

    def extend(self, chunk: "_Chunk", begin: int, end: int) -> None:
        if self.start is None:
            piece = chunk.text[begin:end].lstrip(WHITE)
            if not piece:
                return
            place = end - len(piece)
            self.start, self.line = chunk.offset + place, chunk.line_of(place)
        else:
            piece = chunk.text[begin:end]
        room = self._limit + 1 - len(self.text)
        if room > 0:
            self.text += piece[:room]


class _Chunk:
    """A piece of the file with its structural tokens: the brackets and commas outside of texts."""

    def __init__(
        self,
        text: bytes,
        offset: int,
        first_line: int,
        depth: int,
        state: "_Texts",
        names_list: re.Pattern[bytes],
    ) -> None:
        self.text, self.offset = text, offset
        self._names_list = names_list
        self._first_line = first_line
        codes = np.frombuffer(text, dtype=np.uint8)
        self._newlines = np.flatnonzero(codes == NEWLINE)
        self.places = state.outside(codes, np.flatnonzero(IS_TOKEN[codes]))
        self.kinds = codes[self.places]
        self.depths = depth + np.cumsum(STEPS[self.kinds], dtype=np.int64)
        self.depth = int(self.depths[-1]) if len(self.depths) else depth
        self.next_line = first_line + len(self._newlines)
        # Found when they are first asked for: a chunk inside of a list needs few of them.
        self._below: dict[int, list[int]] = {}
        self._stops: list[int] | None = None

    def line_of(self, place: int) -> int:
        return self._first_line + int(np.searchsorted(self._newlines, place))

    def lines_of(self, places: list[int]) -> list[int]:
        found: list[int] = (self._first_line + np.searchsorted(self._newlines, places)).tolist()
        return found

    def end_of_list(self, token: int, depth: int) -> int | None:
        """Return the first token from `token` on after which the depth is less."""
        if depth not in self._below:
            self._below[depth] = np.flatnonzero(self.depths < depth).tolist()
        return _first_from(self._below[depth], token)

    def list_or_end(self, token: int) -> int | None:
        """Return the first token from `token` on that begins a list in an object of the top level, or ends
        the object.
        """
        if self._stops is None:
            is_list = (self.depths == 2) & (self.kinds == LIST)
            self._stops = np.flatnonzero(is_list | (self.depths == 0)).tolist()
        return _first_from(self._stops, token)

    def is_page_list(self, token: int, begin: int) -> bool:
        """Check whether the name of a list, in an object that begins at a place, is that of a page's list."""
        at = int(self.places[token])
        return self._names_list.search(self.text[max(begin, at - NAME_BYTES) : at]) is not None

    def commas(self, token: int, end: int, depth: int) -> list[int]:
        """Return the places of the commas at a depth, among the tokens of a range."""
        found = (self.kinds[token:end] == COMMA) & (self.depths[token:end] == depth)
        places: list[int] = self.places[token:end][found].tolist()
        return places


def _first_from(places: list[int], place: int) -> int | None:
    number = bisect_left(places, place)
    return places[number] if number < len(places) else None


class _Texts:
    """Whether the place that was reached is in a text, and after a backslash."""

    def __init__(self) -> None:
        self.is_inside = False
        self._is_escaped = False

    def outside(self, codes: "np.ndarray[Any, np.dtype[np.uint8]]", places: Places) -> Places:
        """Return those places of tokens that are outside of texts, without the quotes."""
        is_quote = codes[places] == QUOTE
        escaped = self._escaped(codes)
        if len(escaped):
            is_escaped = np.zeros(len(codes) + 1, dtype=np.bool_)
            is_escaped[escaped] = True
            is_quote &= ~is_escaped[places]
        inside = np.cumsum(is_quote, dtype=np.int64) + self.is_inside
        if len(inside):
            self.is_inside = bool(inside[-1] % 2)
        found: Places = places[(codes[places] != QUOTE) & (inside % 2 == 0)]
        return found

    def _escaped(self, codes: "np.ndarray[Any, np.dtype[np.uint8]]") -> Places:
        """Return the places after an odd number of backslashes."""
        slashes = np.flatnonzero(codes == BACKSLASH)
        if not len(slashes):
            escaped = np.zeros(int(self._is_escaped), dtype=np.intp)
            self._is_escaped = False
            return escaped
        is_first = np.append(True, np.diff(slashes) > 1)
        firsts = slashes[is_first]
        ends = slashes[np.append(is_first[1:], True)] + 1
        lengths = ends - firsts
        before: list[int] = []
        if self._is_escaped:
            if firsts[0] == 0:
                lengths[0] -= 1
            else:
                before = [0]
        escaped = np.concatenate([np.array(before, dtype=np.intp), ends[lengths % 2 == 1]])
        self._is_escaped = bool(len(escaped)) and int(escaped[-1]) == len(codes)
        return escaped


class _Scanner:
    """The state between the chunks of a file. A longer text than `limit` bytes is cut after one more."""

    def __init__(self, page_lists: Sequence[str], limit: int) -> None:
        self._limit = limit
        self._page_lists = page_lists
        names = "|".join(map(re.escape, page_lists))
        # The name before a list. A quote after a backslash would be the end of a longer name.
        self._names_list = re.compile(rf'(?<!\\)"({names})"[ \t\r\n]*:[ \t\r\n]*\Z'.encode())
        self._texts = _Texts()
        self._depth = 0
        self._offset, self._line = 0, 1
        self._last = 0
        """The line of the last record."""
        self._value_line = 0
        self._object: _Part | None = None
        """The object at the top level; of an API's page, what is around its list."""
        self._is_page = False
        self._element: _Part | None = None
        """The element of the list that is open."""
        self._elements = 0

    def scan(self, text: bytes) -> list[JsonRecord]:
        """Return the records that end in the next piece of the file."""
        chunk = _Chunk(text, self._offset, self._line, self._depth, self._texts, self._names_list)
        records: list[JsonRecord] = []
        token, place = 0, 0
        while True:
            if self._element is not None:
                token, place, is_more = self._take_elements(chunk, token, place, records)
            elif self._object is not None:
                token, place, is_more = self._take_object(chunk, token, place, records)
            else:
                token, place, is_more = self._take_value(chunk, token, place, records)
            if not is_more:
                break
        self._depth, self._offset, self._line = chunk.depth, self._offset + len(text), chunk.next_line
        return records

    def end(self) -> None:
        """Raise `JsonDamageError` if the file ends inside a value."""
        open_part = self._element if self._element and self._element.start is not None else None
        if self._depth or self._texts.is_inside or open_part or self._object:
            line = open_part.line if open_part else self._value_line
            raise JsonDamageError(
                f"line {line:,}: what begins here has no end: a quote or a bracket is missing, or the file is"
                " cut short"
            )

    def _take_value(
        self, chunk: _Chunk, token: int, place: int, records: list[JsonRecord]
    ) -> tuple[int, int, bool]:
        """Begin the next value of the top level that is not a whole object without the list of a page."""
        token, place = self._take_objects(chunk, token, place, records)
        is_more = token < len(chunk.places)
        begin = int(chunk.places[token]) if is_more else len(chunk.text)
        outside = chunk.text[place:begin].strip(WHITE)
        if outside or (is_more and chunk.kinds[token] not in (LIST, OBJECT)):
            blank = len(chunk.text[place:]) - len(chunk.text[place:].lstrip(WHITE))
            shown = chunk.text[place + blank :][:SHOWN_BYTES].decode(errors="replace")
            raise JsonDamageError(
                f"line {chunk.line_of(place + blank):,}: neither an array nor an object begins here: {shown}"
            )
        if not is_more:
            return token, begin, False
        self._value_line = chunk.line_of(begin)
        if chunk.kinds[token] == LIST:
            self._element, self._elements = _Part(self._limit), 0
            return token + 1, begin + 1, True
        self._object, self._is_page = _Part(self._limit), False
        self._object.extend(chunk, begin, begin + 1)
        return token + 1, begin + 1, True

    def _take_objects(
        self, chunk: _Chunk, token: int, place: int, records: list[JsonRecord]
    ) -> tuple[int, int]:
        """Read whole objects of the top level, many of which are the lines of a file that is named .json."""
        begins, ends = [], []
        while token < len(chunk.places) and chunk.kinds[token] == OBJECT:
            begin = int(chunk.places[token])
            last = chunk.list_or_end(token)
            while last is not None and chunk.depths[last] and not chunk.is_page_list(last, begin):
                last = chunk.list_or_end(last + 1)
            if last is None or chunk.kinds[last] != OBJECT_END or chunk.text[place:begin].strip(WHITE):
                break
            begins.append(begin)
            token, place = last + 1, int(chunk.places[last]) + 1
            ends.append(place)
        for begin, end, line in zip(begins, ends, chunk.lines_of(begins), strict=True):
            text = chunk.text[begin : min(end, begin + self._limit + 1)]
            records.append(JsonRecord(text, self._numbered(line), chunk.offset + begin, chunk.offset + end))
        return token, place

    def _take_object(
        self, chunk: _Chunk, token: int, place: int, records: list[JsonRecord]
    ) -> tuple[int, int, bool]:
        """Read an object of the top level up to its end, or up to the list of a page."""
        assert self._object is not None
        found = chunk.list_or_end(token)
        if found is None:
            self._object.extend(chunk, place, len(chunk.text))
            return len(chunk.places), len(chunk.text), False
        end = int(chunk.places[found]) + 1
        self._object.extend(chunk, place, end)
        if chunk.depths[found] == 0:
            self._end_object(chunk, end, int(chunk.kinds[found]), records)
        elif self._names_list.search(self._object.text[-NAME_BYTES:-1]):
            self._is_page = True
            self._element, self._elements = _Part(self._limit), 0
        return found + 1, end, True

    def _end_object(self, chunk: _Chunk, end: int, kind: int, records: list[JsonRecord]) -> None:
        part, self._object = self._object, None
        assert part is not None
        assert part.start is not None
        if kind != OBJECT_END:
            raise JsonDamageError(f"line {part.line:,}: what begins here with {{ ends with ]")
        if not self._is_page:
            records.append(JsonRecord(part.text, self._numbered(part.line), part.start, chunk.offset + end))
        elif len(part.text) <= self._limit:
            _check_page(part, self._page_lists)

    def _take_elements(
        self, chunk: _Chunk, token: int, place: int, records: list[JsonRecord]
    ) -> tuple[int, int, bool]:
        """Read the elements of a list, up to its end or the end of the chunk."""
        depth = 1 if self._object is None else 2
        end = chunk.end_of_list(token, depth)
        last = len(chunk.places) if end is None else end
        ends = chunk.commas(token, last, depth)
        if end is not None:
            ends.append(int(chunk.places[end]))
        if ends:
            self._end_element(chunk, place, ends[0], records, is_last=end is not None and len(ends) == 1)
            self._cut(chunk, ends, records)
            place = ends[-1] + 1
        if end is None:
            assert self._element is not None
            self._element.extend(chunk, place, len(chunk.text))
            return last, len(chunk.text), False
        if chunk.kinds[end] != LIST_END:
            raise JsonDamageError(
                f"line {chunk.line_of(ends[-1]):,}: a list ends with }}; the one that begins on line"
                f" {self._value_line:,} has no end"
            )
        self._element = None
        if self._object is not None:
            self._object.extend(chunk, place - 1, place)
        return end + 1, place, True

    def _end_element(
        self, chunk: _Chunk, begin: int, end: int, records: list[JsonRecord], *, is_last: bool
    ) -> None:
        """End the element that an earlier chunk, or the beginning of the list, has opened."""
        part, self._element = self._element, _Part(self._limit)
        assert part is not None
        part.extend(chunk, begin, end)
        if part.start is None:
            if is_last and not self._elements:
                return
            raise _missing(chunk.line_of(end))
        # Only a text of which nothing was cut off can end with white space.
        text = part.text.rstrip(WHITE) if len(part.text) <= self._limit else part.text
        records.append(JsonRecord(text, self._numbered(part.line), part.start, chunk.offset + end))
        self._elements += 1

    def _cut(self, chunk: _Chunk, ends: list[int], records: list[JsonRecord]) -> None:
        """Append the elements between the separators of a chunk."""
        begins, texts = [], []
        for begin, end in itertools.pairwise(ends):
            piece = chunk.text[begin + 1 : end].lstrip(WHITE)
            if not piece:
                raise _missing(chunk.line_of(end))
            begins.append(end - len(piece))
            texts.append(piece.rstrip(WHITE)[: self._limit + 1])
        for text, begin, line, end in zip(texts, begins, chunk.lines_of(begins), ends[1:], strict=True):
            records.append(JsonRecord(text, self._numbered(line), chunk.offset + begin, chunk.offset + end))
        self._elements += len(texts)

    def _numbered(self, line: int) -> int:
        """Return the line of a record. It identifies the record in its file, so it never occurs twice."""
        self._last = line if line > self._last else self._last + 1
        return self._last


def _missing(line: int) -> JsonDamageError:
    return JsonDamageError(f"line {line:,}: an element is missing beside a comma")


def _check_page(part: _Part, page_lists: Sequence[str]) -> None:
    """Raise `JsonDamageError` if what is around the list of a page is not valid JSON."""
    try:
        pairs = json.loads(part.text, object_pairs_hook=tuple, parse_int=str, parse_float=str)
    except (ValueError, RecursionError):
        message = f"line {part.line:,}: the object that begins here is not valid JSON outside of its list"
        raise JsonDamageError(message) from None
    lists = [name for name, _ in pairs if name in page_lists]
    if len(lists) > 1:
        both = f'"{lists[1]}" more than once' if lists[0] == lists[1] else f'"{lists[0]}" and "{lists[1]}"'
        raise JsonDamageError(f"line {part.line:,}: the object that begins here has {both}")


def chunks_of(stream: BinaryIO) -> Iterator[bytes]:
    """Yield the stream in chunks of bounded size, without a byte order mark."""
    first = True
    while block := stream.read(CHUNK_BYTES):
        yield block.removeprefix(BOM) if first else block
        first = False


def json_records(
    chunks: Iterable[bytes], page_lists: Sequence[str] = PAGE_LISTS, limit: int = MAX_RECORD_BYTES
) -> Iterator[list[JsonRecord]]:
    """Yield the records that end in each chunk of a `.json` file.

    A file has any number of values, one after the other. Each is an array, whose elements are records, an
    object with a list under one of `page_lists` (an API's page), whose elements are records, or any other
    object, which is a record. A record of more than `limit` bytes is cut after one more. Raises
    `JsonDamageError`.
    """
    scanner = _Scanner(page_lists, limit)
    for chunk in chunks:
        yield scanner.scan(chunk)
    scanner.end()


def json_batches(
    stream: BinaryIO, file_no: int, page_lists: Sequence[str] = PAGE_LISTS
) -> Iterator[pa.RecordBatch]:
    """Yield batches of `LINES`, one row per record of a `.json` file, each like that of a JSON line."""
    for records in json_records(chunks_of(stream), page_lists):
        if records:
            yield _batch(records, file_no)


def _batch(records: list[JsonRecord], file_no: int) -> pa.RecordBatch:
    count = len(records)
    lengths = [len(record.text) for record in records]
    # Line ends separate the records, so that `looks_odd` sees no number that two of them form.
    joined = b"\n".join([*(record.text for record in records), b""])
    offsets = np.zeros(count + 1, dtype=np.int32)
    offsets[1:] = np.cumsum(lengths) + np.arange(1, count + 1)
    raw = pa.StringArray.from_buffers(count, pa.py_buffer(offsets), pa.py_buffer(joined))
    if max(lengths) > MAX_RECORD_BYTES or not is_utf8(raw):
        checked, problems = zip(*(check_text(record.text) for record in records), strict=True)
        raw, faults, odd = texts(checked), texts(problems), True
    else:
        faults, odd = pa.nulls(count, pa.string()), looks_odd(joined)
    return pa.record_batch(
        [
            repeated(file_no, count),
            numbers([record.line for record in records]),
            raw,
            faults,
            flags(odd, count),
        ],
        schema=LINES,
    )
