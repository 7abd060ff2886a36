"""What the lake must hold of mapped sources, computed from landing files by the words of the contract alone.

Slow and obvious on purpose, like `tests.support.oracle`, from which the rules of a ledger entry are taken.
Where the contract leaves room, the choice is marked `choice:`.
"""

import json
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_EVEN, Context, Decimal, localcontext
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from tests.support.oracle import (
    EARLIEST_ENTRY,
    LAST_UNIT,
    NUMBER,
    STATUSES,
    TOKENS,
    TYPES,
    LandedFile,
    RejectedError,
    as_currency,
    as_money,
    as_text,
    as_tokens,
    decompress,
    parse_json,
)

Row = dict[str, Any]
WIDE = Context(prec=400)
LATEST = datetime(2100, 1, 1, tzinfo=UTC)
RECORD_LIMIT = 1 << 20
# tests/support/mapped_exports.py adds these to the columns that the systems document.
UNMAPPED = {
    "litellm_spend_logs": {"shadow_prompt"},
    "langfuse_observations": {"inputRaw"},
    "openrouter_generations": {"api_key_hash", "prompt"},
    "lago_wallet_transactions": {"customer"},
    "stripe_credits": {"memo", "receipt_email"},
}
COST_ONLY = ("litellm_spend_logs", "langfuse_observations", "openrouter_generations")
# sources/stripe.md: ISK and UGX are sent with two decimals.
NO_DECIMALS = {
    "bif", "clp", "djf", "gnf", "jpy", "kmf", "krw", "mga", "pyg", "rwf", "vnd", "vuv", "xaf", "xof", "xpf",
}  # fmt: skip
THREE_DECIMALS = {"bhd", "jod", "kwd", "omr", "tnd"}


class FilteredError(Exception):
    """A mapping leaves the record out on purpose."""


class WaitingError(RejectedError):
    """A record waits for its grant."""


@dataclass
class ExpectedFile:
    """What one landed file brings."""

    accepted: dict[int, Row] = field(default_factory=dict)
    rejected: set[int] = field(default_factory=set)
    waiting: set[int] = field(default_factory=set)
    filtered: int = 0
    records: int = 0
    rounded_amounts: int = 0
    cost_stated: Decimal | None = None
    unmapped: set[str] = field(default_factory=set)


# ---- reading


def csv_rows(content: bytes) -> Iterator[tuple[int, list[str] | RejectedError]]:
    """Rows by RFC 4180, each with the line on which it starts."""
    line, at = 1, 0
    while at < len(content):
        start, begun = line, at
        values: list[bytes] = []
        fault = False
        while True:
            if content[at : at + 1] == b'"':
                value, at = b"", at + 1
                while True:
                    end = content.find(b'"', at)
                    if end < 0:
                        yield start, RejectedError("no closing quote")
                        return
                    value += content[at:end]
                    at = end + 1
                    if content[at : at + 1] != b'"':
                        break
                    value, at = value + b'"', at + 1
                end = re.compile(rb"[,\r\n]|\Z").search(content, at).start()  # type: ignore[union-attr]
                fault = fault or end > at
                at = end
            else:
                end = re.compile(rb"[,\r\n]|\Z").search(content, at).start()  # type: ignore[union-attr]
                value, at = content[at:end], end
            values.append(value)
            if content[at : at + 1] != b",":
                break
            at += 1
        line += content[begun:at].count(b"\n")
        if content[at : at + 1] == b"\r":
            at += 1
        if content[at : at + 1] == b"\n":
            at, line = at + 1, line + 1
        if fault or at - begun > RECORD_LIMIT:
            yield start, RejectedError("bad quoting, or too long")
        elif values != [b""]:
            yield start, [value.decode() for value in values]


def csv_records(content: bytes) -> Iterator[tuple[int, Any]]:
    rows = csv_rows(content)
    _, header = next(rows)
    assert isinstance(header, list)
    for line, values in rows:
        if isinstance(values, RejectedError):
            yield line, values
        elif len(values) != len(header):
            yield line, RejectedError("too many or too few fields")
        else:
            yield line, dict(zip(header, values, strict=True))


def without_repeats(pairs: list[tuple[str, Any]]) -> Row:
    if len({name for name, _ in pairs}) < len(pairs):
        raise ValueError("a field is stated twice")
    return dict(pairs)


def jsonl_records(content: bytes) -> Iterator[tuple[int, Any]]:
    for number, line in enumerate(content.split(b"\n"), 1):
        if not line.strip():
            continue
        try:
            if len(line) > RECORD_LIMIT:
                raise ValueError("too long")
            json.loads(line.decode(), object_pairs_hook=without_repeats)
            record = parse_json(line.decode())
        except ValueError as error:
            yield number, RejectedError(str(error))
            continue
        yield number, record if isinstance(record, dict) else RejectedError("not a JSON object")


