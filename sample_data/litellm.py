"""The log of an invented LiteLLM gateway with postpaid customers, and the markups that price it.

The token counts repeat those of real requests; everything else is invented.
"""

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from random import Random

from sample_data import formats
from sample_data.pricing import rates, text
from sample_data.requests import Request
from sample_data.statements import HOUR, MINUTE
from sample_data.world import DAYS, SO_FAR, Calendar, key, pick

FOLDER = "litellm_spend_logs"
MARKUPS = "prices/markups.csv"
"""The only name that is read as markups (docs/contract.md#28-mapped-sources)."""

REQUESTS = 300
FIRST_DAY = DAYS - 30
DEARER_FROM = DAYS - 14
"""The day on which the multiplier changes."""
OPENS, CLOSES = 7 * HOUR, 19 * HOUR
WEEK = (1.0, 1.1, 1.1, 1.0, 0.8, 0.15, 0.1)
"""Relative traffic from Monday to Sunday: the customers are offices."""
FAILURES = 0.03

COLUMNS = (
    *("request_id", "call_type", "api_key", "spend", "total_tokens", "prompt_tokens", "completion_tokens"),
    *("startTime", "endTime", "request_duration_ms", "completionStartTime"),
    *("model", "model_id", "model_group", "custom_llm_provider", "api_base", "user", "metadata"),
    *("cache_hit", "cache_key", "request_tags", "team_id", "organization_id", "end_user"),
    *("requester_ip_address", "messages", "response", "session_id", "status"),
    *("mcp_namespaced_tool_name", "agent_id", "proxy_server_request"),
)
"""The columns of LiteLLM's table LiteLLM_SpendLogs."""

CUSTOMERS = (
    ("cust_nordlicht", 0.36),
    ("cust_hafenkran", 0.26),
    ("cust_kestrel", 0.18),
    ("cust_ostwind", 0.13),
    ("cust_bluebird", 0.07),
)


@dataclass(frozen=True, slots=True)
class Route:
    """A model as the gateway states it."""

    model: str
    """With or without the provider, as in real logs."""
    provider: str
    """Empty in some rows of real logs."""
    group: str
    listed: str
    """The model in the price book."""


ROUTES = {
    route.listed: route
    for route in (
        Route("gpt-4.1", "openai", "drafts", "openai/gpt-4.1"),
        Route("anthropic/claude-sonnet-4-5", "anthropic", "analysis", "anthropic/claude-sonnet-4-5"),
        Route("gpt-4o-mini", "openai", "quick", "openai/gpt-4o-mini"),
        Route("claude-haiku-4-5", "", "quick", "anthropic/claude-haiku-4-5"),
        Route("mistral/mistral-small-latest", "mistral", "quick", "mistral/mistral-small-latest"),
    )
}
SHARES = (
    ("openai/gpt-4.1", 0.30),
    ("anthropic/claude-sonnet-4-5", 0.25),
    ("openai/gpt-4o-mini", 0.20),
    ("anthropic/claude-haiku-4-5", 0.15),
    ("mistral/mistral-small-latest", 0.10),
)
WITH_FEE = "anthropic/claude-sonnet-4-5"
TASKS = (
    ("Summarise the minutes of the sailing club.", "The club meets on Friday, and the boats are dry."),
    ("Übersetze: “Two tickets, please.”", "„Zwei Fahrkarten, bitte.“"),
    ("Suggest a name for a bakery.", "The Second Loaf"),
)


@dataclass(frozen=True, slots=True)
class GatewayLog:
    """The gateway's files and what is in them."""

    files: dict[str, bytes]
    records: int
    """Rows of all files, including the bad one."""
    rows: tuple[dict[str, str], ...]
    """The good rows of the log."""
    statuses: tuple[str, ...]
    """The ledger's status of every good row."""
    customers: tuple[str, ...]


