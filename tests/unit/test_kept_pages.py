"""Pages that are kept for the next requests: within their limits, and only of the current publication."""

import asyncio
import io
from typing import Any

import pytest

from exports.server.answers import ApiError
from exports.server.kept_pages import KeptPages, WrittenPage
from exports.server.limits import Limits
from warehouse.current_publication import Identity

FIRST, SECOND = Identity(1, 10, 100), Identity(2, 10, 200)
NO_PAGE: Any = None


@pytest.fixture
def written(tmp_path: Any) -> Any:
    def write(content: bytes) -> tuple[WrittenPage, io.BufferedRandom]:
        file = (tmp_path / f"{len(list(tmp_path.iterdir()))}").open("w+b")
        file.write(content)
        file.flush()
        return WrittenPage(NO_PAGE, len(content), file), file

    return write


def test_readers_of_a_page_have_positions_of_their_own_and_keep_its_file_open(written: Any) -> None:
    page, file = written(b"abcdef")
    one, other = page.reader(), page.reader()
    assert (one.read(2), other.read(4), one.read(100), one.read(1)) == (b"ab", b"abcd", b"cdef", b"")
    other.seek(5)
    page.release()
    one.close()
    assert (other.read(9), file.closed) == (b"f", False)
    other.close()
    other.close()
    assert file.closed


def test_a_new_publication_closes_the_pages_of_the_one_before(written: Any) -> None:
    pages = KeptPages(Limits())
    page, file = written(b"erased since")
    assert pages.find(FIRST, ("a",)) is None
    pages.keep(FIRST, ("a",), page)
    assert pages.find(FIRST, ("a",)) is page
    assert pages.find(FIRST, ("b",)) is None
    assert pages.find(SECOND, ("a",)) is None
    assert file.closed
    # One that was still being computed.
    late, late_file = written(b"late")
    pages.keep(FIRST, ("a",), late)
    assert pages.find(SECOND, ("a",)) is None
    assert late_file.closed


def test_the_page_that_was_not_requested_for_longest_goes_first(written: Any) -> None:
    pages = KeptPages(Limits(kept_pages=2, kept_bytes=10, kept_page_bytes=6))
    pages.find(FIRST, ())
    files = {}
    for name, size in (("a", 4), ("b", 4)):
        page, files[name] = written(b"x" * size)
        pages.keep(FIRST, (name,), page)
    pages.find(FIRST, ("a",))
    page, files["c"] = written(b"x" * 3)
    pages.keep(FIRST, ("c",), page)
    assert [name for name, file in files.items() if file.closed] == ["b"]
    page, files["d"] = written(b"x" * 6)
    pages.keep(FIRST, ("d",), page)
    assert [name for name, file in files.items() if file.closed] == ["a", "b"]
    page, files["e"] = written(b"x" * 7)
    pages.keep(FIRST, ("e",), page)
    assert (files["e"].closed, files["d"].closed) == (True, False)
    pages.clear()
    assert all(file.closed for file in files.values())


def test_one_request_computes_a_page_and_the_others_wait_for_it() -> None:
    pages, computed, order = KeptPages(Limits()), [], []

    async def request(name: str, key: str) -> None:
        async with pages.turn((key,)):
            order.append(name)
            await asyncio.sleep(0)
            if key not in computed:
                computed.append(key)
            order.append(name)

    async def all_at_once() -> None:
        await asyncio.gather(request("one", "a"), request("two", "a"), request("three", "b"))

    asyncio.run(all_at_once())
    assert order == ["one", "three", "one", "three", "two", "two"]
    assert computed == ["a", "b"]


def test_a_request_that_waits_too_long_is_answered_with_503() -> None:
    pages = KeptPages(Limits(wait_seconds=0.01))

    async def hold_and_wait() -> None:
        async with pages.turn(("a",)), pages.turn(("a",)):
            pass

    with pytest.raises(ApiError) as found:
        asyncio.run(hold_and_wait())
    assert found.value.status == 503