def parquet_records(content: bytes) -> Iterator[tuple[int, Any]]:
    table = pq.read_table(pa.BufferReader(content))
    for at, column in enumerate(table.schema):
        if pa.types.is_timestamp(column.type):
            cut = table.column(at).cast(pa.timestamp("us", column.type.tz), safe=False)
            table = table.set_column(at, column.name, cut)
    yield from enumerate(table.to_pylist(), 1)


# The names under which pages have their list, and the one under which Lago has a single transaction.
PAGE_LISTS = ("data", "wallet_transactions")
ENVELOPE = "wallet_transaction"
DECODER = json.JSONDecoder()
BLANK = re.compile(r"[ \t\r\n]*")


def json_records(content: bytes) -> Iterator[tuple[int, Any]]:
    """The elements of arrays and of the lists of pages, and other objects, each with the line on which it
    begins, or the line after that of the one before it.
    """
    text, last = content.decode(), 0
    for start, end in json_spans(text):
        last = max(last + 1, 1 + text.count("\n", 0, start))
        try:
            json.loads(text[start:end], object_pairs_hook=without_repeats)
            record = parse_json(text[start:end])
        except ValueError as error:
            yield last, RejectedError(str(error))
            continue
        if isinstance(record, dict):
            yield last, record[ENVELOPE] if isinstance(record.get(ENVELOPE), dict) else record
        else:
            yield last, RejectedError("not a JSON object")


def json_spans(text: str) -> Iterator[tuple[int, int]]:
    at = after_blanks(text, 0)
    while at < len(text):
        if text[at] == "[":
            spans, at = elements(text, at)
        else:
            spans, at = page_or_object(text, at)
        yield from spans
        at = after_blanks(text, at)


def elements(text: str, at: int) -> tuple[list[tuple[int, int]], int]:
    """Where the elements of the list at a place are, and its end."""
    spans, at = [], after_blanks(text, at + 1)
    while text[at] != "]":
        _, end = DECODER.raw_decode(text, at)
        spans.append((at, end))
        at = after_blanks(text, end)
        at = after_blanks(text, at + 1) if text[at] == "," else at
    return spans, at + 1


def page_or_object(text: str, at: int) -> tuple[list[tuple[int, int]], int]:
    begin, at = at, after_blanks(text, at + 1)
    found = None
    while text[at] != "}":
        name, at = DECODER.raw_decode(text, at)
        at = after_blanks(text, after_blanks(text, at) + 1)
        if name in PAGE_LISTS and text[at] == "[":
            found, at = elements(text, at)
        else:
            _, at = DECODER.raw_decode(text, at)
        at = after_blanks(text, at)
        at = after_blanks(text, at + 1) if text[at] == "," else at
    return [(begin, at + 1)] if found is None else found, at + 1


def after_blanks(text: str, at: int) -> int:
    match = BLANK.match(text, at)
    assert match is not None
    return match.end()


READERS = {
    "jsonl": jsonl_records,
    "csv": csv_records,
    "json": json_records,
    "parquet": parquet_records,
}


# ---- values


def stated(record: Mapping[str, Any], *names: str) -> Any:
    """The first value that is there; an empty text is none."""
    return next((record[name] for name in names if record.get(name) not in (None, "")), None)


def part(value: Any) -> Row:
    """A nested object: an object, its JSON text, or a map."""
    if value in (None, ""):
        return {}
    if isinstance(value, list):
        return dict(value)
    if isinstance(value, str):
        try:
            value = parse_json(value)
        except ValueError:
            raise RejectedError("not JSON") from None
    if not isinstance(value, dict):
        raise RejectedError("no object")
    return value


def within_limits(moment: datetime, earliest: datetime) -> datetime:
    if not earliest <= moment < LATEST:
        raise RejectedError("time out of range")
    return moment


INSTANT = re.compile(
    r"(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d:\d\d)(?:\.(\d+))?(Z|[+-]\d\d:\d\d)?", re.ASCII | re.IGNORECASE
)


def as_moment(value: Any, earliest: datetime) -> datetime | None:
    """A time without an offset is UTC; what is beyond the microsecond is cut."""
    if value in (None, ""):
        return None
    if isinstance(value, datetime):
        return within_limits(value.replace(tzinfo=UTC) if value.tzinfo is None else value, earliest)
    match = INSTANT.fullmatch(value)
    if not match:
        raise RejectedError("bad time")
    day, time, fraction, offset = match.groups()
    offset = "+00:00" if offset in (None, "Z", "z") else offset
    try:
        moment = datetime.fromisoformat(f"{day}T{time}.{(fraction or '')[:6].ljust(6, '0')}{offset}")
    except ValueError:
        raise RejectedError("no instant") from None
    return within_limits(moment.astimezone(UTC), earliest)


