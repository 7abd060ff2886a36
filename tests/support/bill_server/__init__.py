"""The admin APIs of OpenAI, Anthropic and OpenRouter on loopback, for tests and for trying out.

It offers what a pull of bills needs: the costs of OpenAI, the cost report of Anthropic and the activity of
OpenRouter, with their paging and their refusals, and the faults of the Stripe server.

    with running(Bills(openai={"2026-11-01": [cost("0.06")]})) as server:
        requests.get(f"{server.url}/v1/organization/costs", ...)

By hand: `python -m tests.support.bill_server --port 12112`.
"""

from tests.support.bill_server.app import ANTHROPIC_KEY, OPENAI_KEY, OPENROUTER_KEY, Options
from tests.support.bill_server.bills import Bills, activity, anthropic_cost, openai_cost
from tests.support.bill_server.server import BillServer, running

__all__ = [
    "ANTHROPIC_KEY",
    "OPENAI_KEY",
    "OPENROUTER_KEY",
    "BillServer",
    "Bills",
    "Options",
    "activity",
    "anthropic_cost",
    "openai_cost",
    "running",
]
