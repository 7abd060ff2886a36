"""Group commit: deliveries that wait at the same time are written and forced to the disk together."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import NamedTuple, TypeVar

from ingestion.receiver.deliveries import Delivery
from ingestion.receiver.segments import SegmentWriter

# The limit of one write. In larger groups the first deliveries would wait longer without any gain.
GROUP_BYTES = 8 << 20
LOOK_EVERY_SECONDS = 1.0

Result = TypeVar("Result")
log = logging.getLogger(__name__)


class NotStoredError(Exception):
    """A delivery that is not on the disk. The sender has to send it again."""


class _Waiting(NamedTuple):
    delivery: Delivery
    stored: asyncio.Future[bool]


class Journal:
    """Stores deliveries with one thread, which is the only one that uses the segments."""

    def __init__(self, writer: SegmentWriter) -> None:
        self.fault: Exception | None = None
        """The error of the last write; None if it succeeded."""
        self._writer = writer
        self._waiting: list[_Waiting] = []
        self._arrived = asyncio.Event()
        self._ending = False
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="segments")

    async def store(self, delivery: Delivery) -> bool:
        """Wait until the delivery is on the disk, and return whether it was new to its segment.

        Raises `NotStoredError` if it could not be written.
        """
        one = _Waiting(delivery, asyncio.get_running_loop().create_future())
        self._waiting.append(one)
        self._arrived.set()
        return await one.stored

    async def write(self) -> None:
        """Write deliveries until `end` is called, and seal segments that are old enough."""
        while not (self._ending and not self._waiting):
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK_EVERY_SECONDS):
                    await self._arrived.wait()
            self._arrived.clear()
            while group := self._next_group():
                await self._write_group(group)
            await self._seal(self._writer.seal_if_old)
            if self.fault is not None:
                # A proxy that reacts to the fault sends no deliveries, so that only a probe shows its end.
                with suppress(OSError):
                    await self._in_thread(self._writer.probe)
                    self._recovered()
        await self._seal(self._writer.seal)
        self._thread.shutdown()

    def end(self) -> None:
        """Let `write` return once everything that waits is written."""
        self._ending = True
        self._arrived.set()

    def _next_group(self) -> list[_Waiting]:
        size = count = 0
        while count < len(self._waiting) and size < GROUP_BYTES:
            size += len(self._waiting[count].delivery.line)
            count += 1
        group, self._waiting = self._waiting[:count], self._waiting[count:]
        return group

    async def _write_group(self, group: Sequence[_Waiting]) -> None:
        waiting = [one.stored for one in group]
        try:
            new = await self._in_thread(partial(self._writer.append, [one.delivery for one in group]))
        except Exception as error:
            # On any error, no sender may wait forever, and no delivery may be reported as stored.
            if type(error) is not type(self.fault):
                log.error(
                    "deliveries cannot be stored: %r; their senders are asked to send them again", error
                )
            self.fault = error
            for stored in waiting:
                if not stored.done():
                    stored.set_exception(NotStoredError())
            return
        self._recovered()
        for stored, is_new in zip(waiting, new, strict=True):
            if not stored.done():  # otherwise the sender has gone
                stored.set_result(is_new)

    def _recovered(self) -> None:
        if self.fault is not None:
            log.info("deliveries can be stored again")
            self.fault = None

    async def _seal(self, seal: Callable[[], None]) -> None:
        try:
            await self._in_thread(seal)
        except Exception:
            # Its content is on the disk. The next run, or the next receiver, seals it.
            log.exception("a segment could not be sealed")

    async def _in_thread(self, work: Callable[[], Result]) -> Result:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)
