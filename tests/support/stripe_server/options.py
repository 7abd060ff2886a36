"""How the server behaves while nothing is wrong; what goes wrong is in `faults.py`."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from tests.support.stripe_server.report_types import REPORT_TYPES, ReportType


def _now() -> int:
    return int(time.time())


@dataclass
class Options:
    """Read at every request, so a test may change them while the server runs."""

    polls: int = 1
    """How often a new run answers `pending` when it is retrieved, before it succeeds."""
    bom: bool = False
    crlf: bool = False
    compressed_files: bool = False
    """Sends files with `Content-Encoding: gzip` to clients that accept it, as the SDK's does."""
    real_file_urls: bool = False
    """File URLs point to files.stripe.com, as Stripe's do, instead of to this server."""
    balance_details: bool = False
    """The balance summary also splits activity and payouts into gross and fee."""
    account: str = "acct_test"
    account_readable: bool = True
    """False: the key may read reports but not the account, as a restricted key; `GET /v1/account` answers
    403.
    """
    available_from: str = "2020-01-01"
    """The first instant that reports cover, UTC."""
    available_until: str | None = None
    """The end of what reports cover, UTC; None: the last midnight by the clock. `Faults.available_until`
    moves it.
    """
    report_types: tuple[ReportType, ...] = REPORT_TYPES
    clock: Callable[[], int] = _now
    """The server's time in Unix seconds."""
