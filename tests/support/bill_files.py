"""Provider bills read from landing files by the words of the contract alone: lines, buckets and covered days.

A part of `tests.support.cost_oracle`: plain Python and Decimal, no product code, slow and obvious on purpose.
Where the contract leaves room, the choice is marked `choice:`.
"""

import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from decimal import ROUND_HALF_EVEN, Context, Decimal
from typing import Any

from tests.support.oracle import LAST_UNIT, LandedFile, Row, csv_records, decompress, parquet_records

BILLS = "bills/"
# Bills that lie in the format's own folder are of this account (docs/inputs.md).
DEFAULT_ACCOUNT = "default"
ONE_DAY = timedelta(days=1)
WIDE = Context(prec=200)
OPENAI_KINDS = {
    "input": "input", "input_tokens": "input",
    "cached_input": "cached_input", "cached_input_tokens": "cached_input",
    "input_cached_tokens": "cached_input",
    "cache_write": "cache_write", "cache_write_tokens": "cache_write",
    "input_cache_write_tokens": "cache_write",
    "output": "output", "output_tokens": "output",
}  # fmt: skip
ANTHROPIC_KINDS = {
    "uncached_input_tokens": "input",
    "cache_read_input_tokens": "cached_input",
    "cache_creation.ephemeral_1h_input_tokens": "cache_write",
    "cache_creation.ephemeral_5m_input_tokens": "cache_write",
    "output_tokens": "output",
    "input_no_cache": "input",
    "input_cache_read": "cached_input",
    "input_cache_write": "cache_write",
    "input_cache_write_5m": "cache_write",
    "input_cache_write_1h": "cache_write",
    "output": "output",
}
TOKEN_UNITS = {"tokens": 1, "1000_tokens": 1000}


@dataclass(frozen=True)
class Line:
    """One line of a bill, as billed."""

    provider: str
    day: date
    model: str | None
    amount: Decimal
    currency: str
    category: str = "usage"
    kind: str = "other"
    quantity: Decimal | None = None
    unit: str | None = None
    project: str | None = None
    key: str | None = None
    period: tuple[datetime, datetime] | None = None
    """Start and end of a line of more than a day."""
    corrects: str | None = None
    """`BillingPeriodStart` of a correction."""


@dataclass
class BillFile:
    """What one landed file states."""

    account: str
    exact: bool
    own_format: bool
    lines: list[Line] = field(default_factory=list)
    buckets: set[tuple[str, date]] = field(default_factory=set)
    """Buckets by provider and day that the file states, with lines or without."""
    covered: dict[str, set[date]] = field(default_factory=lambda: defaultdict(set))


@dataclass(frozen=True)
class Invoice:
    provider: str
    account: str
    invoice_id: str
    month: date
    currency: str
    amount: Decimal
    status: str


# ---- values


def money(value: Any, scale: int = 0) -> Decimal:
    """Return an amount rounded half-even to 12 decimals; a float is its shortest decimal text."""
    number = (
        value if isinstance(value, Decimal) else Decimal(repr(value) if isinstance(value, float) else value)
    )
    return number.scaleb(scale, WIDE).quantize(LAST_UNIT, ROUND_HALF_EVEN, WIDE)


def text(value: Any) -> str | None:
    return str(value) if value is not None and value != "" else None


def quantity(value: Any) -> Decimal | None:
    return None if text(value) is None else Decimal(str(value))


def instant(value: Any) -> datetime:
    """Return an instant; without an offset it is UTC."""
    moment = (
        value if isinstance(value, datetime) else datetime.fromisoformat(str(value).replace("Z", "+00:00"))
    )
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def unix_day(value: Any) -> date:
    return datetime.fromtimestamp(int(value), UTC).date()


def days_through(days: Iterable[date]) -> set[date]:
    """Return the days from the first to the last."""
    known = sorted(days)
    return {known[0] + ONE_DAY * n for n in range((known[-1] - known[0]).days + 1)} if known else set()


# ---- files


def is_csv(file: LandedFile) -> bool:
    return ".csv" in file.name


