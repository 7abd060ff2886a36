"""Which failures pass by themselves, and how long to wait for that."""

import errno
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import dagster as dg

from ingestion.staging.batch import LandingFileChangedError
from paywall_warehouse.errors import first_line

MAX_RETRIES = 4
FIRST_WAIT_SECONDS = 5
RETRIES_IN_PLACE = 3

Result = TypeVar("Result")

# What fsspec's file systems raise when the network fails, beside OSErrors: classes of libraries that need not
# be installed.
NETWORK_ERRORS = {
    "ClientConnectionError",
    "ClientPayloadError",
    "ConnectTimeout",
    "ConnectionClosedError",
    "EndpointConnectionError",
    "HTTPClientError",
    "IncompleteRead",
    "ReadTimeout",
    "ServiceResponseError",
    "TransportError",
}
NETWORK_ERRNOS = {
    errno.EAGAIN,
    errno.EBUSY,
    errno.ECONNABORTED,
    errno.ECONNREFUSED,
    errno.ECONNRESET,
    errno.EHOSTDOWN,
    errno.EHOSTUNREACH,
    errno.ENETDOWN,
    errno.ENETRESET,
    errno.ENETUNREACH,
    errno.EPIPE,
    errno.ETIMEDOUT,
}


def passes_by_itself(error: BaseException) -> bool:
    """Whether trying again can help: a network fault or a file that is still being written, never a broken
    rule.
    """
    if isinstance(error, (LandingFileChangedError, ConnectionError, TimeoutError)):
        return True
    if isinstance(error, OSError) and error.errno in NETWORK_ERRNOS:
        return True
    return any(kind.__name__ in NETWORK_ERRORS for kind in type(error).__mro__)


def seconds_to_wait(retry: int) -> int:
    """5, 15, 45, 135: four tries more in three and a half minutes."""
    return int(FIRST_WAIT_SECONDS * 3**retry)


@contextmanager
def retried(context: dg.AssetExecutionContext | dg.OpExecutionContext) -> Iterator[None]:
    """Ask Dagster to try the step again where that can help."""
    try:
        yield
    except Exception as error:
        if not passes_by_itself(error):
            raise
        context.log.warning("%s; trying again later", first_line(error))
        step = context if isinstance(context, dg.OpExecutionContext) else context.op_execution_context
        wait = seconds_to_wait(step.retry_number)
        raise dg.RetryRequested(max_retries=MAX_RETRIES, seconds_to_wait=wait) from error


def patiently(do: Callable[[], Result], warn: Callable[[str], None]) -> Result:
    """`do`, tried again where that can help, a minute in all. In place: Dagster would let the steps beside it
    run into the same fault.
    """
    for retry in range(RETRIES_IN_PLACE):
        try:
            return do()
        except Exception as error:
            if not passes_by_itself(error):
                raise
            warn(f"{first_line(error)}; trying again in {seconds_to_wait(retry)} s")
            time.sleep(seconds_to_wait(retry))
    return do()
