"""What the published warehouse must contain, computed from landing files alone: plain Python, Decimal, no
product code.

Slow and obvious on purpose. Where the contract leaves room, the choice is marked `choice:`.
"""

import csv
import gzip
import hashlib
import io
import json
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import ROUND_HALF_UP, Context, Decimal, Inexact, localcontext
from fractions import Fraction
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow as pa
import pyarrow.parquet as pq
import zstandard

ZERO = Decimal(0)
LAST_UNIT = Decimal("1e-12")
MONEY_LIMIT = Decimal(10) ** 18
MOST_TOKENS = 10**12
EARLIEST_ENTRY = datetime(2015, 1, 1, tzinfo=UTC)
# By hand from the lists of the standard's agency: those in use, those withdrawn since 1999, and the common
# tokens of the contract.
CURRENCIES = frozenset(
    """
    aed afn all amd aoa ars aud awg azn bam bbd bdt bhd bif bmd bnd bob bov brl bsd btn bwp byn bzd cad
    cdf che chf chw clf clp cny cop cou crc cup cve czk djf dkk dop dzd egp ern etb eur fjd fkp gbp gel
    ghs gip gmd gnf gtq gyd hkd hnl htg huf idr ils inr iqd irr isk jmd jod jpy kes kgs khr kmf kpw krw
    kwd kyd kzt lak lbp lkr lrd lsl lyd mad mdl mga mkd mmk mnt mop mru mur mvr mwk mxn mxv myr mzn nad
    ngn nio nok npr nzd omr pab pen pgk php pkr pln pyg qar ron rsd rub rwf sar sbd scr sdg sek sgd shp
    sle sos srd ssp stn svc syp szl thb tjs tmt tnd top try ttd twd tzs uah ugx usd usn uyi uyu uyw uzs
    ved ves vnd vuv wst xad xaf xag xau xba xbb xbc xbd xcd xcg xdr xof xpd xpf xpt xsu xts xua xxx yer
    zar zmw zwg ang ats bef bgn byr cuc cyp dem eek esp fim frf grd hrk iep itl ltl luf lvl mro mtl nlg
    pte sit skk sll std vef zwl usdc usdt eurc pyusd dai btc eth sol
    """.split()  # noqa: SIM905
)
METADATA_LIMIT = 64 * 1024
IGNORED_ENDINGS = (".tmp", ".part", ".partial")
PROMO_REASONS = frozenset({"signup_bonus", "trial", "promo", "goodwill"})
# Sums must be exact: anything that would round raises.
EXACT = Context(prec=200, traps=[Inexact])
Row = dict[str, Any]
Rows = dict[tuple[Any, ...], Row]


@dataclass(frozen=True)
class LandedFile:
    """One file of the landing area. `loose`: the contract does not say line by line what its rejects are."""

    folder: str
    name: str
    content: bytes
    loose: bool = False

    @property
    def path(self) -> str:
        return f"{self.folder}/{self.name}"


@dataclass(frozen=True)
class OracleSettings:
    as_of: datetime
    reporting_timezone: str = "UTC"
    default_currency: str = "usd"
    low_balance: Decimal = Decimal(1)
    manual_charge_settles_on: str = "created"
    promo_reasons: frozenset[str] = PROMO_REASONS


@dataclass(frozen=True)
class Either:
    """A cell for which the contract allows more than one value."""

    values: tuple[Any, ...]


@dataclass
class Expected:
    """Every table by its grain, and the custom ranges as functions; `ledger` is what they are added up
    from.
    """

    ledger: list[Row] = field(default_factory=list)
    today: date = date.min
    entries: Rows = field(default_factory=dict)
    daily_revenue: Rows = field(default_factory=dict)
    user_days: Rows = field(default_factory=dict)
    wallet_days: Rows = field(default_factory=dict)
    balance_rollforward: Rows = field(default_factory=dict)
    cohorts: Rows = field(default_factory=dict)
    period_kpis: Rows = field(default_factory=dict)
    usage_errors: Rows = field(default_factory=dict)
    users: Rows = field(default_factory=dict)
    rpt_users: Rows = field(default_factory=dict)
    rpt_models: Rows = field(default_factory=dict)
    rejects: Counter[tuple[str, int | None]] = field(default_factory=Counter)
    reject_reasons: dict[tuple[str, int | None], str] = field(default_factory=dict)
    loose_files: set[str] = field(default_factory=set)
    file_records: Counter[str] = field(default_factory=Counter)
    kpis: Callable[[date, date], Rows] = lambda _from, _to: {}
    balances: Callable[[date], Rows] = lambda _day: {}


# ---- reading files


class RejectedError(Exception):
    """A record breaks a rule."""


class UnreadableError(Exception):
    """A file cannot be read at all."""


class JsonNumber(str):
    """A JSON number as its text."""


def _no_constant(text: str) -> Any:
    raise ValueError(f"{text} is not JSON")


def parse_json(text: str) -> Any:
    return json.loads(text, parse_float=JsonNumber, parse_int=JsonNumber, parse_constant=_no_constant)


def json_value(value: Any) -> Any:
    """JSON with every number as a Decimal, so that 1.0 equals 1 and no digit is lost."""
    if isinstance(value, JsonNumber):
        return Decimal(str(value))
    if isinstance(value, dict):
        return {key: json_value(item) for key, item in value.items()}
    return [json_value(item) for item in value] if isinstance(value, list) else value


def decompress(file: LandedFile) -> tuple[str, bytes]:
    """The kind of the file (jsonl, csv, parquet) and its plain bytes."""
    name, content = file.name, file.content
    try:
        if name.endswith(".gz"):
            name, content = name[:-3], gzip.decompress(content)
        elif name.endswith(".zst"):
            frame = zstandard.ZstdDecompressor().decompressobj()
            name, content = name[:-4], frame.decompress(content)
            if not frame.eof:
                raise EOFError("the file is cut short")
    except (OSError, EOFError, zstandard.ZstdError) as error:
        raise UnreadableError(str(error)) from None
    if not content:
        raise UnreadableError("the file is empty")
    return name.rsplit(".", 1)[1], content


def jsonl_records(content: bytes) -> Iterator[tuple[int, Any]]:
    for number, line in enumerate(content.split(b"\n"), 1):
        if not line.strip():
            continue
        try:
            record = parse_json(line.decode())
        except ValueError:
            yield number, RejectedError("not JSON")
            continue
        yield number, record if isinstance(record, dict) else RejectedError("not a JSON object")