def json_items(file: LandedFile) -> Iterator[Row]:
    """Yield buckets or rows of pages, arrays, or a line each."""
    kind, content = decompress(file)
    documents = content.decode().split("\n") if kind == "jsonl" else [content.decode()]
    for document in documents:
        if document.strip():
            yield from items_of(json.loads(document, parse_float=Decimal, parse_int=Decimal))


def items_of(value: Any) -> Iterator[Row]:
    if isinstance(value, list):
        for one in value:
            yield from items_of(one)
    elif "data" in value:
        yield from items_of(value["data"])
    else:
        yield value


def rows(file: LandedFile) -> Iterator[Row]:
    """Yield rows of a table or objects; empty cells are not there."""
    kind, content = decompress(file)
    if kind not in ("csv", "parquet"):
        yield from json_items(file)
        return
    for _, row in csv_records(content) if kind == "csv" else parquet_records(content):
        yield row


def openai_line(day: date, row: Row, amount: Any, currency: Any) -> Line:
    """Read a result of the costs API or a row of its CSV.

    choice: a line item without a comma names no model, nor does a missing one.
    """
    model, comma, kind = str(row.get("line_item") or "").rpartition(", ")
    return Line(
        "openai",
        day,
        text(model) if comma else None,
        money(amount),
        str(currency).lower(),
        kind=OPENAI_KINDS.get(kind.lower().replace(" ", "_"), "other") if comma else "other",
        quantity=quantity(row.get("quantity")),
        unit=text(row.get("quantity_unit")),
        project=text(row.get("project_id")),
        key=text(row.get("api_key_id")),
    )


def openai_costs(file: LandedFile, found: BillFile) -> None:
    for row in rows(file):
        day = unix_day(row["start_time"])
        found.buckets.add(("openai", day))
        found.covered["openai"].add(day)
        if not is_csv(file):
            found.lines += [
                openai_line(day, one, one["amount"]["value"], one["amount"]["currency"])
                for one in row["results"]
            ]
        elif row.get("amount_value") is not None:
            found.lines.append(openai_line(day, row, row["amount_value"], row["amount_currency"]))


def anthropic_line(day: date, row: Row, amount: Decimal, key: str | None, project: Any) -> Line:
    return Line(
        "anthropic",
        day,
        text(row.get("model")),
        amount,
        str(row.get("currency") or "usd").lower(),
        kind=ANTHROPIC_KINDS.get(str(row.get("token_type")), "other"),
        project=text(project),
        key=key,
    )


def anthropic_costs(file: LandedFile, found: BillFile) -> None:
    if is_csv(file):
        found.exact = False
        for row in rows(file):
            day = date.fromisoformat(row["usage_date_utc"])
            key = text(row.get("api_key_id")) or text(row.get("api_key"))
            found.lines.append(anthropic_line(day, row, money(row["cost_usd"]), key, row.get("workspace")))
        return
    for bucket in rows(file):
        day = instant(bucket["starting_at"]).date()
        found.buckets.add(("anthropic", day))
        found.covered["anthropic"].add(day)
        found.lines += [
            anthropic_line(day, one, money(one["amount"], -2), None, one.get("workspace_id"))
            for one in bucket["results"]
        ]


def openrouter_activity(file: LandedFile, found: BillFile) -> None:
    """Read rows of the activity.

    choice: a row is one line of kind `all`, its quantity prompt and completion tokens (reasoning is a part of
    the latter).
    """
    found.exact = not is_csv(file)
    names = (
        ("Date", "Slug", "Usage", "BYOK Usage", "Prompt Tokens", "Completion Tokens")
        if is_csv(file)
        else ("date", "model", "usage", "byok_usage_inference", "prompt_tokens", "completion_tokens")
    )
    for row in rows(file):
        day, model, usage, own_key, prompt, completion = (row.get(name) for name in names)
        # choice: own keys are left out of the CSV as well.
        if money(usage) == 0 and money(own_key or 0) > 0:
            continue
        stated = [one for one in (quantity(prompt), quantity(completion)) if one is not None]
        found.lines.append(
            Line(
                "openrouter",
                date.fromisoformat(str(day)[:10]),
                text(model),
                money(usage),
                "usd",
                kind="all",
                quantity=sum(stated, Decimal(0)) if stated else None,
                unit="tokens",
            )
        )