def as_epoch(value: Any, earliest: datetime) -> datetime | None:
    if value in (None, ""):
        return None
    if not re.fullmatch(r"\d+", str(value)):
        raise RejectedError("bad time")
    return within_limits(datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=int(value)), earliest)


def exact(value: Any) -> Decimal | None:
    """The decimal that a cost is: a float is its shortest decimal text."""
    if value in (None, ""):
        return None
    if isinstance(value, float):
        if not math.isfinite(value):
            raise RejectedError("no number")
        return Decimal(repr(value))
    if isinstance(value, (Decimal, int)):
        return Decimal(value)
    if not NUMBER.fullmatch(value):
        raise RejectedError("no number")
    return Decimal(str(value))


def rounded(cost: Decimal | None) -> tuple[Decimal | None, bool]:
    if cost is None:
        return None, False
    if abs(cost) >= Decimal(10) ** 18:
        raise RejectedError("too large")
    with localcontext(WIDE):
        kept = cost.quantize(LAST_UNIT, ROUND_HALF_EVEN)
        if kept < 0:
            raise RejectedError("negative")
        return abs(kept), kept != cost


def total_of(*costs: Decimal | None) -> Decimal | None:
    with localcontext(WIDE):
        known = [cost for cost in costs if cost is not None]
        return sum(known, Decimal(0)) if known else None


def shown(values: Row) -> Row:
    """Metadata without what is not there, numbers as text."""
    return {name: str(value) for name, value in values.items() if value not in (None, "")}


# ---- the mappings


def litellm(record: Row) -> Row:
    model, provider = stated(record, "model"), stated(record, "custom_llm_provider")
    return {
        "id": record.get("request_id"),
        "prefix": "litellm:",
        "type": "charge",
        "billing": "postpaid",
        "timestamp": record.get("startTime"),
        "updated_at": record.get("endTime"),
        "status": "failed" if record.get("status") == "failure" else "settled",
        "user": stated(record, "end_user", "user") or "unattributed",
        "paywall": "litellm",
        "model": f"{provider}/{model}" if model and provider and "/" not in model else model,
        "request_id": record.get("request_id"),
        "prompt_tokens": record.get("prompt_tokens"),
        "completion_tokens": record.get("completion_tokens"),
        "total_tokens": record.get("total_tokens"),
        "cost": exact(record.get("spend")),
        "currency": "usd",
        "metadata": {
            "internal_user": record.get("user"),
            **{
                name: record.get(name)
                for name in (
                    "team_id",
                    "organization_id",
                    "call_type",
                    "model_group",
                    "session_id",
                    "agent_id",
                )
            },
        },
    }


def langfuse(record: Row) -> Row:
    if record.get("type") not in ("GENERATION", "EMBEDDING"):
        raise FilteredError
    usage = part(record.get("usage_details"))
    counts = {name: as_tokens(usage.get(name), name) for name in ("input", "input_cached_tokens")}
    known = [count for count in counts.values() if count is not None]
    kept = ("project_id", "environment", "trace_id", "trace_name", "session_id", "release")
    return {
        "id": record.get("id"),
        "prefix": "langfuse:",
        "type": "charge",
        "billing": "postpaid",
        "timestamp": record.get("start_time"),
        "updated_at": record.get("updated_at"),
        "status": "failed" if record.get("level") == "ERROR" else "settled",
        "user": stated(record, "user_id") or "unattributed",
        "paywall": "langfuse",
        "model": record.get("provided_model_name"),
        "request_id": record.get("id"),
        "prompt_tokens": sum(known) if known else None,
        "cached_tokens": usage.get("input_cached_tokens"),
        "completion_tokens": usage.get("output"),
        "reasoning_tokens": usage.get("reasoning_tokens"),
        "cost": exact(record.get("total_cost")),
        "currency": "usd",
        "metadata": {name: record.get(name) for name in kept},
    }


