"""`python -m tests.support.stripe_server`: a small account on a port of this machine, until Ctrl-C."""

import argparse
import threading

from tests.support.stripe_server.options import Options
from tests.support.stripe_server.sample import sample_books
from tests.support.stripe_server.server import running


def main() -> None:
    """Serve the sample account and say how to reach it."""
    parser = argparse.ArgumentParser(prog="python -m tests.support.stripe_server", description=__doc__)
    parser.add_argument("--port", type=int, default=12111, help="port on 127.0.0.1 (default: 12111)")
    parser.add_argument(
        "--key", default="rk_test_local", help="the API key that is accepted (default: rk_test_local)"
    )
    parser.add_argument(
        "--polls", type=int, default=1, help="how often a report run answers pending (default: 1)"
    )
    arguments = parser.parse_args()
    with running(
        sample_books(), arguments.key, Options(polls=arguments.polls), port=arguments.port
    ) as server:
        print(
            f"export STRIPE_API_KEY={server.api_key}\nexport STRIPE_API_BASE={server.url}\n# Ctrl-C stops the"
            " server.",
            flush=True,
        )
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            print("Stopped.")


if __name__ == "__main__":
    main()