def csv_records(content: bytes) -> Iterator[tuple[int, Any]]:
    """Lines are physical lines of the file, the header is line 1; a record has the line on which it
    starts.
    """
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UnreadableError(str(error)) from None
    reader = csv.reader(io.StringIO(text, newline=""))
    header = next(reader)
    start = reader.line_num + 1
    for values in reader:
        if len(values) > len(header):
            yield start, RejectedError("too many fields")
        elif values:
            yield start, {name: value for name, value in zip(header, values, strict=False) if value != ""}
        start = reader.line_num + 1


def parquet_records(content: bytes) -> Iterator[tuple[int, Any]]:
    try:
        table = pq.read_table(pa.BufferReader(content))
    except (pa.ArrowException, OSError) as error:
        raise UnreadableError(str(error)) from None
    for number, record in enumerate(table.to_pylist(), 1):
        yield number, {name: value for name, value in record.items() if value is not None}


READERS = {"jsonl": jsonl_records, "csv": csv_records, "parquet": parquet_records}


def read_files(
    files: Iterable[LandedFile], folder: str, expected: Expected
) -> Iterator[tuple[LandedFile, int, Row]]:
    """Every record of a folder in landing order; what cannot be read goes to the rejects."""
    seen: set[str] = set()
    for file in files:
        name = file.name
        if file.folder != folder or name.startswith(".") or name.endswith(IGNORED_ENDINGS):
            continue
        digest = hashlib.sha256(file.content).hexdigest()
        if digest in seen:
            continue
        if file.loose:
            expected.loose_files.add(file.path)
        try:
            kind, content = decompress(file)
            records = list(READERS[kind](content))
            seen.add(digest)  # content that could not be read under this name may be readable under another
            for line, record in records:
                expected.file_records[file.path] += 1
                if isinstance(record, RejectedError):
                    reject(expected, file, line, str(record))
                else:
                    yield file, line, record
        except UnreadableError as error:
            reject(expected, file, None, str(error))


def reject(expected: Expected, file: LandedFile, line: int | None, reason: str) -> None:
    if not file.loose:
        expected.rejects[(file.path, line)] += 1
        expected.reject_reasons[(file.path, line)] = reason


# ---- fields

INSTANT = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[Tt ](\d\d):(\d\d):(\d\d)(?:\.(\d+))?(?:([Zz])|([+-])(\d\d):(\d\d))", re.ASCII
)
NUMBER = re.compile(r"[+-]?\d+(\.\d+)?([eE][+-]?\d+)?", re.ASCII)


def as_text(value: Any, name: str, *, required: bool = False, limit: int | None = None) -> str | None:
    if value is None or value == "":
        if required:
            raise RejectedError(f"{name} is missing")
        return None
    if not isinstance(value, str) or isinstance(value, JsonNumber):
        raise RejectedError(f"{name} is not text")
    if limit and len(value) > limit:
        raise RejectedError(f"{name} is longer than {limit}")
    return value


def as_instant(value: Any, name: str, *, required: bool = False) -> datetime | None:
    if isinstance(value, datetime):  # a Parquet timestamp
        if value.tzinfo is None:
            raise RejectedError(f"{name} has no offset")
        return not_too_early(value.astimezone(UTC), name)
    text = as_text(value, name, required=required)
    if text is None:
        return None
    match = INSTANT.fullmatch(text)
    if not match:
        raise RejectedError(f"{name} is not RFC 3339 with an offset")
    *parts, fraction, zulu, sign, hours, minutes = match.groups()
    try:
        year, month, day, hour, minute, second = map(int, parts)
        microsecond = int((fraction or "")[:6].ljust(6, "0"))  # choice: digits past the microsecond are cut
        instant = datetime(year, month, day, hour, minute, second, microsecond, UTC)
    except ValueError:
        raise RejectedError(f"{name} is no instant") from None
    if zulu:
        return not_too_early(instant, name)
    if int(hours) > 23 or int(minutes) > 59:
        raise RejectedError(f"{name} has no valid offset")
    offset = timedelta(hours=int(hours), minutes=int(minutes))
    return not_too_early(instant - offset if sign == "+" else instant + offset, name)


def not_too_early(instant: datetime, name: str) -> datetime:
    if instant < EARLIEST_ENTRY:
        raise RejectedError(f"{name} is before EARLIEST_ENTRY")
    return instant


def as_money(value: Any, name: str, *, required: bool = False, signed: bool = False) -> Decimal | None:
    if value is None or value == "":
        if required:
            raise RejectedError(f"{name} is missing")
        return None
    if isinstance(value, Decimal):
        value = format(value, "f")
    elif isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str) or not NUMBER.fullmatch(value):
        raise RejectedError(f"{name} is not a decimal number")
    number = Decimal(str(value))
    if number and (number.adjusted() >= 18 or abs(number) >= MONEY_LIMIT):
        raise RejectedError(f"{name} is too long")
    _, digits, exponent = number.as_tuple()
    surplus = -int(exponent) - 12
    if surplus > 0 and any(digits[-surplus:]):
        raise RejectedError(f"{name} has more than 12 decimals")
    if number < 0 and not signed:
        raise RejectedError(f"{name} is negative")
    return abs(number.quantize(LAST_UNIT)) if number == 0 else number.quantize(LAST_UNIT)


def as_tokens(value: Any, name: str) -> int | None:
    if value is None or value == "":
        return None
    if isinstance(value, bool) or not isinstance(value, (int, str)):
        raise RejectedError(f"{name} is not a whole number")
    if not re.fullmatch(r"-?\d+", str(value), re.ASCII):
        raise RejectedError(f"{name} is not a whole number")
    number = int(value)
    if number < 0 or number > MOST_TOKENS:
        raise RejectedError(f"{name} is out of range")
    return number


def as_currency(value: Any) -> str | None:
    text = as_text(value, "currency")
    if text is not None and not re.fullmatch(r"[A-Za-z]{3,5}", text):
        raise RejectedError("currency is not 3 to 5 letters")
    if text and text.lower() not in CURRENCIES:
        raise RejectedError("currency is not known")
    return text.lower() if text else None


def as_billing(value: Any) -> str:
    text = (as_text(value, "billing") or "prepaid").lower()
    if text not in ("prepaid", "postpaid"):
        raise RejectedError("billing is neither prepaid nor postpaid")
    return text