def gateway_log(traces: dict[str, list[Request]], calendar: Calendar, random: Random) -> GatewayLog:
    """Return the log of the last 30 days with one bad row, and the markups."""
    requests = traces["conv"][:: len(traces["conv"]) // REQUESTS][:REQUESTS]
    instants = sorted(one_instant(calendar, random) for _ in requests)
    rows = [spend_log(*pair, calendar, random) for pair in zip(instants, requests, strict=True)]
    statuses = tuple("failed" if row["status"] == "failure" else "settled" for row in rows)
    good = tuple(rows)
    customers = tuple(sorted({row["end_user"] for row in rows}))
    # Somebody opened the export in a spreadsheet, which wrote one time in its own way.
    changed = instants[len(rows) // 2]
    bad = rows[len(rows) // 2] | {"request_id": f"chatcmpl-{key('gateway', 'bad')}"}
    bad["startTime"] = datetime.fromtimestamp(changed // 1000, UTC).strftime("%d.%m.%Y %H:%M")
    rows.insert(len(rows) // 2, bad)
    priced = markups(calendar)
    files = {
        f"{FOLDER}/sample-{calendar.last_day}.csv": formats.table(COLUMNS, rows).encode(),
        MARKUPS: formats.table(tuple(priced[0]), priced).encode(),
    }
    return GatewayLog(files, len(rows) + len(priced), good, statuses, customers)


def one_instant(calendar: Calendar, random: Random) -> int:
    """Return an instant within the office hours of one of the days."""
    numbers = range(FIRST_DAY, DAYS)
    shares = [WEEK[calendar.day(number).weekday()] for number in numbers]
    # Of the last day, which is not over yet, only the early morning is known.
    shares[-1] *= 0.3
    (number,) = random.choices(numbers, shares)
    opens, closes = (OPENS, CLOSES) if number < DAYS - 1 else (4 * HOUR, int(SO_FAR * HOUR) - 2 * MINUTE)
    return calendar.starts(number) + opens + int(random.random() * (closes - opens))


def spend_log(instant: int, request: Request, calendar: Calendar, random: Random) -> dict[str, str]:
    """Return one request as a row of the table. A failed one costs nothing and has no tokens."""
    route = ROUTES[pick(SHARES, random.random())]
    customer = pick(CUSTOMERS, random.random())
    failed = random.random() < FAILURES
    prompt, completion = (0, 0) if failed else (request.context_tokens, request.generated_tokens)
    wait = 300 + int(random.random() * 700)
    ends = instant + wait + 12 * completion
    day = datetime.fromtimestamp(instant // 1000, UTC).date()
    question, answer = TASKS[request.number % len(TASKS)]
    number = key("gateway", calendar.last_day, request.number)
    return {
        "request_id": f"chatcmpl-{number}",
        "call_type": "acompletion",
        "api_key": key("gateway key", customer, size=32),
        "spend": as_float(rates(route.listed, day).cost(prompt, completion)),
        "total_tokens": str(prompt + completion),
        "prompt_tokens": str(prompt),
        "completion_tokens": str(completion),
        "startTime": as_postgres(instant),
        "endTime": as_postgres(ends),
        "request_duration_ms": str(ends - instant),
        "completionStartTime": as_postgres(instant + wait),
        "model": route.model,
        "model_id": key("deployment", route.listed, size=32),
        "model_group": route.group,
        "custom_llm_provider": route.provider,
        "user": "svc-gateway",
        "metadata": json.dumps({"user_api_key_alias": f"key of {customer}", "status": status_word(failed)}),
        "cache_hit": "False",
        "cache_key": "Cache OFF",
        "request_tags": json.dumps(["User-Agent: python-httpx"]),
        "team_id": "team_business",
        "end_user": customer,
        "requester_ip_address": f"192.0.2.{1 + request.number % 250}",  # addresses for documentation
        "messages": as_json([{"role": "user", "content": question}]),
        "response": "{}" if failed else as_json({"role": "assistant", "content": answer}),
        "session_id": key("session", customer, day, size=16),
        "status": status_word(failed),
        "proxy_server_request": "{}",
    }


def status_word(failed: bool) -> str:
    """Return the gateway's word for how a request ended."""
    return "failure" if failed else "success"


def as_json(value: object) -> str:
    """Return JSON with its letters as they are."""
    return json.dumps(value, ensure_ascii=False)


def as_float(amount: Decimal) -> str:
    """Return the shortest text of the double next to an amount, as Postgres writes it."""
    return repr(float(amount)).removesuffix(".0")


def as_postgres(instant: int) -> str:
    """Return an instant as Postgres writes a time without zone: in UTC, and without trailing zeros."""
    whole = datetime.fromtimestamp(instant // 1000, UTC).strftime("%Y-%m-%d %H:%M:%S")
    return f"{whole}.{instant % 1000:03d}".rstrip("0").removesuffix(".") if instant % 1000 else whole


def markups(calendar: Calendar) -> list[dict[str, str]]:
    """Return what customers pay on top: a multiplier that changes on one day, and a fee for each request
    to one model.
    """
    change = calendar.day(DEARER_FROM).isoformat()
    rows = (
        ("", "", change, Decimal("1.3"), None),
        ("", change, "", Decimal("1.35"), None),
        (WITH_FEE, "", "", Decimal("1.3"), Decimal("0.002")),
    )
    return [
        {
            "source": FOLDER,
            "model": model,
            "effective_from": since,
            "effective_to": until,
            "multiplier": text(multiplier),
            "per_request": "" if fee is None else text(fee),
        }
        for model, since, until, multiplier, fee in rows
    ]
