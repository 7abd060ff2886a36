"""`python -m tests.support.bill_server`: small bills on a port of this machine, until Ctrl-C."""

import argparse
import threading
from datetime import UTC, datetime, timedelta

from tests.support.bill_server.app import ANTHROPIC_KEY, OPENAI_KEY, OPENROUTER_KEY
from tests.support.bill_server.bills import Bills, activity, anthropic_cost, openai_cost
from tests.support.bill_server.server import running


def main() -> None:
    """Serve bills of the last 60 days and say how to reach them."""
    parser = argparse.ArgumentParser(prog="python -m tests.support.bill_server", description=__doc__)
    parser.add_argument("--port", type=int, default=12112, help="port on 127.0.0.1 (default: 12112)")
    port = parser.parse_args().port
    today = datetime.now(UTC).date()
    days = [(today - timedelta(days=number)).isoformat() for number in range(60)]
    bills = Bills(
        openai={day: [openai_cost("0.003835980000000000000000000000")] for day in days},
        anthropic={day: [anthropic_cost("123.45")] for day in days},
        openrouter={day: [activity("0.015")] for day in days},
    )
    with running(bills, port=port) as server:
        print(
            f"export OPENAI_ADMIN_KEY={OPENAI_KEY} OPENAI_API_BASE={server.url}\n"
            f"export ANTHROPIC_ADMIN_KEY={ANTHROPIC_KEY} ANTHROPIC_API_BASE={server.url}\n"
            f"export OPENROUTER_MANAGEMENT_KEY={OPENROUTER_KEY} OPENROUTER_API_BASE={server.url}\n"
            "# Ctrl-C stops the server.",
            flush=True,
        )
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            print("Stopped.")


if __name__ == "__main__":
    main()