def as_object(value: Any, name: str) -> Row:
    if value is None or value == "":
        return {}
    if isinstance(value, str) and not isinstance(value, JsonNumber):
        if len(value.encode()) > METADATA_LIMIT:
            raise RejectedError(f"{name} is longer than 64 KiB")
        try:
            value = parse_json(value)
        except ValueError:
            raise RejectedError(f"{name} is not JSON") from None
    if not isinstance(value, dict):
        raise RejectedError(f"{name} is not a JSON object")
    if len(json.dumps(value)) > METADATA_LIMIT:
        raise RejectedError(f"{name} is longer than 64 KiB")
    return value


def first_text(*values: Any) -> str | None:
    return next((str(value) for value in values if value not in (None, "")), None)


# ---- ledger records

TYPES = {name: name for name in ("deposit", "charge", "refund", "adjustment", "withdrawal")}
TYPES |= {"topup": "deposit", "withdraw": "withdrawal"}
STATUSES = {name: name for name in ("pending", "settled", "failed", "reversed")}
STATUSES |= {"completed": "settled", "succeeded": "settled", "canceled": "failed", "cancelled": "failed"}
STATUSES |= {"voided": "failed"}
TOKENS = ("prompt_tokens", "completion_tokens", "total_tokens", "cached_tokens", "reasoning_tokens")
LEDGER_FIELDS = {
    "id",
    "timestamp",
    "updated_at",
    "type",
    "status",
    "user",
    "paywall",
    "amount",
    "currency",
    "request_id",
    "model",
    *TOKENS,
    "provider_cost",
    "provider_cost_currency",
    "platform_fees",
    "related_id",
    "billing",
    "metadata",
}


def ledger_version(record: Row) -> Row:
    """One accepted entry version, or `RejectedError`."""
    entry_type = TYPES.get((as_text(record.get("type"), "type", required=True) or "").lower())
    if entry_type is None:
        raise RejectedError("type is unknown")
    status = STATUSES.get((as_text(record.get("status"), "status") or "settled").lower())
    if status is None:
        raise RejectedError("status is unknown")
    occurred_at = as_instant(record.get("timestamp"), "timestamp", required=True)
    metadata = as_object(record.get("metadata"), "metadata")
    extra = {name: value for name, value in record.items() if name not in LEDGER_FIELDS}
    tokens = {name: as_tokens(record.get(name), name) for name in TOKENS}
    parts = [count for count in (tokens["prompt_tokens"], tokens["completion_tokens"]) if count is not None]
    if tokens["total_tokens"] is None and parts:
        tokens["total_tokens"] = sum(
            parts
        )  # choice: an unstated half counts 0, as long as the other half is stated
    return {
        "entry_id": as_text(record.get("id"), "id", required=True, limit=255),
        "occurred_at": occurred_at,
        "updated_at": as_instant(record.get("updated_at"), "updated_at") or occurred_at,
        "entry_type": entry_type,
        "status": status,
        "user_id": as_text(record.get("user"), "user", required=entry_type != "withdrawal", limit=255),
        "paywall_id": as_text(record.get("paywall"), "paywall", required=True, limit=255),
        "amount": as_money(record.get("amount"), "amount", required=True, signed=entry_type == "adjustment"),
        "currency": as_currency(record.get("currency")),
        "request_id": (
            as_text(record.get("request_id"), "request_id")
            or first_text(metadata.get("requestId"), metadata.get("request_id"))
        ),
        "model": as_text(record.get("model"), "model"),
        **tokens,
        "provider_cost": as_money(record.get("provider_cost"), "provider_cost"),
        "provider_cost_currency": as_currency(record.get("provider_cost_currency")),
        "platform_fees": as_money(record.get("platform_fees"), "platform_fees"),
        "related_entry_id": as_text(record.get("related_id"), "related_id"),
        "metadata": json_value(metadata | ({"extra": extra} if extra else {})) or None,
        "payment_intent_id": first_text(metadata.get("payment_intent")),
        "charge_id": first_text(metadata.get("charge")),
        "checkout_session_id": first_text(metadata.get("checkout_session")),
        "payment_id": first_text(metadata.get("payment_id")),
        "stated_rail": first_text(metadata.get("rail")),
        "stated_funding": first_text(metadata.get("funding")),
        "reason": first_text(metadata.get("reason")),
        "is_trial": False,
        "from_stripe": False,
        "stated_billing": as_billing(record.get("billing")),
        "source": "ledger",
    }


# ---- webhook events

ENTRY_EVENTS = {
    "balance.deposit.created", "balance.trial.granted", "usage.charge.created",
    "balance.charge.created", "balance.charge.completed", "balance.charge.failed",
}  # fmt: skip
ERROR_EVENTS = {
    "balance.charge.failed",
    "balance.depleted",
    "request.blocked",
    "usage.rate.limited",
    "proxy.request.failed",
    "proxy.request.blocked",
}
USER_STATUS = {
    "requested": "requested",
    "completed": "connected",
    "declined": "declined",
    "revoked": "revoked",
}
AUTHORIZATION_EVENTS = {f"authorization.{name}": status for name, status in USER_STATUS.items()}
# Everything else is "kept in raw, counted, changes nothing".
MEANINGFUL_EVENTS = {*ENTRY_EVENTS, *ERROR_EVENTS, *AUTHORIZATION_EVENTS, "stripe.checkout.session.completed"}
LIFECYCLE = {"balance.charge.completed": 1, "balance.charge.failed": 2}


