"""How a `.json` file is split into records, wherever its text is cut into chunks."""

import io
import json
from typing import Any

import pytest
from hypothesis import given, strategies as st

from ingestion.readers.json_values import JsonDamageError, JsonRecord, json_batches, json_records
from ingestion.readers.text import MAX_RECORD_BYTES
from ingestion.validation import reject_codes


def cut(content: bytes, size: int) -> list[bytes]:
    return [content[place : place + size] for place in range(0, len(content), size)]


def records_of(content: bytes, size: int = 1 << 20) -> list[JsonRecord]:
    return [record for some in json_records(cut(content, size)) for record in some]


def found(content: bytes, size: int = 1 << 20) -> list[tuple[int, bytes]]:
    return [(record.line, record.text) for record in records_of(content, size)]


PAGE = b"""{
  "object": "list",
  "url": "/v1/x", "has_more": false, "nested": {"data": [1, 2]}, "list": [{"data": [3]}],
  "data": [
    {"id": "a", "amount": 12345678901234567890.10},
    {"id": "b", "text": "]}, \\" \\\\"}
  ],
  "total": 2
}
"""


@pytest.mark.parametrize("size", [1, 2, 3, 7, 64, 1 << 20])
@pytest.mark.parametrize(
    ("content", "records"),
    [
        (b"[]", []),
        (b" \n", []),
        (b'{"data": []}\n[ ]', []),
        (b'[{"id":1},{"id":2}]', [(1, b'{"id":1}'), (2, b'{"id":2}')]),
        (b'[\n  {"id":1},\n\n  {"id":\n2} ,\n\t3\r\n]\n', [(2, b'{"id":1}'), (4, b'{"id":\n2}'), (6, b"3")]),
        (
            PAGE,
            [
                (5, b'{"id": "a", "amount": 12345678901234567890.10}'),
                (6, b'{"id": "b", "text": "]}, \\" \\\\"}'),
            ],
        ),
        (b'{"id": 1, "data": {"list": [1]}}', [(1, b'{"id": 1, "data": {"list": [1]}}')]),
        (
            b'{"id":1}{"id":2}\n\n{"id":3}[{"id":4}]',
            [
                (1, b'{"id":1}'),
                (2, b'{"id":2}'),
                (3, b'{"id":3}'),
                (4, b'{"id":4}'),
            ],
        ),
        (
            b'[["data",[1]],"a,b",null,[[{}]]]',
            [
                (1, b'["data",[1]]'),
                (2, b'"a,b"'),
                (3, b"null"),
                (4, b"[[{}]]"),
            ],
        ),
        (b'{"x\\"data":[1]}', [(1, b'{"x\\"data":[1]}')]),
        (b'{"data" : [ {} ]}', [(1, b"{}")]),
        # Faults inside of an element are found when the record is validated.
        (b'[{"a" 1}, {"b": 2} x, \xff]', [(1, b'{"a" 1}'), (2, b'{"b": 2} x'), (3, b"\xff")]),
    ],
)
def test_records_are_the_elements_as_they_are_written(
    content: bytes, records: list[tuple[int, bytes]], size: int
) -> None:
    assert found(content, size) == records
    for record in records_of(content, size):
        assert content[record.start : record.end].rstrip() == record.text


@pytest.mark.parametrize("size", [1, 5, 1 << 20])
@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'[\n{"id":1},\n{"id":2}', "line 3: what begins here has no end"),
        (b'\n{"id":\n1', "line 2: what begins here has no end"),
        (b'{"data": [{}', "line 1: what begins here has no end"),
        (b'[{"id":"1},\n{"id":2}]', "line 1: what begins here has no end"),
        (b'[{"id":1},\n{"id":2},]', "line 2: an element is missing"),
        (b"[\n,{}]", "line 2: an element is missing"),
        (b"[{},,{}]", "line 1: an element is missing"),
        (b'[{"id":1}}', "line 1: a list ends with }"),
        (b'[{"id":1}]\n\nxyz', "line 3: neither an array nor an object begins here: x"),
        (b'{"id":1},\n{"id":2}', "line 1: neither an array nor an object begins here: ,"),
        (b"]", "line 1: neither an array nor an object begins here: ]"),
        (b'"text"', "line 1: neither an array nor an object begins here"),
        (b'{"id":1]', "line 1: what begins here with { ends with ]"),
        (b'{"object" "list", "data": [{}]}', "line 1: the object that begins here is not valid JSON outside"),
        (b'{"data": [{}],\n"data": [{}]}', 'line 1: the object that begins here has "data" more than once'),
    ],
)
def test_damage_names_its_line(content: bytes, message: str, size: int) -> None:
    with pytest.raises(JsonDamageError) as error:
        records_of(content, size)
    assert str(error.value).startswith(message)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text('a"\\,[]{}:\n', max_size=6),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text('d"\\[{', max_size=3), inner, max_size=3)
    ),
    max_leaves=12,
)


