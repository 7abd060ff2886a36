"""Pages that are kept for the next requests of the same rows, until something new is published.

At night, many readers request the same days. Otherwise, each request would hash, sort and write the
same rows again.
"""

import asyncio
import os
from collections import OrderedDict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import BinaryIO
from weakref import WeakValueDictionary

from exports.server.limits import Limits
from exports.server.slices import Page
from exports.server.workers import busy
from warehouse.current_publication import Identity

Key = tuple[object, ...]


@dataclass
class WrittenPage:
    """A page and the open file with its rows. The file goes with its last user."""

    page: Page
    size: int
    _file: BinaryIO
    _users: int = 1

    def reader(self) -> "PageReader":
        """Return a reader with a position of its own."""
        self._users += 1
        return PageReader(self)

    def read_at(self, position: int, size: int) -> bytes:
        """Return the bytes from a position on."""
        return os.pread(self._file.fileno(), size, position)

    def release(self) -> None:
        """Note that a user needs the file no longer."""
        self._users -= 1
        if self._users == 0:
            self._file.close()


class PageReader:
    """One of several readers of a page."""

    def __init__(self, page: WrittenPage) -> None:
        self._page: WrittenPage | None = page
        self._position = 0

    def seek(self, position: int) -> int:
        """Go to a position."""
        self._position = position
        return position

    def read(self, size: int) -> bytes:
        """Return the next bytes, none at the end."""
        content = self._page.read_at(self._position, size) if self._page else b""
        self._position += len(content)
        return content

    def close(self) -> None:
        """Close the reader. Others go on."""
        if self._page:
            self._page.release()
            self._page = None


class KeptPages:
    """The last pages of the current publication. Only the event loop may use it."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._identity: Identity | None = None
        self._pages: OrderedDict[Key, WrittenPage] = OrderedDict()
        self._turns: WeakValueDictionary[Key, asyncio.Lock] = WeakValueDictionary()

    @asynccontextmanager
    async def turn(self, key: Key) -> AsyncIterator[None]:
        """Wait until no other request computes the same page. Raises `ApiError` if that takes too long."""
        lock = self._turns.setdefault(key, asyncio.Lock())
        try:
            async with asyncio.timeout(self._limits.wait_seconds):
                await lock.acquire()
        except TimeoutError:
            raise busy() from None
        try:
            yield
        finally:
            lock.release()

    def find(self, identity: Identity, key: Key) -> WrittenPage | None:
        """Return a kept page of a publication.

        Those of other publications are removed: a person who was erased since may be in them.
        """
        if identity != self._identity:
            self.clear()
            self._identity = identity
        if key in self._pages:
            self._pages.move_to_end(key)
        return self._pages.get(key)

    def fits(self, page: WrittenPage) -> bool:
        """Check whether a page is small enough to be kept, and to be still in memory after it was written."""
        return page.size <= self._limits.kept_page_bytes

    def keep(self, identity: Identity, key: Key, page: WrittenPage) -> None:
        """Keep a page, and remove the ones that were not requested for longest."""
        if identity != self._identity or not self.fits(page):
            page.release()
            return
        self._pages[key] = page
        while (
            len(self._pages) > self._limits.kept_pages
            or sum(kept.size for kept in self._pages.values()) > self._limits.kept_bytes
        ):
            self._pages.popitem(last=False)[1].release()

    def clear(self) -> None:
        """Remove all pages. Readers finish."""
        while self._pages:
            self._pages.popitem()[1].release()