def webhook_event(body: Row) -> Row:
    """One accepted delivery, or `RejectedError`; both body shapes."""
    if "event" in body:
        body = as_object(body["event"], "event")
    data, metadata = as_object(body.get("data"), "data"), as_object(body.get("metadata"), "metadata")
    subject = as_object(body.get("subject"), "subject")
    kind = (as_text(body.get("type"), "type", required=True) or "").removeprefix("paywall.")
    envelope = {
        "event_id": as_text(body.get("id"), "id", required=True, limit=255),
        "event_type": kind,
        "occurred_at": as_instant(body.get("createdAt"), "createdAt", required=True),
        "paywall_id": as_text(
            first_text(body.get("paywallId"), data.get("paywallId")), "paywallId", required=True
        ),
    }
    if kind not in MEANINGFUL_EVENTS:
        return envelope
    event = envelope | {
        "wallet": as_text(data.get("walletUserId"), "walletUserId", limit=255),
        "external": as_text(
            data.get("externalUserId") or subject.get("externalId"), "externalUserId", limit=255
        ),
        "activity_id": as_text(
            data.get("activityId"), "activityId", required=kind in ENTRY_EVENTS, limit=255
        ),
        "amount": as_money(
            next((data[name] for name in ("amount", "cost", "credits") if data.get(name) is not None), None),
            "amount",
            required=kind in ENTRY_EVENTS - {"balance.charge.completed"},
        ),
        "currency": as_currency(data.get("currency")),
        "model": as_text(data.get("model"), "model"),
        "prompt_tokens": as_tokens(data.get("promptTokens"), "promptTokens"),
        "completion_tokens": as_tokens(data.get("completionTokens"), "completionTokens"),
        "request_id": first_text(
            data.get("requestId"),
            data.get("deferredRequestId"),
            metadata.get("requestId"),
            metadata.get("request_id"),
        ),
        "error_code": first_text(data.get("errorCode")),
        "data_reason": first_text(data.get("reason")),
        "requested_amount": as_money(data.get("requestedAmount"), "requestedAmount"),
        "available_balance": as_money(data.get("availableBalance"), "availableBalance", signed=True),
        "metadata": json_value(metadata) or None,
        "payment_intent_id": first_text(metadata.get("paymentIntent"), metadata.get("payment_intent")),
        "charge_id": first_text(metadata.get("charge")),
        "checkout_session_id": first_text(data.get("checkoutSessionId"), metadata.get("checkout_session")),
        "payment_id": first_text(metadata.get("payment_id")),
        "stated_rail": first_text(metadata.get("rail")),
        "stated_funding": first_text(metadata.get("funding")),
        "reason": first_text(metadata.get("reason")),
        "from_stripe": str(data.get("source") or "").startswith("stripe") or None,
        "is_trial": kind == "balance.trial.granted" or None,
    }
    if kind in ENTRY_EVENTS - {"balance.charge.completed"} and not (event["wallet"] or event["external"]):
        raise RejectedError("no user")
    return event


def unique_events(events: list[Row]) -> list[Row]:
    """Once per event id: the delivery that landed last."""
    return list({event["event_id"]: event for event in events}.values())


def wallet_owners(events: list[Row]) -> dict[str, str]:
    """What each wallet id was last mapped to."""
    owners: dict[str, str] = {}
    for event in sorted(events, key=lambda one: (one["occurred_at"], one["event_id"])):
        if event["wallet"] and event["external"]:
            owners[event["wallet"]] = event["external"]
    return owners


def owner_of(event: Row, owners: dict[str, str]) -> str | None:
    return event["external"] or owners.get(event["wallet"], event["wallet"])


def webhook_entries(events: list[Row], owners: dict[str, str], settings: OracleSettings) -> dict[str, Row]:
    """One entry per activity: every field as it was last stated."""
    activities: dict[str, list[Row]] = defaultdict(list)
    for event in events:
        if event["event_type"] in ENTRY_EVENTS:
            activities[event["activity_id"]].append(event)
    entries = {}
    for activity, parts in activities.items():
        parts.sort(key=lambda one: (one["occurred_at"], LIFECYCLE.get(one["event_type"], 0)))
        merged: Row = {}
        for part in parts:
            merged |= {name: value for name, value in part.items() if value is not None or name not in merged}
        if merged["amount"] is None:
            continue  # a settlement whose charge never came states no amount
        last = parts[-1]["event_type"]
        waits = settings.manual_charge_settles_on == "completed"
        # Only what a manual charge's own `completed` settles waits, and only as long as nothing else is
        # stated.
        stated = [
            part["event_type"]
            for part in parts
            if not (waits and part["event_type"] == "balance.charge.created")
        ]
        pending = not stated
        failed = bool(stated) and stated[-1] == "balance.charge.failed"
        is_deposit = last in ("balance.deposit.created", "balance.trial.granted")
        tokens = [merged[name] for name in ("prompt_tokens", "completion_tokens") if merged[name] is not None]
        entries[activity] = {
            **dict.fromkeys(TOKENS),
            **{
                name: merged[name] for name in merged if name not in ("event_id", "event_type", "activity_id")
            },
            "entry_id": activity,
            "occurred_at": parts[0]["occurred_at"],
            "updated_at": parts[-1]["occurred_at"],
            "entry_type": "deposit" if is_deposit else "charge",
            "status": "pending" if pending else "failed" if failed else "settled",
            "user_id": owner_of(merged, owners),
            "total_tokens": sum(tokens) if tokens else None,
            "provider_cost": None,
            "provider_cost_currency": None,
            "platform_fees": None,
            "related_entry_id": None,
            "is_trial": bool(merged["is_trial"]),
            "from_stripe": bool(merged["from_stripe"]),
            "stated_billing": "prepaid",
            "source": "webhook",
        }
    return entries


# ---- price book


def read_rates(
    files: Iterable[LandedFile], expected: Expected, default_currency: str
) -> dict[str, list[Row]]:
    """Rates by model, in landing order."""
    rates: dict[str, list[Row]] = defaultdict(list)
    for _, _, record in read_files(files, "prices", expected):
        per_million = {
            name: as_money(record.get(f"{name}_per_million"), name)
            for name in ("prompt", "completion", "cached_prompt")
        }
        rates[record["model"].lower()].append(
            {
                "from": (
                    date.fromisoformat(record["effective_from"]) if record.get("effective_from") else date.min
                ),
                "to": date.fromisoformat(record["effective_to"]) if record.get("effective_to") else date.max,
                "currency": record.get("currency", default_currency).lower(),
                "per_request": as_money(record.get("per_request"), "per_request") or ZERO,
                **per_million,
            }
        )
    return rates


