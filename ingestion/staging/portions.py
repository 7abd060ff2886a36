"""Splitting a list of files into portions of a bounded size."""

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

Item = TypeVar("Item")


def in_portions(files: Iterable[Item], bytes_of: Callable[[Item], int], limit: int) -> Iterator[list[Item]]:
    """Yield the files in portions of at most `limit` bytes, in their order. A larger file is alone in one."""
    portion: list[Item] = []
    size = 0
    for file in files:
        if portion and size + bytes_of(file) > limit:
            yield portion
            portion, size = [], 0
        portion.append(file)
        size += bytes_of(file)
    if portion:
        yield portion
