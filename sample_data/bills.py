"""What OpenAI and Anthropic bill the invented business: bills that fit its ledger, and a few planted breaks
of every type (docs/costs.md).

The business has two accounts with each provider: one is billed in US dollar, the other, `eu`, in euro.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from random import Random
from typing import Any, NamedTuple

from sample_data.formats import as_json, table
from sample_data.litellm import ROUTES, GatewayLog
from sample_data.payments import cents
from sample_data.pricing import EXACT, MILLION, Rates, rates, text, times
from sample_data.statements import Statements
from sample_data.world import DAYS, EPOCH, PAYWALLS, Calendar, key

FOLDER = "bills"
SCOPE = f"{FOLDER}/scope.csv"
"""The only name that is read as scope (docs/costs.md#names)."""

OPENAI, ANTHROPIC = "openai", "anthropic"
DAY = timedelta(days=1)
BILLED_DAYS = 60
"""At least: the bills begin on the first day of a month, so that one month is complete."""
GRACE = 3 * DAY
"""The time from the beginning of a UTC day until its bill is final (`COST_GRACE_DAYS`)."""
SECOND_DOWNLOAD = 25
"""Days before the last one on which OpenAI's costs were first downloaded, while that day was not over."""
OVERLAP = 5
"""Days that two downloads of an account share."""
PAGE_DAYS = 31
"""Days of a page of Anthropic's API, at most."""
TOLERANCE, RELATIVE_TOLERANCE = Decimal("0.01"), Decimal("0.005")
ACCOUNTS = {"usd": "", "eur": "eu/"}
"""Folders of the accounts, by the currency in which each is billed."""
PER_USD = {paywall.currency: paywall.per_usd for paywall in PAYWALLS}

INPUT, CACHED, OUTPUT = "input", "cached_input", "output"
OPENAI_WORDS = {INPUT: "input", CACHED: "cached input", OUTPUT: "output"}
ANTHROPIC_TYPES = {
    INPUT: ("uncached_input_tokens", "input_no_cache", "Input Tokens"),
    CACHED: ("cache_read_input_tokens", "input_cache_read", "Input Tokens, Cache Read"),
    OUTPUT: ("output_tokens", "output", "Output Tokens"),
}
"""The kind of tokens in Anthropic's API, in its console's CSV, and in descriptions."""

FINE_TUNED, LEAKED = "openai/ft:gpt-4.1-mini:triage", "anthropic/claude-opus-4-1"
"""Models on bills alone. The price book does not know the first one."""
RATES = {
    FINE_TUNED: Rates(Decimal("0.8"), Decimal("3.2")),
    LEAKED: Rates(Decimal(15), Decimal(75)),
}
WEB_SEARCH = Decimal("0.01")
"""US dollar a call."""
UNKNOWN = "unknown"
NAMES = {
    "openai/gpt-4.1": ("gpt-4.1-2025-04-14", ""),
    "openai/gpt-4o-mini": ("gpt-4o-mini-2024-07-18", ""),
    "openai/gpt-5-mini": ("gpt-5-mini-2025-08-07", ""),
    FINE_TUNED: ("ft:gpt-4.1-mini-2025-04-14:acme:triage:Bx7kQ2", ""),
    "anthropic/claude-sonnet-4-5": ("claude-sonnet-4-5-20250929", "Claude Sonnet 4.5"),
    "anthropic/claude-haiku-4-5": ("claude-haiku-4-5-20251001", "Claude Haiku 4.5"),
    "anthropic/claude-opus-4-5": ("claude-opus-4-5-20251101", "Claude Opus 4.5"),
    LEAKED: ("claude-opus-4-1-20250805", "Claude Opus 4.1"),
}
"""The dated id on a bill, and the display name of Anthropic's console."""

WEB_SEARCHES = "web search tool calls"
PRODUCT, PRODUCT_EU, LAB = "proj_Nq4assistant", "proj_Tw8assistanteu", "proj_Zc2lab"
LAB_WORKSPACE = "wrkspc_01JwQ8lab"
LAB_MODELS = {OPENAI: ("openai/gpt-4.1", range(5)), ANTHROPIC: ("anthropic/claude-sonnet-4-5", (1, 3))}
"""What the business's own developers use, and on which days of the week. It is not sold."""
KEYS = {
    True: ("assistant-production", "apikey_01Rk4production"),
    False: ("mira.lindqvist@example.com", "apikey_01Vd9lab"),
}
"""Name and id of the key, by whether its usage is sold. People name keys by their e-mail address."""
SCOPES = (
    {"provider": OPENAI, "project": LAB},
    {"provider": ANTHROPIC, "project": LAB_WORKSPACE},
    {"provider": ANTHROPIC, "project": "Lab"},
)
CONSOLE = (
    *("usage_date_utc", "model", "workspace", "api_key", "usage_type", "context_window", "token_type"),
    *("cost_usd", "list_price_usd", "cost_type", "inference_geo", "speed", "api_key_id", "api_key_status"),
)
"""The columns of the console's cost CSV."""
INVOICES = ("provider", "invoice_id", "period_start", "period_end", "currency", "amount", "status")


class Case(NamedTuple):
    """What is compared: the charges and the bill of a provider, UTC day, model and currency."""

    provider: str
    day: date
    model: str
    currency: str

    @property
    def case_id(self) -> str:
        """The id of the case in the cost reconciliation."""
        return ":".join(map(str, self))


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a bill: tokens of one kind, or, without model and kind, web searches."""

    model: str | None
    kind: str | None
    quantity: int
    amount: Decimal
    is_sold: bool = True


AccountLines = dict[tuple[str, str, date], list[Line]]
"""Lines by provider, currency and day: the buckets of all accounts."""


@dataclass(slots=True)
class Metered:
    """What the ledger states about a case. Failed and reversed charges count: the provider bills them."""

    tokens: dict[str, int] = field(default_factory=lambda: dict.fromkeys((INPUT, CACHED, OUTPUT), 0))
    charges: int = 0
    unstated: int = 0
    """Charges without a cost."""
    unstated_cost: Decimal = Decimal(0)
    """The cost of these charges, at list price."""


@dataclass(frozen=True, slots=True)
class Bills:
    """The files of the bills, and the cases that are breaks on purpose."""

    files: dict[str, bytes]
    records: int
    lines: dict[str, int]
    """Lines of OpenAI and Anthropic that count, by provider."""
    planted: dict[str, tuple[str, ...]]
    """Case ids by break type (docs/costs.md)."""


@dataclass(frozen=True, slots=True)
class Span:
    """The UTC days of the bills."""

    first: date
    """The first day of a month."""
    last: date
    """The last UTC day that was over when the sample ends."""
    final: date
    """The last day whose bill was final when the last day of the sample began. The accounts in euro were
    downloaded up to here, so that the breaks are the same at any time of the last day.
    """

    @classmethod
    def of(cls, calendar: Calendar) -> "Span":
        """Return the days of the bills of a sample."""
        last = utc_day(calendar.ends) - DAY
        final = (EPOCH + timedelta(milliseconds=calendar.starts(DAYS - 1)) - GRACE).date()
        return cls((last - (BILLED_DAYS - 1) * DAY).replace(day=1), last, final)

    @property
    def months(self) -> list[date]:
        """The first days of the months whose bills are all final."""
        starts, month = [], self.first
        while (following := next_month(month)) - DAY <= self.final:
            starts.append(month)
            month = following
        return starts


def utc_day(instant: int) -> date:
    """Return the UTC day of an instant."""
    return (EPOCH + timedelta(milliseconds=instant)).date()


def next_month(month: date) -> date:
    """Return the first day of the next month."""
    return (month.replace(day=28) + 4 * DAY).replace(day=1)


def days(first: date, last: date) -> list[date]:
    """Return the days from the first to the last."""
    return [first + number * DAY for number in range((last - first).days + 1)]


# ---- the ledger's side


def metered(statements: Statements, gateway: GatewayLog) -> dict[Case, Metered]:
    """Return what all sources state together: the last version of every charge, webhooks, the gateway's log.

    Charges that are still pending are left out.
    """
    found: dict[Case, Metered] = defaultdict(Metered)

    def add(model: str, day: date, currency: str, counts: tuple[int, int, int], stated: bool) -> None:
        provider = model.split("/", 1)[0]
        if provider not in (OPENAI, ANTHROPIC):
            return
        prompt, cached, completion = counts
        case = found[Case(provider, day, model, currency)]
        tokens = {INPUT: prompt - cached, CACHED: cached, OUTPUT: completion}
        case.tokens = {kind: case.tokens[kind] + count for kind, count in tokens.items()}
        case.charges += 1
        if not stated:
            case.unstated += 1
            case.unstated_cost += sum(price(model, day, currency, *one) for one in tokens.items())

    current: dict[str, dict[str, Any]] = {}
    entries = [*statements.ledger, *statements.euro_ledger, *statements.late_ledger]
    for entry in sorted(entries, key=lambda entry: entry["updated_at"]):
        if entry["type"] == "charge":
            current[entry["id"]] = entry
    for entry in current.values():
        if entry["status"] != "pending":
            counts = entry["prompt_tokens"], entry.get("cached_tokens", 0), entry["completion_tokens"]
            day = utc_day(entry["timestamp"])
            add(entry["model"], day, entry["currency"], counts, "provider_cost" in entry)
    names = {statements.bare(model): model for paywall in PAYWALLS for model, _ in paywall.models}
    for event in statements.events:
        data = event["data"]
        charges = event["type"].endswith("usage.charge.created") and event["attempts"] == 1
        if charges and data["activityId"] not in current:
            counts = data["promptTokens"], 0, data["completionTokens"]
            add(names[data["model"]], utc_day(event["at"]), "usd", counts, stated=False)
    listed = {route.model: route.listed for route in ROUTES.values()}
    for row in gateway.rows:
        counts = int(row["prompt_tokens"]), 0, int(row["completion_tokens"])
        add(listed[row["model"]], date.fromisoformat(row["startTime"][:10]), "usd", counts, stated=True)
    return found


def price(model: str, day: date, currency: str, kind: str, tokens: int) -> Decimal:
    """Return the list price of tokens, in the currency of the bill."""
    rate = rates(model, day)
    cached = rate.prompt if rate.cached_prompt is None else rate.cached_prompt
    of_kind = {INPUT: rate.prompt, CACHED: cached, OUTPUT: rate.completion}[kind]
    return times(EXACT.divide(tokens * of_kind, MILLION), PER_USD[currency])


# ---- the bill's side


@dataclass(slots=True)
class Planting:
    """Plants breaks into bills that fit. Cases are taken from a shuffled pile, so that none has two."""

    span: Span
    metered: dict[Case, Metered]
    lines: dict[Case, list[Line]]
    pile: list[Case]
    planted: dict[str, list[str]] = field(default_factory=dict)

    def plant(self, break_type: str, *cases: Case) -> None:
        """Record breaks that are there on purpose."""
        self.planted.setdefault(break_type, []).extend(case.case_id for case in cases)

    def break_days(self, provider: str) -> list[date]:
        """Return the days of breaks: final for long, and of Anthropic not in the console's CSV."""
        first = next_month(self.span.first) if provider == ANTHROPIC else self.span.first
        return days(first + 2 * DAY, self.span.final - 2 * GRACE)

    def take(
        self, count: int, model: str, at_least: str, fits: Callable[[Metered], bool] = lambda _: True
    ) -> list[Case]:
        """Take up to `count` cases in US dollar that cost `at_least` that much; with another last day there
        may be fewer.
        """
        provider = model.split("/", 1)[0]
        allowed = set(self.break_days(provider))
        fitting = [
            case
            for case in self.pile
            if (case.model, case.currency) == (model, "usd")
            and case.day in allowed
            and self.cost(case) >= Decimal(at_least)
            and fits(self.metered[case])
        ]
        taken = fitting[:count]
        self.pile = [case for case in self.pile if case not in taken]
        return taken

    def cost(self, case: Case) -> Decimal:
        """Return what a case is billed."""
        return sum((line.amount for line in self.lines[case]), Decimal(0))

    def change(self, case: Case, tokens: str = "1", rate: str = "1") -> None:
        """Bill other numbers of tokens, and another rate, each as a multiple."""

        def changed(line: Line) -> Line:
            quantity = int(line.quantity * Decimal(tokens))
            listed = price(case.model, case.day, case.currency, line.kind or INPUT, quantity)
            return replace(line, quantity=quantity, amount=times(listed, Decimal(rate)))

        self.lines[case] = [changed(line) for line in self.lines[case]]

    # ---- the breaks

    def wrong_key(self) -> None:
        """Plant calls that were made with the key of the account in euro, for a model that only customers in
        dollar have.
        """
        for case in self.take(1, "openai/gpt-5-mini", "0.02"):
            moved = case._replace(currency="eur")
            self.lines[moved] = [
                replace(line, amount=times(line.amount, PER_USD["eur"])) for line in self.lines.pop(case)
            ]
            self.plant("currency_mismatch", case, moved)

    def never_billed(self) -> None:
        """Plant calls that another key paid."""
        for case in [
            *self.take(1, "openai/gpt-5-mini", "0.02"),
            *self.take(1, "anthropic/claude-opus-4-5", "0.05"),
        ]:
            del self.lines[case]
            self.plant("metered_not_billed", case)

    def other_tokens(self) -> None:
        """Plant retries that the ledger has no charges for, and calls that it has twice."""
        for case, tokens in zip(self.take(3, "openai/gpt-4.1", "0.06"), ("1.25", "1.3", "0.7"), strict=False):
            self.change(case, tokens=tokens)
            self.plant("token_mismatch", case)

    def other_rate(self) -> None:
        """Plant a dearer service tier, and a discount, where every cost is stated."""

        def is_stated(side: Metered) -> bool:
            return not side.unstated

        for case in self.take(1, "openai/gpt-4.1", "0.03", is_stated):
            self.change(case, rate="1.75")
            self.plant("rate_mismatch", case)
        for case in self.take(1, "anthropic/claude-opus-4-5", "0.05", is_stated):
            self.change(case, rate="0.5")
            self.plant("rate_mismatch", case)

    def estimated(self) -> None:
        """Plant a discount where costs are estimated, and record where a cost is not known at all: no price
        list is in euro.
        """
        for model, at_least in (("openai/gpt-4.1", "0.06"), ("anthropic/claude-sonnet-4-5", "0.2")):
            for case in self.take(1, model, at_least, lambda side: side.unstated > 0):
                self.change(case, rate="0.8")
                self.plant("estimated_off", case)
        for case, side in sorted(self.metered.items()):
            if case.currency == "eur" and self.span.first <= case.day <= self.span.final:
                tolerance = max(TOLERANCE, RELATIVE_TOLERANCE * self.cost(case))
                if side.unstated == side.charges or side.unstated_cost > tolerance:
                    self.plant("estimated_off", case)

    def not_metered(self) -> None:
        """Plant a fine-tuned model that was tried with the key of the product, a model that nobody sells,
        used by a key that leaked, and web searches.
        """
        shuffled = {
            provider: sorted(self.break_days(provider), key=lambda day: key("bill days", provider, day))
            for provider in (OPENAI, ANTHROPIC)
        }
        for model, prompt, completion in (
            (FINE_TUNED, 96_400, 11_210),
            (FINE_TUNED, 41_770, 6_050),
            (LEAKED, 18_330, 4_900),
        ):
            provider = model.split("/", 1)[0]
            case = Case(provider, shuffled[provider].pop(), UNKNOWN, "usd")
            rate = RATES[model]
            self.lines[case] = [
                Line(model, INPUT, prompt, rate.cost(prompt, 0)),
                Line(model, OUTPUT, completion, rate.cost(0, completion)),
            ]
            self.plant("billed_not_metered", case)
        for provider, calls in ((OPENAI, 5), (OPENAI, 3), (ANTHROPIC, 4)):
            case = Case(provider, shuffled[provider].pop(), UNKNOWN, "usd")
            self.lines[case] = [Line(None, None, calls, calls * WEB_SEARCH)]
            self.plant("billed_not_metered", case)


def fitting_lines(case: Case, side: Metered) -> list[Line]:
    """Return the lines that fit a case: what it states, at list price."""
    return [
        Line(case.model, kind, tokens, price(case.model, case.day, case.currency, kind, tokens))
        for kind, tokens in side.tokens.items()
        if tokens
    ]


def lab_lines(span: Span, random: Random) -> Iterator[tuple[Case, Line]]:
    """Yield what the business's own developers use."""
    for provider, (model, weekdays) in LAB_MODELS.items():
        for day in days(span.first, span.last):
            prompt, completion = random.randrange(4_000, 18_000), random.randrange(200, 1_800)
            if day.weekday() in weekdays:
                for kind, tokens in ((INPUT, prompt), (OUTPUT, completion)):
                    amount = price(model, day, "usd", kind, tokens)
                    yield Case(provider, day, model, "usd"), Line(model, kind, tokens, amount, is_sold=False)


def make_bills(statements: Statements, gateway: GatewayLog, random: Random) -> Bills:
    """Return the bills for everything that the ledger states, with the planted breaks."""
    span, side = Span.of(statements.calendar), metered(statements, gateway)
    lines = {
        case: fitting_lines(case, one)
        for case, one in sorted(side.items())
        if span.first <= case.day <= span.last
    }
    pile = sorted(lines, key=lambda case: key("bill pile", case.case_id))
    planting = Planting(span, side, lines, pile)
    planting.wrong_key()
    planting.never_billed()
    planting.other_rate()
    planting.other_tokens()
    planting.estimated()
    planting.not_metered()
    account_lines: AccountLines = defaultdict(list)
    for case, of_case in lines.items():
        account_lines[case.provider, case.currency, case.day] += of_case
    for case, line in lab_lines(span, random):
        account_lines[case.provider, case.currency, case.day].append(line)
    files, records = bill_files(account_lines, span)
    counted = Counter[str]()
    for (provider, currency, day), of_day in account_lines.items():
        if currency == "usd" or day <= span.final:
            counted[provider] += len(of_day)
    planted = {break_type: tuple(cases) for break_type, cases in sorted(planting.planted.items())}
    return Bills(files, records, dict(counted), planted)


# ---- the files


def bill_files(lines: AccountLines, span: Span) -> tuple[dict[str, bytes], int]:
    """Return the files as downloaded, and the number of records in them.

    Downloads overlap. The one that was made later is also later in the order of paths.
    """
    second_from = span.last - SECOND_DOWNLOAD * DAY
    api_from = next_month(span.first) - OVERLAP * DAY
    files: dict[str, str] = {}
    records = 0

    def name(provider: str, currency: str, first: date, last: date, rest: str) -> str:
        return f"{FOLDER}/{provider}_costs/{ACCOUNTS[currency]}sample-{first}_{last}{rest}"

    def buckets(provider: str, currency: str, first: date, last: date) -> list[dict[str, Any]]:
        nonlocal records
        write = openai_bucket if provider == OPENAI else anthropic_bucket
        found = [write(day, currency, lines.get((provider, currency, day), [])) for day in days(first, last)]
        records += sum(len(bucket["results"]) or 1 for bucket in found)
        return found

    first_download = buckets(OPENAI, "usd", span.first, second_from)
    # Its last day was not over: the bucket has grown since.
    first_download[-1]["results"] = [so_far(result) for result in first_download[-1]["results"]]
    files[name(OPENAI, "usd", span.first, second_from, ".json")] = page(first_download)
    first = second_from - OVERLAP * DAY
    files[name(OPENAI, "usd", first, span.last, ".jsonl")] = "\n".join(
        as_json(bucket) for bucket in buckets(OPENAI, "usd", first, span.last)
    )
    files[name(OPENAI, "eur", span.first, span.final, ".json")] = page(
        buckets(OPENAI, "eur", span.first, span.final)
    )
    last = next_month(span.first) - DAY
    rows = [
        console_row(day, line)
        for day in days(span.first, last)
        for line in lines.get((ANTHROPIC, "usd", day), [])
    ]
    # The console begins its files with a byte order mark.
    files[name(ANTHROPIC, "usd", span.first, last, "-console.csv")] = "\ufeff" + table(CONSOLE, rows)
    starts = days(api_from, span.last)[::PAGE_DAYS]
    files[name(ANTHROPIC, "usd", api_from, span.last, ".jsonl")] = "\n".join(
        page(
            buckets(ANTHROPIC, "usd", first, min(first + (PAGE_DAYS - 1) * DAY, span.last)),
            has_more=first < starts[-1],
        )
        for first in starts
    )
    files[name(ANTHROPIC, "eur", span.first, span.final, ".json")] = page(
        buckets(ANTHROPIC, "eur", span.first, span.final)
    )
    stated = invoices(lines, span)
    files[f"{FOLDER}/invoices/sample-{span.last}.csv"] = table(INVOICES, stated)
    scopes = [scope | {"key": "", "scope": "outside"} for scope in SCOPES]
    files[SCOPE] = table(("provider", "project", "key", "scope"), scopes)
    records += len(rows) + len(stated) + len(scopes)
    return {path: content.encode() for path, content in files.items()}, records


def page(buckets: list[dict[str, Any]], has_more: bool = False) -> str:
    """Return a page of an API as JSON. OpenAI names the kind of every object."""
    kind = {"object": "page"} if "object" in buckets[0] else {}
    following = f"page_{key('page', len(buckets))}" if has_more else None
    return as_json(kind | {"data": buckets, "has_more": has_more, "next_page": following})


def openai_bucket(day: date, currency: str, lines: list[Line]) -> dict[str, Any]:
    """Return a day of OpenAI's costs, grouped by line item and project."""
    start = int(datetime.combine(day, time(), UTC).timestamp())

    def result(line: Line) -> dict[str, Any]:
        words = (
            f"{NAMES[line.model][0]}, {OPENAI_WORDS[line.kind]}" if line.model and line.kind else WEB_SEARCHES
        )
        sold = PRODUCT if currency == "usd" else PRODUCT_EU
        return {
            "object": "organization.costs.result",
            "amount": {"value": line.amount, "currency": currency},
            "line_item": words,
            "project_id": sold if line.is_sold else LAB,
            "api_key_id": None,
            "quantity": line.quantity,
            "quantity_unit": "tokens" if line.kind else None,
        }

    results = [result(line) for line in lines]
    return {"object": "bucket", "start_time": start, "end_time": start + 86_400, "results": results}


def so_far(result: dict[str, Any]) -> dict[str, Any]:
    """Return a result of OpenAI's costs as it was stated before the day was over."""
    amount, share = result["amount"], Decimal("0.4")
    return result | {
        "amount": amount | {"value": times(amount["value"], share)},
        "quantity": int(result["quantity"] * share),
    }


def anthropic_bucket(day: date, currency: str, lines: list[Line]) -> dict[str, Any]:
    """Return a day of Anthropic's cost report, grouped by workspace and description: amounts in cents."""

    def result(line: Line) -> dict[str, Any]:
        kind = ANTHROPIC_TYPES[line.kind] if line.kind else None
        dated, displayed = NAMES[line.model] if line.model else (None, "")
        return {
            "currency": currency.upper(),
            "amount": text(times(line.amount, Decimal(100))),
            "workspace_id": None if line.is_sold else LAB_WORKSPACE,
            "description": f"{displayed} Usage - {kind[2]}" if kind else "Web Search Usage",
            "cost_type": "tokens" if kind else "web_search",
            "context_window": "0-200k" if kind else None,
            "model": dated,
            "service_tier": "standard" if kind else None,
            "token_type": kind[0] if kind else None,
        }

    return {
        "starting_at": f"{day}T00:00:00Z",
        "ending_at": f"{day + DAY}T00:00:00Z",
        "results": [result(line) for line in lines],
    }


def console_row(day: date, line: Line) -> dict[str, str]:
    """Return a row of the console's cost CSV, in dollar and rounded to cents."""
    cost = str(cents(line.amount))
    holder, number = KEYS[line.is_sold]
    return {
        "usage_date_utc": day.isoformat(),
        "model": NAMES[line.model or ""][1],
        "workspace": "Default" if line.is_sold else "Lab",
        "api_key": holder,
        "usage_type": "message",
        "context_window": "≤ 200k",
        "token_type": ANTHROPIC_TYPES[line.kind or INPUT][1],
        "cost_usd": cost,
        "list_price_usd": cost,
        "cost_type": "token",
        "inference_geo": "global",
        "speed": "standard",
        "api_key_id": number,
        "api_key_status": "active",
    }


def invoices(lines: AccountLines, span: Span) -> list[dict[str, str]]:
    """Return an invoice of each account for each month, and one that was withdrawn."""
    rows = []
    for month in span.months:
        for provider in (OPENAI, ANTHROPIC):
            for currency in ACCOUNTS:
                billed = sum(
                    line.amount
                    for day in days(month, next_month(month) - DAY)
                    for line in lines.get((provider, currency, day), [])
                )
                rows.append(
                    {
                        "provider": provider,
                        "invoice_id": f"INV-{key('invoice', provider, currency, month, size=4)}",
                        "period_start": month.isoformat(),
                        "period_end": next_month(month).isoformat(),
                        "currency": currency,
                        "amount": str(cents(Decimal(billed))),
                        "status": "paid",
                    }
                )
    withdrawn = {"invoice_id": f"INV-{key('invoice', 'withdrawn', size=4)}", "status": "void"}
    return [*rows, rows[0] | withdrawn]
