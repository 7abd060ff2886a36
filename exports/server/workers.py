"""The queue before DuckDB: a few requests compute at a time, and a limited number of others wait."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from exports.server.answers import ApiError
from exports.server.limits import Limits

Result = TypeVar("Result")


class Workers:
    """Threads that compute answers."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._free = asyncio.Semaphore(limits.queries)
        self._pool = ThreadPoolExecutor(limits.queries, thread_name_prefix="slices")
        self._waiting = 0

    async def run(self, compute: Callable[[], Result]) -> Result:
        """Return a result that a worker computes. Raises `ApiError` if none is free in time."""
        if self._waiting >= self._limits.waiting:
            raise busy()
        self._waiting += 1
        try:
            async with asyncio.timeout(self._limits.wait_seconds):
                await self._free.acquire()
        except TimeoutError:
            raise busy() from None
        finally:
            self._waiting -= 1
        work = asyncio.get_running_loop().run_in_executor(self._pool, compute)
        # Not when the request ends, but when its thread is free again.
        work.add_done_callback(lambda _: self._free.release())
        return await asyncio.shield(work)


def busy() -> ApiError:
    """Return the error for a request that has waited too long."""
    return ApiError(503, "too many requests at once; send it again later")