def estimated_cost(entry: Row, rates: dict[str, list[Row]]) -> Decimal | None:
    """Tokens times the rate of the day, in the entry's own currency; unknown without tokens, or where a kind
    of them has no rate.

    Of several rates for a day and currency the one with the latest start holds, then the last landed.
    choice: cached tokens without a rate of their own are prompt tokens as any others.
    """
    if entry["prompt_tokens"] is None and entry["completion_tokens"] is None:
        return None
    prompt, completion, cached = (
        entry["prompt_tokens"] or 0,
        entry["completion_tokens"] or 0,
        entry["cached_tokens"] or 0,
    )
    if cached > prompt:  # no part of the prompt: what the numbers mean is unknown
        return None
    held = [
        rate
        for rate in rates.get(entry["model_id"].lower(), [])
        if rate["from"] <= entry["entry_date"] < rate["to"] and rate["currency"] == entry["currency"]
    ]
    if not held:
        return None
    latest = max(rate["from"] for rate in held)
    rate = [rate for rate in held if rate["from"] == latest][-1]
    cached_rate = rate["prompt"] if rate["cached_prompt"] is None else rate["cached_prompt"]
    millions = ZERO
    for tokens, price in (
        (prompt - cached, rate["prompt"]),
        (cached, cached_rate),
        (completion, rate["completion"]),
    ):
        if tokens and price is None:
            return None
        millions += tokens * (price or ZERO)
    cost: Decimal = millions.scaleb(-6) + rate["per_request"]
    with localcontext(Context(prec=200)):
        return cost.quantize(LAST_UNIT, ROUND_HALF_UP)


# ---- entries' meaning


def model_name(text: str | None) -> str | None:
    """`provider/name` in lower case where the provider is stated, else the text as it came.

    Test models are unknown to the built-in price book, so that the book decides nothing here.
    """
    return text.lower() if text and "/" in text else text


def is_postpaid(entry: Row) -> bool:
    return bool(entry["stated_billing"] == "postpaid")


def billed_by(entry: Row) -> str:
    """Who bills the operator for a charge: what its metadata say, else the provider of its model."""
    stated = (entry["metadata"] or {}).get("billed_by")
    provider = entry["model_id"].partition("/")[0] if "/" in entry["model_id"] else ""
    return str(stated or "").strip().lower() or provider.lower() or "unknown"


def finish_entries(
    raw: dict[str, Row], rates: dict[str, list[Row]], settings: OracleSettings
) -> dict[str, Row]:
    zone = ZoneInfo(settings.reporting_timezone)
    entries = {entry_id: dict(entry) for entry_id, entry in raw.items()}
    for entry in entries.values():
        entry["entry_date"] = entry["occurred_at"].astimezone(zone).date()
        entry["currency"] = entry["currency"] or settings.default_currency
        entry["model_id"] = model_name(entry["model"])
        if entry["entry_type"] == "charge" and entry["model_id"] is None:
            entry["model_id"] = "unknown"
    for entry in entries.values():
        kind, settled, amount = entry["entry_type"], entry["status"] == "settled", entry["amount"]
        related = entries.get(entry["related_entry_id"])
        of_deposit = kind == "refund" and related is not None and related["entry_type"] == "deposit"
        if kind == "refund" and entry["model_id"] is None and related and related["entry_type"] == "charge":
            entry["model_id"] = related["model_id"]
        entry["of_deposit"] = of_deposit
        entry["revenue"] = amount if settled and kind == "charge" else ZERO
        entry["refunds"] = amount if settled and kind == "refund" and not of_deposit else ZERO
        adds = kind in ("deposit", "adjustment") or (kind == "refund" and not of_deposit)
        of_postpaid = related is not None and related["entry_type"] == "charge" and is_postpaid(related)
        postpaid = is_postpaid(entry) if kind == "charge" else kind == "refund" and of_postpaid
        entry["billing"] = "postpaid" if postpaid else "prepaid"
        moves = settled and entry["user_id"] is not None and not postpaid
        entry["balance_effect"] = (amount if adds else -amount) if moves else ZERO
        entry["billed_by"] = billed_by(entry) if kind == "charge" else None
        cost_currency = entry["provider_cost_currency"] or entry["currency"]
        entry["provider_cost_basis"] = "reported"
        if entry["provider_cost"] is None:
            entry["provider_cost_basis"] = None
            if kind == "charge":
                entry["provider_cost"] = estimated_cost(entry, rates)
                entry["provider_cost_basis"] = "unknown" if entry["provider_cost"] is None else "estimated"
                if entry["provider_cost"] is not None:
                    cost_currency = entry["currency"]
        has_cost_currency = kind == "charge" or entry["provider_cost"] is not None
        entry["provider_cost_currency"] = cost_currency if has_cost_currency else None
        stripe_key = any(entry[name] for name in ("payment_intent_id", "charge_id", "checkout_session_id"))
        entry["funding"], entry["rail"] = None, entry["stated_rail"]
        if kind == "deposit":
            by_reason = not (stripe_key or entry["payment_id"]) and entry["reason"] in settings.promo_reasons
            stated = (entry["stated_funding"] or "").lower()
            promo = stated == "promo" or entry["is_trial"] or by_reason
            entry["funding"] = "promo" if promo else "paid"
            entry["rail"] = entry["stated_rail"] or (
                "stripe" if stripe_key or entry["from_stripe"] else "unknown"
            )
    return entries


# ---- measures


def total(values: Iterable[Decimal]) -> Decimal:
    return sum(values, ZERO)


def ratio(numerator: Decimal | int, denominator: Decimal | int) -> float | None:
    return float(Fraction(numerator) / Fraction(denominator)) if denominator else None


def measures(entries: list[Row]) -> Row:
    """The sums of 4.2 over any set of entries."""
    settled = [one for one in entries if one["entry_type"] == "charge" and one["status"] == "settled"]
    counted = [one for one in entries if one["entry_type"] == "charge" and one["status"] != "pending"]
    row: Row = {"charges": len(settled)}
    for name in ("prompt_tokens", "completion_tokens", "total_tokens"):
        known = [one[name] for one in settled if one[name] is not None]
        # choice: where no charge states its tokens, the sum may be shown as unknown or as 0
        row[name] = sum(known) if known or not settled else Either((0, None))
    row["revenue"] = total(one["amount"] for one in settled)
    row["refunds"] = total(one["refunds"] for one in entries)
    row["net_revenue"] = row["revenue"] - row["refunds"]
    # A cost in another currency is unknown in this one.
    known_costs = [
        one["provider_cost"]
        for one in counted
        if one["provider_cost"] is not None and one["provider_cost_currency"] == one["currency"]
    ]
    row["provider_cost"] = total(known_costs)  # choice: 0 where no cost is known; see charges_without_cost
    row["platform_fees"] = total(one["platform_fees"] or ZERO for one in settled)
    row["profit"] = row["revenue"] - row["provider_cost"] - row["platform_fees"]
    row["net_profit"] = row["net_revenue"] - row["provider_cost"] - row["platform_fees"]
    row["charges_without_cost"] = len(counted) - len(known_costs)
    row["counted"], row["known_costs"] = len(counted), len(known_costs)
    row["active_users"] = {one["user_id"] for one in counted if one["status"] in ("settled", "failed")}
    row["payers"] = {one["user_id"] for one in settled if one["amount"] > 0}
    return row


