"""Which lines of a file need a closer look: none is missed that a regular expression finds, and ordinary ones
need none.
"""

import io
import re

import pytest
from hypothesis import given, strategies as st

from ingestion.readers.text import csv_rows, looks_odd

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
    [rows] = csv_rows(io.BytesIO(content), 0, ("id", "note"), separator)
    assert [(row["id"], row["note"], row["extra"], row["problem"]) for row in rows.to_pylist()] == [
        ("1", 'a,;|\tb"c', None, None),
        ("2", "x", '{"more": "y"}', None),
        (None, None, None, "too_few_fields"),
        (None, None, None, "bad_quoting"),
    ]