def openrouter(record: Row) -> Row:
    cost, own_key = exact(record.get("cost_total")), exact(record.get("byok_usage_inference"))
    billed_by = record.get("provider_name") if own_key and own_key > 0 else "openrouter"
    return {
        "id": record.get("generation_id"),
        "prefix": "openrouter:",
        "type": "charge",
        "billing": "postpaid",
        "timestamp": record.get("created_at"),
        "user": stated(record, "user", "api_key_name") or "unattributed",
        "paywall": "openrouter",
        "model": record.get("model_permaslug"),
        "request_id": record.get("generation_id"),
        "prompt_tokens": record.get("tokens_prompt"),
        "completion_tokens": record.get("tokens_completion"),
        "cached_tokens": record.get("tokens_cached"),
        "reasoning_tokens": record.get("tokens_reasoning"),
        # A sum without its first part is unknown; a key of one's own that was not used costs nothing.
        "cost": None if cost is None else total_of(cost, own_key),
        "currency": "usd",
        "metadata": {
            # choice: bills name providers in lower case.
            "billed_by": billed_by.lower() if billed_by else None,
            **{name: record.get(name) for name in ("provider_name", "app_name", "api_key_name")},
        },
    }


def lago(record: Row) -> Row:
    way, status = record.get("transaction_type"), record.get("transaction_status")
    amount, funding, reason = record.get("amount"), None, None
    if status == "voided":
        kind, reason = "adjustment", "voided"
        # choice: whatever its sign, what was voided is gone.
        money = as_money(amount, "amount", required=True, signed=True)
        amount = -abs(money) if money else money
    elif way == "inbound" and status in ("purchased", "granted"):
        kind, funding = "deposit", "paid" if status == "purchased" else "promo"
    elif way == "outbound" and status == "invoiced":
        kind = "charge"
    else:
        raise RejectedError("no known transaction")
    if kind != "deposit" and status in ("purchased", "granted"):
        raise RejectedError("no known transaction")
    return {
        "id": record.get("lago_id"),
        "prefix": "lago:",
        "type": kind,
        "timestamp": record.get("created_at"),
        "updated_at": record.get("settled_at"),
        "status": record.get("status"),
        "user": stated(record, "external_customer_id", "lago_wallet_id"),
        "paywall": "lago",
        "amount": amount,
        "currency": record.get("currency"),
        "metadata": {
            "funding": funding,
            "reason": reason,
            "lago_wallet_id": record.get("lago_wallet_id"),
            "source": record.get("source"),
        },
    }


def minor_units(amount: Any) -> tuple[Decimal, str]:
    monetary = part(part(amount).get("monetary"))
    currency, value = str(monetary.get("currency") or "").lower(), monetary.get("value")
    if not currency or value is None or not re.fullmatch(r"-?\d+", str(value)):
        raise RejectedError("bad amount")
    digits = 0 if currency in NO_DECIMALS else 3 if currency in THREE_DECIMALS else 2
    return Decimal(int(value)).scaleb(-digits, WIDE), currency


def reference(value: Any) -> tuple[str | None, Row]:
    """The id of an object that is named or expanded, and the object."""
    if value in (None, ""):
        return None, {}
    if isinstance(value, str) and not value.startswith("{"):
        return value, {}
    expanded = part(value)
    return expanded.get("id"), expanded


STRIPE_KINDS = {
    "credits_applied": ("charge", None),
    "credits_expired": ("adjustment", "expired"),
    "credits_voided": ("adjustment", "voided"),
    "credits_application_invoice_voided": ("refund", None),
}


def stripe(record: Row) -> Row:
    common = {"prefix": "stripe:", "id": record.get("id"), "paywall": "stripe"}
    at = stated(record, "effective_at", "created")
    if stated(record, "category"):
        amount, currency = minor_units(record.get("amount"))
        if record["category"] not in ("paid", "promotional"):
            raise RejectedError("no known category")
        funding = "paid" if record["category"] == "paid" else "promo"
        return common | {
            "type": "deposit",
            "epoch": at,
            # choice: the object says when it was last changed.
            "updated_epoch": stated(record, "updated", "effective_at", "created"),
            "user": reference(record.get("customer"))[0],
            "amount": amount,
            "currency": currency,
            "metadata": {"funding": funding, "expires_at": record.get("expires_at")},
        }
    credit, debit = part(record.get("credit")), part(record.get("debit"))
    side = debit if debit.get("type") else credit
    if credit.get("type") == "credits_granted":
        raise FilteredError
    if side.get("type") not in STRIPE_KINDS:
        raise RejectedError("no known transaction")
    kind, reason = STRIPE_KINDS[side["type"]]
    amount, currency = minor_units(side.get("amount"))
    grant_id, expanded = reference(record.get("credit_grant"))
    return common | {
        "type": kind,
        "epoch": at,
        "user": reference(expanded.get("customer"))[0],
        "grant": grant_id,
        "amount": -amount if reason else amount,
        "currency": currency,
        "related_id": f"stripe:{grant_id}" if reason and grant_id else None,
        "metadata": {"reason": reason, "credit_grant": grant_id},
    }