def focus_provider(row: Row) -> str:
    return str(row.get("ServiceProviderName") or row.get("ProviderName") or "unknown").strip().lower()


def focus_model(row: Row) -> str | None:
    """Return the first that is stated. choice: whether it is known does not matter."""
    tags = row.get("Tags") or {}
    known = json.loads(tags) if isinstance(tags, str) else dict(tags)
    return text(row.get("SkuMeter")) or text(row.get("ResourceName")) or text(known.get("model")) or text(
        row.get("x_model")
    )  # fmt: skip


def is_estimate(row: Row) -> bool:
    names = [text(row.get(name)) for name in ("ProviderName", "PublisherName", "InvoiceIssuerName")]
    return names[0] is not None and len(set(names)) == 1 and row.get("ConsumedUnit") == "Requests"


def focus(file: LandedFile, found: BillFile) -> None:
    records = list(rows(file))
    found.own_format = False
    if all(is_estimate(row) for row in records):
        return
    for row in records:
        start, end = instant(row["ChargePeriodStart"]), instant(row["ChargePeriodEnd"])
        correction = str(row.get("ChargeClass") or "").lower() == "correction"
        unit = text(row.get("ConsumedUnit"))
        found.lines.append(
            Line(
                focus_provider(row),
                start.date(),
                focus_model(row),
                money(row["BilledCost"]),
                row["BillingCurrency"].lower(),
                category=row["ChargeCategory"].lower(),
                kind="all" if (unit or "").lower() in TOKEN_UNITS else "other",
                quantity=quantity(row.get("ConsumedQuantity")),
                unit=unit,
                project=text(row.get("SubAccountId")),
                period=(start, end) if end - start > ONE_DAY else None,
                corrects=str(instant(row["BillingPeriodStart"])) if correction else None,
            )
        )


READERS = {
    "openai_costs": openai_costs,
    "anthropic_costs": anthropic_costs,
    "openrouter_activity": openrouter_activity,
    "focus": focus,
}


def format_and_account(file: LandedFile) -> tuple[str, str]:
    bill_format, _, account = file.folder.removeprefix(BILLS).partition("/")
    return bill_format, account or DEFAULT_ACCOUNT


def read_bill(file: LandedFile, provider_of: Callable[[str], str]) -> BillFile:
    """Return what a landed bill states, its providers looked up."""
    bill_format, account = format_and_account(file)
    found = BillFile(account, exact=True, own_format=True)
    READERS[bill_format](file, found)
    found.lines = [replace(one, provider=provider_of(one.provider)) for one in found.lines]
    by_buckets = bool(found.buckets)
    regular = [one for one in found.lines if one.period is None and one.corrects is None]
    found.buckets |= {(one.provider, one.day) for one in regular}
    if not by_buckets:
        # choice: of a file with several providers each is covered from its own first row to its own last.
        for provider in {one.provider for one in regular}:
            found.covered[provider] = days_through(one.day for one in regular if one.provider == provider)
    return found


def read_invoices(file: LandedFile) -> Iterator[Invoice]:
    """Yield invoices, of FOCUS InvoiceDetail too."""
    _, account = format_and_account(file)
    for row in rows(file):
        if "InvoiceId" in row:
            provider, invoice_id = row["InvoiceIssuerName"], row["InvoiceId"]
            start, currency = row["BillingPeriodStart"], row["BillingCurrency"]
            amount, status = row["BilledCost"], row["InvoiceIssueStatus"]
        else:
            provider, invoice_id, start = row["provider"], row["invoice_id"], row["period_start"]
            currency, amount, status = row["currency"], row["amount"], row["status"]
        yield Invoice(
            provider.strip().lower(),
            account,
            invoice_id,
            instant(start).date().replace(day=1),
            currency.lower(),
            money(amount),
            status.lower(),
        )
