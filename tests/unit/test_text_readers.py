"""Readers of text: which JSON lines need a closer look, and the rows of CSV files, whatever is in them."""

import io
import json
import re

import pytest
from hypothesis import given, strategies as st

from ingestion.readers.csv_text import csv_records, csv_rows
from ingestion.readers.text import MAX_RECORD_BYTES, looks_odd

ODD = re.compile(rb"[0-9.]{16}|,\s*[}\]]|[:,\[\s]-?(?i:nan|inf)")
PIECES = (
    "0123456789.5",
    "1234567",
    ".",
    ",",
    " ",
    "\t",
    "}",
    "]",
    ":",
    "[",
    "-",
    "n",
    "A",
    "N",
    "I",
    "nF",
    "f",
    '"',
    "x",
    "\n",
    "/",
    "é",
)


@given(st.lists(st.sampled_from(PIECES), max_size=60).map(lambda pieces: "".join(pieces).encode() + b"\n"))
def test_nothing_odd_is_missed(text: bytes) -> None:
    assert looks_odd(text) or not ODD.search(text)


@pytest.mark.parametrize(
    "value",
    [
        "1234567890.123456",
        ".0000000000000001",
        "NaN",
        "-nan",
        "iNfinity",
        "-INF",
        "[1,]",
        "[1, ]",
        '{"a":1,}',
    ],
)
@pytest.mark.parametrize("before", range(8))
def test_an_odd_value_is_seen_wherever_it_stands(value: str, before: int) -> None:
    line = b'{"id":"e1","amount":1.5}\n'
    assert looks_odd(line * 3 + b"{" + b'"k":"' + b"x" * before + b'","v":' + value.encode() + b"}\n" + line)


@pytest.mark.parametrize(
    "text",
    [
        '{"id":"e000000000001","timestamp":"2025-10-01T00:00:03.153600Z","amount":"0.007408800","prompt_tokens":420,"metadata":null}',
        (
            '{"id": "a", "model": "google/gemini-nano", "user": "info@inf.example", "note": "finance, (nan)",'
            ' "cost": 123456789012345}'
        ),
        '{"metadata":{"reason":"trial"},"tags":["a","b"]}',
    ],
)
def test_ordinary_records_need_no_closer_look(text: str) -> None:
    assert not looks_odd(text.encode() + b"\n")


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_a_layout_may_have_any_usual_separator(separator: str) -> None:
    lines = [["id", "note", "more"], ["1", '"a,;|\tb""c"', ""], ["2", "x", "y"], ["3"], ["4", '"open', ""]]
    content = "\r\n".join(separator.join(line) for line in lines).encode()
    batches = csv_rows(io.BytesIO(content), 0, ("id", "note"), separator)
    rows = [row for batch in batches for row in batch.to_pylist()]
    assert [(row["id"], row["note"], row["extra"], row["problem"]) for row in rows] == [
        ("1", 'a,;|\tb"c', None, None),
        ("2", "x", '{"more": "y"}', None),
        (None, None, None, "too_few_fields"),
        (None, None, None, "bad_quoting"),
    ]


class _ShortReads(io.BytesIO):
    """A file that is read a few bytes at a time, so that its rows are in many blocks."""

    def __init__(self, content: bytes, size: int) -> None:
        super().__init__(content)
        self._size = size

    def read(self, size: int | None = -1) -> bytes:
        return super().read(min(size or self._size, self._size))


def _expected_rows(content: bytes, columns: tuple[str, ...], separator: str) -> list[dict[str, object]]:
    """Return the rows of a CSV file as `csv.reader` reads them, one by one."""
    header, *records = csv_records(io.BytesIO(content), separator)
    rows = []
    for record in records:
        found, width = len(record.fields), len(header.fields)
        too = "too_many_fields" if found > width else "too_few_fields" if found < width else None
        problem = record.problem or too
        fields = {} if problem else dict(zip(header.fields, record.fields, strict=True))
        unknown = {name: value for name, value in fields.items() if name not in columns and value}
        rows.append(
            {"file_no": 3, "line": record.line, "raw": record.raw, "problem": problem, "may_be_odd": True}
            | {name: fields.get(name) or None for name in columns}
            | {"extra": json.dumps(unknown, ensure_ascii=False) if unknown else None}
        )
    return rows


CSV_PIECES = (
    *('"', '""', '"""', ",", ",,", ";", "\n", "\r\n", "\r", "\n\n", "a", "b c", "\0", " ", "é€😀", "\ufeff"),
    *('"a,b"', '"x\ny"', '"x\r\ny"', '"a""b"', '""""', '"c"d', 'e"f', "3,plain,row\n", '4,"quoted",row\n'),
)
CSV_HEADERS = ("id,note,more\n", "id\n", "id,note\r\n", '"id","no""te",x\n', '\n\r\nid,"a\nb"\n')


@given(
    st.sampled_from(CSV_HEADERS),
    st.lists(st.sampled_from([*map(str.encode, CSV_PIECES), b"\xff", b"\xc3"]), max_size=40).map(b"".join),
    st.sampled_from([1, 7, 30, 4096]),
    st.sampled_from([",", ";"]),
)
def test_plain_blocks_have_the_rows_that_are_found_one_by_one(
    header: str, body: bytes, block_bytes: int, separator: str
) -> None:
    content = header.replace(",", separator).encode() + body
    columns = ("id", "note", "a\nb")
    batches = csv_rows(_ShortReads(content, block_bytes), 3, columns, separator)
    found = [row for batch in batches for row in batch.to_pylist()]
    assert found == _expected_rows(content, columns, separator)


@pytest.mark.parametrize("size", [MAX_RECORD_BYTES - 1, MAX_RECORD_BYTES, MAX_RECORD_BYTES + 1])
def test_a_row_may_have_a_mebibyte_on_one_line_or_on_several(size: int) -> None:
    for text in ("x" * (size - 4), ("x" * 99 + "\n") * (size // 100) + "x" * (size % 100 - 4)):
        content = f'id,note\n1,"{text}"\n2,y\n'.encode()
        batches = csv_rows(io.BytesIO(content), 3, ("id", "note"))
        found = [row for batch in batches for row in batch.to_pylist()]
        assert found == _expected_rows(content, ("id", "note"), ",")
        assert found[-1]["id"] == "2"