MAPPINGS: dict[str, Callable[[Row], Row]] = {
    "litellm_spend_logs": litellm,
    "langfuse_observations": langfuse,
    "openrouter_generations": openrouter,
    "lago_wallet_transactions": lago,
    "stripe_credits": stripe,
}


def entry_of(source: str, record: Row, users: Mapping[str, str], earliest: datetime) -> Row:
    """One accepted version, or an error that says what else the record is."""
    made = MAPPINGS[source](record)
    cost, is_rounded = rounded(made.get("cost"))
    own_id = as_text(made["id"], "id", required=True)
    if source == "stripe_credits":
        occurred_at = as_epoch(made["epoch"], earliest)
        updated_at = as_epoch(made.get("updated_epoch"), earliest)
    else:
        occurred_at = as_moment(made["timestamp"], earliest)
        updated_at = as_moment(made.get("updated_at"), earliest)
    if occurred_at is None:
        raise RejectedError("no time")
    kind = TYPES[made["type"]]
    status = STATUSES.get((stated(made, "status") or "settled").lower())
    if status is None:
        raise RejectedError("no known status")
    tokens = {name: as_tokens(made.get(name), name) for name in TOKENS}
    parts = [count for count in (tokens["prompt_tokens"], tokens["completion_tokens"]) if count is not None]
    if tokens["total_tokens"] is None and parts:
        tokens["total_tokens"] = sum(parts)
    row = {
        "entry_id": as_text(made["prefix"] + str(own_id), "id", required=True, limit=255),
        "occurred_at": occurred_at,
        "updated_at": updated_at or occurred_at,
        "entry_type": kind,
        "status": status,
        "paywall_id": made["paywall"],
        "currency": as_currency(made["currency"]) or "usd",
        "request_id": as_text(made.get("request_id"), "request_id"),
        "model": as_text(made.get("model"), "model"),
        **tokens,
        "provider_cost": cost,
        "platform_fees": None,
        "related_entry_id": made.get("related_id"),
        "metadata": shown(made["metadata"]),
        "funding": made["metadata"].get("funding"),
        "reason": made["metadata"].get("reason"),
        "source": source,
        "billing": made.get("billing", "prepaid"),
        "rounded": is_rounded,
    }
    if source not in COST_ONLY:
        row["amount"] = as_money(made["amount"], "amount", required=True, signed=kind == "adjustment")
    user = as_text(made["user"], "user", limit=255) or users.get(f"stripe:{made.get('grant')}")
    if user is None:
        raise WaitingError("no grant") if made.get("grant") else RejectedError("no user")
    return row | {"user_id": user}


def expected_files(
    source: str, files: Sequence[LandedFile], earliest: datetime = EARLIEST_ENTRY
) -> dict[str, ExpectedFile]:
    """What each file brings once all of them are loaded, by path; content that was there before brings
    nothing.
    """
    unique = list({file.content: file for file in reversed(files)}.values())
    read: dict[str, list[tuple[int, Any]]] = {}
    for file in reversed(unique):
        kind, content = decompress(file)
        read[file.path] = list(READERS[kind](content))
    users: dict[str, str] = {}
    if source == "stripe_credits":
        for _, record in (one for records in read.values() for one in records):
            if isinstance(record, dict) and stated(record, "category"):
                try:
                    with localcontext(WIDE):
                        one = entry_of(source, record, {}, earliest)
                except RejectedError:
                    continue
                users[one["entry_id"]] = one["user_id"]
    return {path: expected_file(source, records, users, earliest) for path, records in read.items()}


def expected_file(
    source: str, records: list[tuple[int, Any]], users: Mapping[str, str], earliest: datetime
) -> ExpectedFile:
    result = ExpectedFile(records=len(records), cost_stated=Decimal(0) if source in COST_ONLY else None)
    for line, record in records:
        if isinstance(record, dict):
            result.unmapped |= UNMAPPED[source] & set(record)
        try:
            if isinstance(record, RejectedError):
                raise record
            with localcontext(WIDE):
                row = entry_of(source, record, users, earliest)
        except FilteredError:
            result.filtered += 1
        except RejectedError as error:
            result.rejected.add(line)
            if isinstance(error, WaitingError):
                result.waiting.add(line)
        else:
            result.rounded_amounts += row.pop("rounded")
            result.accepted[line] = row
            if result.cost_stated is not None:
                result.cost_stated = total_of(result.cost_stated, row["provider_cost"])
    return result
