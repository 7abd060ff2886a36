"""A Stripe server on loopback, for tests and for trying out: the real stripe SDK talks to it unchanged.

It offers what a read-only financial pull needs: the account, report types, report runs with their life cycle,
files, and Checkout Sessions. It follows Stripe's API reference (https://docs.stripe.com/api) and the
documentation of its reports.

    with running(Books(activity=[...]), api_key="rk_test_x") as server:
        client = stripe.StripeClient("rk_test_x", base_addresses={"api": server.url, "files": server.url})

By hand: `python -m tests.support.stripe_server --port 12111`.
"""

from tests.support.loopback.request_log import LoggedRequest, RequestLog
from tests.support.stripe_server.books import PRIVATE, Books, unix_seconds
from tests.support.stripe_server.faults import Faults
from tests.support.stripe_server.options import Options
from tests.support.stripe_server.report_types import REPORT_TYPES, ReportType
from tests.support.stripe_server.runs import Run, Runs
from tests.support.stripe_server.server import StripeServer, running

__all__ = [
    "PRIVATE",
    "REPORT_TYPES",
    "Books",
    "Faults",
    "LoggedRequest",
    "Options",
    "ReportType",
    "RequestLog",
    "Run",
    "Runs",
    "StripeServer",
    "running",
    "unix_seconds",
]