DAILY = (
    "charges", "prompt_tokens", "completion_tokens", "total_tokens", "revenue", "refunds", "net_revenue",
    "provider_cost", "platform_fees", "profit", "net_profit", "charges_without_cost",
)  # fmt: skip
MOVEMENTS = (
    "deposits", "promo_deposits", "charged", "refunds", "deposit_refunds", "withdrawals", "adjustments"
)  # fmt: skip


def movements(entries: list[Row]) -> Row:
    """The settled movements of wallets, as 4.2 names them."""
    row: Row = dict.fromkeys(MOVEMENTS, ZERO)
    for one in entries:
        if one["status"] != "settled" or one["user_id"] is None or one["billing"] == "postpaid":
            continue
        name = {"charge": "charged", "adjustment": "adjustments", "withdrawal": "withdrawals"}.get(
            one["entry_type"]
        )
        if one["entry_type"] == "deposit":
            name = "deposits" if one["funding"] == "paid" else "promo_deposits"
        elif one["entry_type"] == "refund":
            name = "deposit_refunds" if one["of_deposit"] else "refunds"
        row[str(name)] += one["amount"]
    return row


def closing(opening: Decimal, moved: Row) -> Decimal:
    balance: Decimal = (
        opening + moved["deposits"] + moved["promo_deposits"] - moved["charged"] + moved["refunds"]
        - moved["deposit_refunds"] - moved["withdrawals"] + moved["adjustments"]
    )  # fmt: skip
    return balance


def group(entries: Iterable[Row], *names: str) -> dict[tuple[Any, ...], list[Row]]:
    groups: dict[tuple[Any, ...], list[Row]] = defaultdict(list)
    for one in entries:
        groups[tuple(one[name] for name in names)].append(one)
    return groups


def days_between(first: date, last: date) -> Iterator[date]:
    """Both included."""
    for offset in range((last - first).days + 1):
        yield first + timedelta(days=offset)


def month_of(day: date) -> date:
    return day.replace(day=1)


def next_month(month: date) -> date:
    return month_of(month + timedelta(days=32))


# ---- tables


Entries = Callable[[Row], bool]


def every(_entry: Row) -> bool:
    return True


def first_payments(entries: Iterable[Row]) -> dict[str, date]:
    """Each payer's first day with a settled charge above 0."""
    first: dict[str, date] = {}
    for one in entries:
        if one["revenue"] > 0:
            first[one["user_id"]] = min(first.get(one["user_id"], date.max), one["entry_date"])
    return first


def daily_revenue_rows(entries: list[Row]) -> Rows:
    rows = {}
    for one in entries:
        one["day_model"] = one["model_id"] or "unknown"
    counts = [one for one in entries if one["entry_type"] == "charge" or one["refunds"]]
    for key, part in group(counts, "entry_date", "paywall_id", "day_model", "currency").items():
        sums = measures(part)
        rows[key] = {name: sums[name] for name in DAILY}
    return rows


def user_day_rows(entries: list[Row]) -> Rows:
    first_paid = first_payments(entries)
    rows = {}
    owned = [one for one in entries if one["user_id"] is not None]
    for key, part in group(owned, "entry_date", "user_id", "paywall_id", "currency").items():
        sums, moved = measures(part), movements(part)
        rows[key] = {name: sums[name] for name in DAILY}
        rows[key] |= {"deposits": moved["deposits"], "promo_deposits": moved["promo_deposits"]}
        rows[key]["is_new_payer"] = bool(sums["payers"]) and first_paid[key[1]] == key[0]
    return rows


def wallet_day_rows(entries: list[Row]) -> Rows:
    """Days with a settled entry of the wallet; choice: an entry of 0 is a movement too."""
    rows: Rows = {}
    settled = [
        one
        for one in entries
        if one["status"] == "settled" and one["user_id"] is not None and one["billing"] == "prepaid"
    ]
    for wallet, part in group(settled, "user_id", "paywall_id", "currency").items():
        by_day = group(part, "entry_date")
        days = sorted(day for (day,) in by_day)
        opening = ZERO
        for day, following in zip(days, [*days[1:], None], strict=True):
            moved = movements(by_day[(day,)])
            balance = closing(opening, moved)
            rows[(*wallet, day)] = {
                "opening_balance": opening, **moved, "closing_balance": balance, "valid_to": following,
            }  # fmt: skip
            opening = balance
    return rows


def rollforward_rows(entries: list[Row], today: date) -> Rows:
    rows: Rows = {}
    if not entries:
        return rows
    first, last = min(one["entry_date"] for one in entries), max(one["entry_date"] for one in entries)
    by_day = group(entries, "entry_date", "currency")
    for currency in {one["currency"] for one in entries}:
        opening = ZERO
        for day in days_between(first, max(today, last)):
            moved = movements(by_day.get((day, currency), []))
            balance = closing(opening, moved)
            rows[(day, currency)] = {"opening_balance": opening, **moved, "closing_balance": balance}
            opening = balance
    return rows


def cohort_rows(entries: list[Row], today: date, counts: Entries = every, belongs: Entries = every) -> Rows:
    """All entries of a user who may decide who belongs to a cohort; what happened is counted from those that
    count.
    """
    rows: Rows = {}
    last_month = month_of(max([today, *(one["entry_date"] for one in entries)]))
    for (currency,), part in group(entries, "currency").items():
        cohorts: dict[date, set[str]] = defaultdict(set)
        for user, day in first_payments(filter(belongs, part)).items():
            cohorts[month_of(day)].add(user)
        counted = list(filter(counts, part))
        for cohort, users in cohorts.items():
            month, since, revenue, profit = cohort, 0, ZERO, ZERO
            while month <= last_month:
                of_month = [
                    one for one in counted if one["user_id"] in users and month_of(one["entry_date"]) == month
                ]
                sums = measures(of_month)
                revenue, profit = revenue + sums["revenue"], profit + sums["profit"]
                rows[(cohort, currency, since)] = {
                    "cohort_size": len(users),
                    "active_payers": len(sums["payers"]),
                    "retention_rate": ratio(len(sums["payers"]), len(users)),
                    "revenue": sums["revenue"],
                    "cumulative_revenue": revenue,
                    "cumulative_profit": profit,
                    "revenue_per_user": ratio(sums["revenue"], len(users)),
                    "is_complete": next_month(month) <= today,
                }
                month, since = next_month(month), since + 1
    return rows


