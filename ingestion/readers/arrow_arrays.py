"""Arrow arrays that are made of buffers.

`pa.array`, `pa.repeat` and `pa.scalar` import pandas where it is installed, which takes half a second: a
sixth of the time in which a file of 100,000 records is checked.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

Numbers = np.ndarray[Any, np.dtype[np.int64]]
Flags = np.ndarray[Any, np.dtype[np.bool_]]


def numbers(values: Sequence[int] | Numbers, is_valid: Flags | None = None) -> pa.Int64Array:
    """Return an array of integers, with NULL where `is_valid` is false."""
    data = np.ascontiguousarray(values, dtype=np.int64)
    valid = None if is_valid is None else _bitmap(is_valid)
    return pa.Int64Array.from_buffers(pa.int64(), len(data), [valid, pa.py_buffer(data)])


def repeated(number: int, count: int) -> pa.Int64Array:
    """Return an array of a number, `count` times."""
    return numbers(np.full(count, number, dtype=np.int64))


def flags(value: bool, count: int) -> pa.BooleanArray:
    """Return an array of true or of false, `count` times."""
    return pa.BooleanArray.from_buffers(pa.bool_(), count, [None, _bitmap(np.full(count, value))])


def texts(values: Sequence[str | None]) -> pa.StringArray:
    """Return an array of texts, with NULL for None."""
    stated = [value or "" for value in values]
    joined = "".join(stated)
    lengths = map(len, stated) if joined.isascii() else (len(value.encode()) for value in stated)
    offsets = np.zeros(len(stated) + 1, dtype=np.int32)
    np.cumsum(np.fromiter(lengths, dtype=np.int32, count=len(stated)), out=offsets[1:])
    valid = None if None not in values else _bitmap(np.array([value is not None for value in values]))
    return pa.StringArray.from_buffers(
        len(stated), pa.py_buffer(offsets), pa.py_buffer(joined.encode()), valid
    )


def _bitmap(values: Flags) -> pa.Buffer:
    return pa.py_buffer(np.packbits(values, bitorder="little"))
