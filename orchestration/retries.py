"""Retries: which failures are transient, and how long to wait before the next attempt."""

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

# Besides OSErrors, fsspec's file systems raise these when the network fails. They are names, because the
# libraries that define the classes need not be installed.
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


def is_transient(error: BaseException) -> bool:
    """Check whether a retry can help: after a network fault, or if a file was still being written.

    A record that breaks a rule is never a reason to retry.
    """
    if isinstance(error, (LandingFileChangedError, ConnectionError, TimeoutError)):
        return True
    if isinstance(error, OSError) and error.errno in NETWORK_ERRNOS:
        return True
    return any(kind.__name__ in NETWORK_ERRORS for kind in type(error).__mro__)


def seconds_to_wait(retry: int) -> int:
    """Return 5, 15, 45, 135: four retries in three and a half minutes."""
    return int(FIRST_WAIT_SECONDS * 3**retry)


@contextmanager
def dagster_retries(context: dg.AssetExecutionContext | dg.OpExecutionContext) -> Iterator[None]:
    """Ask Dagster to retry the step if its error is transient."""
    try:
        yield
    except Exception as error:
        if not is_transient(error):
            raise
        context.log.warning("%s; retrying later", first_line(error))
        step = context if isinstance(context, dg.OpExecutionContext) else context.op_execution_context
        wait = seconds_to_wait(step.retry_number)
        raise dg.RetryRequested(max_retries=MAX_RETRIES, seconds_to_wait=wait) from error


def retry_in_place(do: Callable[[], Result], warn: Callable[[str], None]) -> Result:
    """Return the result of `do`, and retry after a transient error, for about a minute in total.

    The retries happen within the step. With Dagster's own retries, the other steps would start meanwhile and
    meet the same fault.
    """
    for retry in range(RETRIES_IN_PLACE):
        try:
            return do()
        except Exception as error:
            if not is_transient(error):
                raise
            warn(f"{first_line(error)}; retrying in {seconds_to_wait(retry)} s")
            time.sleep(seconds_to_wait(retry))
    return do()


def retry_until(
    do: Callable[[], Result], deadline: float, error: type[Exception], warn: Callable[[str], None]
) -> Result:
    """Return the result of `do`, and retry after an error of this type until a deadline of the monotonic
    clock.

    The retries happen within the step, as those of `retry_in_place`.
    """
    for retry in range(MAX_RETRIES):
        try:
            return do()
        except error as problem:
            wait = seconds_to_wait(retry)
            if time.monotonic() + wait >= deadline:
                raise
            warn(f"{problem}; retrying in {wait} s")
            time.sleep(wait)
    return do()