def kpi_row(entries: list[Row], currency: str, start: date, end: date, first_paid: dict[str, date]) -> Row:
    part = [one for one in entries if one["currency"] == currency and start <= one["entry_date"] < end]
    sums, moved = measures(part), movements(part)
    payers = sums["payers"]
    new = {user for user in payers if start <= first_paid[user] < end}
    names = (
        "charges",
        "total_tokens",
        "revenue",
        "refunds",
        "net_revenue",
        "provider_cost",
        "platform_fees",
        "profit",
        "net_profit",
    )
    return {
        "period_start": start,
        "period_end": end,
        **{name: sums[name] for name in names},
        "margin": ratio(sums["profit"], sums["revenue"]),
        "active_users": len(sums["active_users"]),
        "active_payers": len(payers),
        "new_payers": len(new),
        "returning_payers": len(payers) - len(new),
        "arpu": ratio(sums["revenue"], len(payers)),
        "deposits": moved["deposits"],
        "promo_deposits": moved["promo_deposits"],
        "cost_coverage": ratio(sums["known_costs"], sums["counted"]),
    }


PREVIOUS = ("revenue", "provider_cost", "profit", "active_payers", "arpu")


def with_previous(
    entries: list[Row], currency: str, bounds: tuple[date, ...], first_paid: dict[str, date]
) -> Row:
    row = kpi_row(entries, currency, bounds[0], bounds[1], first_paid)
    before = kpi_row(entries, currency, bounds[2], bounds[3], first_paid) if len(bounds) == 4 else {}
    row |= {f"previous_{name}": before.get(name) for name in PREVIOUS}
    return row | {"previous_start": before.get("period_start"), "previous_end": before.get("period_end")}


def periods(today: date, first_day: date) -> dict[str, tuple[date, ...]]:
    """Start, end and, but for all_time, start and end of the period before."""
    tomorrow, month = today + timedelta(days=1), month_of(today)
    last_month = month_of(month - timedelta(days=1))
    bounds: dict[str, tuple[date, ...]] = {
        "today": (today, tomorrow),
        "yesterday": (today - timedelta(days=1), today),
        "previous_month": (last_month, month),
    }
    bounds |= {f"last_{days}_days": (tomorrow - timedelta(days=days), tomorrow) for days in (7, 30, 90)}
    bounds = {name: (start, end, start - (end - start), start) for name, (start, end) in bounds.items()}
    bounds["month_to_date"] = (month, tomorrow, last_month, last_month + (tomorrow - month))
    bounds["all_time"] = (first_day, tomorrow)
    return bounds


def user_rows(entries: list[Row], events: list[Row], owners: dict[str, str]) -> Rows:
    seen: dict[str, list[datetime]] = defaultdict(list)
    for one in entries:
        if one["user_id"] is not None:
            seen[one["user_id"]].append(one["occurred_at"])
    statuses: dict[str, Row] = {}
    latest: dict[str, Row] = {}
    for event in sorted(events, key=lambda one: (one["occurred_at"], one["event_id"])):
        user = owner_of(event, owners)
        if user is not None:
            seen[user].append(event["occurred_at"])
            if event["event_type"] in AUTHORIZATION_EVENTS:
                statuses[user] = event
            latest[user] = event
    first_paid = first_payments(entries)
    rows: Rows = {}
    for user, instants in seen.items():
        settled = [one for one in entries if one["user_id"] == user and one["status"] == "settled"]
        firsts = {
            kind: min((one["occurred_at"] for one in settled if one["entry_type"] == kind), default=None)
            for kind in ("deposit", "charge")
        }
        rows[(user,)] = {
            "status": AUTHORIZATION_EVENTS[statuses[user]["event_type"]] if user in statuses else "unknown",
            "status_event": statuses[user]["event_type"] if user in statuses else None,
            "status_at": statuses[user]["occurred_at"] if user in statuses else None,
            "last_event_type": latest[user]["event_type"] if user in latest else None,
            "last_event_at": latest[user]["occurred_at"] if user in latest else None,
            "first_seen_at": min(instants),
            "last_activity_at": max(instants),
            "first_deposit_at": firsts["deposit"],
            "first_charge_at": firsts["charge"],
            "cohort_month": month_of(first_paid[user]) if user in first_paid else None,
        }
    return rows


def usage_error_rows(events: list[Row], owners: dict[str, str], settings: OracleSettings) -> Rows:
    zone = ZoneInfo(settings.reporting_timezone)
    by_itself = {"balance.depleted": "balance_depleted", "usage.rate.limited": "rate_limited"}
    rows: Rows = {}
    for event in events:
        kind = event["event_type"]
        if kind in ERROR_EVENTS:
            rows[(event["event_id"],)] = {
                "occurred_at": event["occurred_at"],
                "error_date": event["occurred_at"].astimezone(zone).date(),
                "user_id": owner_of(event, owners),
                "paywall_id": event["paywall_id"],
                "model_id": model_name(event["model"]),
                "error_kind": kind,  # choice: the contract names the column, not its words
                "error_code": event["error_code"] or event["data_reason"] or by_itself.get(kind),
                "request_id": event["request_id"],
                "requested_amount": (
                    event["requested_amount"]
                    if event["requested_amount"] is not None or kind != "balance.charge.failed"
                    else event["amount"]
                ),
                "available_balance": event["available_balance"],
            }
    return rows


def band(balance: Decimal, low: Decimal) -> str:
    if balance < 0:
        return "negative"
    return "zero" if balance == 0 else "low" if balance < low else "high"