@given(
    values=st.lists(VALUES, max_size=6),
    size=st.integers(1, 40),
    indent=st.sampled_from([None, 0, 2]),
    is_page=st.booleans(),
)
def test_every_element_is_found_once(values: list[Any], size: int, indent: int | None, is_page: bool) -> None:
    stated = {"more": [{}, "]"], "data": values, "next": {"data": "["}} if is_page else values
    content = json.dumps(stated, indent=indent).encode()
    records = records_of(content, size)
    assert [json.loads(record.text) for record in records] == values
    lines = [record.line for record in records]
    assert lines == sorted(set(lines))
    if indent is not None:
        starts = [content[: record.start].count(b"\n") + 1 for record in records]
        assert lines == starts


@given(
    pieces=st.lists(
        st.sampled_from([b"[", b"]", b"{", b"}", b",", b'"', b"\\", b" ", b"\n", b"1", b'"data":', b"\xff"])
    ),
    size=st.integers(1, 10),
)
def test_chunks_change_nothing(pieces: list[bytes], size: int) -> None:
    content = b"".join(pieces)

    def outcome(size: int) -> list[tuple[int, bytes]] | str:
        try:
            return found(content, size)
        except JsonDamageError as error:
            return str(error).partition(": ")[0]

    assert outcome(size) == outcome(1 << 20)


@pytest.mark.parametrize("size", [1, 5, 1000])
def test_a_page_may_have_its_list_under_another_name(size: int) -> None:
    content = b'{"calls": [{"id": 1}, {"id": 2}], "meta": {"data": []}}{"data": [{"id": 3}]}{"call": [4]}'
    chunks = cut(content, size)
    texts = [record.text for some in json_records(chunks, ("data", "calls")) for record in some]
    assert texts == [b'{"id": 1}', b'{"id": 2}', b'{"id": 3}', b'{"call": [4]}']
    with pytest.raises(JsonDamageError, match='line 1: the object that begins here has "data" and "calls"'):
        list(json_records(cut(b'{"data": [], "calls": []}', size), ("data", "calls")))


def test_a_long_element_is_one_reject_and_costs_no_other() -> None:
    long = b'{"id": "' + b"x" * (9 << 20) + b'"}'
    content = b'[{"id": 1},\n' + long + b',\n{"id": "\xc3\xa4"}, "\xff"]'
    rows = [row for batch in json_batches(io.BytesIO(content), 7) for row in batch.to_pylist()]
    assert [(row["file_no"], row["line"], row["problem"]) for row in rows] == [
        (7, 1, None),
        (7, 2, reject_codes.RECORD_TOO_LONG),
        (7, 3, None),
        (7, 4, reject_codes.INVALID_UTF8),
    ]
    assert [row["raw"].strip() for row in rows[::2]] == ['{"id": 1}', '{"id": "ä"}']
    assert rows[1]["raw"] == long[:MAX_RECORD_BYTES].decode()


def test_an_element_that_looks_odd_is_marked() -> None:
    [plain] = json_batches(io.BytesIO(b'[{"a": 1234567890},{"b": 1}]'), 0)
    [odd] = json_batches(io.BytesIO(b'[{"a": 1234567890.123456}]'), 0)
    assert plain.to_pydict()["may_be_odd"] == [False, False]
    assert odd.to_pydict()["may_be_odd"] == [True]


def test_a_byte_order_mark_is_no_part_of_the_text() -> None:
    [batch] = json_batches(io.BytesIO(b'\xef\xbb\xbf[{"id": 1}]'), 0)
    assert batch.to_pydict()["raw"] == ['{"id": 1}\n']