def user_report_rows(
    entries: list[Row], users: Rows, errors: Rows, today: date, settings: OracleSettings
) -> Rows:
    window = today - timedelta(days=29)
    first_paid = first_payments(entries)
    by_key = group(entries, "user_id", "currency")
    keys = {key for key in by_key if key[0] is not None}
    # choice: a user known from events alone has one row, in the default currency
    keys |= {(user, settings.default_currency) for (user,) in users if user not in {key[0] for key in keys}}
    rows: Rows = {}
    for user, currency in keys:
        part = by_key.get((user, currency), [])
        sums, moved = measures(part), movements(part)
        balance = closing(ZERO, moved)
        own_errors = sorted(
            (row for row in errors.values() if row["user_id"] == user), key=lambda r: r["occurred_at"]
        )
        recent = [row for row in own_errors if window <= row["error_date"] <= today]
        new = window <= first_paid.get(user, date.min) <= today
        payer_types = set()
        for scope in (part, [one for one in entries if one["user_id"] == user]):
            paid = any(one["revenue"] > 0 and window <= one["entry_date"] <= today for one in scope)
            payer_types.add(("new" if new else "returning") if paid else "none")
        per_charge = ratio(sums["provider_cost"], sums["charges"])
        rows[(user, currency)] = {
            "status": users[(user,)]["status"],
            "balance": balance,
            "balance_band": band(balance, settings.low_balance),
            "total_spend": sums["revenue"],
            "total_deposits": moved["deposits"],
            "charges": sums["charges"],
            "provider_cost": sums["provider_cost"],
            "profit": sums["profit"],
            # choice: where no cost is known, the cost to serve may be unknown too
            "cost_to_serve": per_charge if sums["known_costs"] else Either((per_charge, None)),
            # choice: a payer in this row's currency, or in any
            "payer_type": payer_types.pop() if len(payer_types) == 1 else Either(tuple(sorted(payer_types))),
            "last_activity_at": users[(user,)]["last_activity_at"],
            "errors_30d": len(recent),
            "last_error_code": own_errors[-1]["error_code"] if own_errors else None,
            "last_error_at": own_errors[-1]["occurred_at"] if own_errors else None,
        }
    return rows


def model_report_rows(entries: list[Row], bounds: dict[str, tuple[date, ...]]) -> Rows:
    rows: Rows = {}
    for period, (start, end, *_) in bounds.items():
        inside = [
            one for one in entries if start <= one["entry_date"] < end and one["entry_type"] == "charge"
        ]
        revenue_of = {
            key: total(one["revenue"] for one in part) for key, part in group(inside, "currency").items()
        }
        for (model, currency), part in group(inside, "model_id", "currency").items():
            sums = measures(part)
            names = ("charges", "total_tokens", "revenue", "provider_cost", "profit")
            rows[(model, currency, period)] = {name: sums[name] for name in names} | {
                "margin": ratio(sums["profit"], sums["revenue"]),
                "revenue_share": ratio(sums["revenue"], revenue_of[(currency,)]),
            }
    return rows


# ---- the whole

ENTRY_COLUMNS = (
    "occurred_at",
    "entry_date",
    "user_id",
    "paywall_id",
    "entry_type",
    "status",
    "currency",
    "amount",
    "balance_effect",
    "revenue",
    "refunds",
    "provider_cost",
    "provider_cost_currency",
    "provider_cost_basis",
    "billed_by",
    "platform_fees",
    "funding",
    "rail",
    "request_id",
    "model_id",
    *TOKENS,
    "related_entry_id",
    "payment_intent_id",
    "checkout_session_id",
    "payment_id",
    "metadata",
    "billing",
    "source",
    "updated_at",
)


def expected(files: Iterable[LandedFile], settings: OracleSettings) -> Expected:
    """What must be published after `files` have landed in this order."""
    with localcontext(EXACT):
        return _expected(list(files), settings)


def _expected(files: list[LandedFile], settings: OracleSettings) -> Expected:
    result = Expected()
    versions: dict[str, Row] = {}
    for file, line, record in read_files(files, "ledger", result):
        try:
            version = ledger_version(record)
        except RejectedError as error:
            reject(result, file, line, str(error))
            continue
        current = versions.get(version["entry_id"])
        if current is None or version["updated_at"] >= current["updated_at"]:
            versions[version["entry_id"]] = version
    deliveries = []
    for file, line, record in read_files(files, "events", result):
        try:
            deliveries.append(webhook_event(record))
        except RejectedError as error:
            reject(result, file, line, str(error))
    rates = read_rates(files, result, settings.default_currency)

    events = [one for one in unique_events(deliveries) if one["event_type"] in MEANINGFUL_EVENTS]
    owners = wallet_owners(events)
    by_id = finish_entries(webhook_entries(events, owners, settings) | versions, rates, settings)
    entries = list(by_id.values())

    today = settings.as_of.astimezone(ZoneInfo(settings.reporting_timezone)).date()
    first_day = min((one["entry_date"] for one in entries), default=today)
    currencies = {one["currency"] for one in entries}
    first_paid = first_payments(entries)
    bounds = periods(today, first_day)

    result.ledger, result.today = entries, today
    result.entries = {(one["entry_id"],): {name: one[name] for name in ENTRY_COLUMNS} for one in entries}
    result.daily_revenue = daily_revenue_rows(entries)
    result.user_days = user_day_rows(entries)
    result.wallet_days = wallet_day_rows(entries)
    result.balance_rollforward = rollforward_rows(entries, today)
    result.cohorts = cohort_rows(entries, today)
    result.period_kpis = {
        (period, currency): with_previous(entries, currency, of_period, first_paid)
        for period, of_period in bounds.items()
        for currency in currencies
    }
    result.usage_errors = usage_error_rows(events, owners, settings)
    result.users = user_rows(entries, events, owners)
    result.rpt_users = user_report_rows(entries, result.users, result.usage_errors, today, settings)
    result.rpt_models = model_report_rows(entries, bounds)

    def kpis(start: date, end: date) -> Rows:
        with localcontext(EXACT):
            of_range = (start, end, start - (end - start), start)
            rows = {(name,): with_previous(entries, name, of_range, first_paid) for name in currencies}
        for row in rows.values():
            del row["previous_start"], row["previous_end"]
        return rows

    def balances(day: date) -> Rows:
        latest: dict[tuple[Any, ...], tuple[date, Decimal]] = {}
        for (*wallet, moved_on), row in sorted(result.wallet_days.items()):
            if moved_on <= day:
                latest[tuple(wallet)] = (moved_on, row["closing_balance"])
        return {wallet: {"closing_balance": balance} for wallet, (_, balance) in latest.items()}

    result.kpis, result.balances = kpis, balances
    return result
