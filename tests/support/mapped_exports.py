"""Exports of other systems' usage logs and credit ledgers, as those systems write them, made up from a seed.

Everything that must not reach the warehouse (prompts, answers, e-mail and IP addresses, keys, hashes) has a
text of its own, by which it is found wherever it went. The forms are those of the systems' documentation, not
of any mapping.
"""

import json
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pyarrow as pa

from tests.support.builders import Raw, compressed, csv_text, jsonl, parquet_table
from tests.support.oracle import LandedFile
from tests.support.secret_texts import MARK

Row = dict[str, Any]
# As systems write it: without an offset.
NOON = datetime(2026, 10, 1, 12)  # noqa: DTZ001
# Decimals of floats that a wrong conversion changes, ties at the 13th decimal, and plain ones.
FLOATS = (
    1.2345e-05, 0.30000000000000004, 5.0000000000000003e-13, 1.5e-12, 2.5e-12, 4.5e-12, 5e-13, 1.4999999e-12,
    0.0, 1e-07, 123.45, 0.1, 7.000000000001e-3, 0.000012345678901234567, 33554432.000000004, 1e-300, 2.0,
)  # fmt: skip
LONG_PROMPT = 1_100_000


@dataclass
class Exporter:
    """A seed, and the secrets that were written so far."""

    seed: int
    secrets: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)
        self.number = 0

    def secret(self) -> str:
        """Return a text that is found nowhere else."""
        self.secrets.append(f"{MARK}{self.seed}n{len(self.secrets):06d}z")
        return self.secrets[-1]

    def prompt(self) -> str:
        """Return a prompt as people write them: with line feeds, separators and quotes."""
        return self.random.choice(
            ("{}", 'Say "{}", please;\nthen\r\nnothing, ever', "{}\t'x' \\ \u2028 ü {{}}")
        ).replace("{}", self.secret(), 1)

    def chance(self, part: float) -> bool:
        return self.random.random() < part

    def instant(self) -> datetime:
        """Return a UTC instant without an offset."""
        return NOON + timedelta(microseconds=self.random.randrange(20 * 86_400_000_000))

    def next_id(self, start: str) -> str:
        self.number += 1
        return f"{start}{self.seed}-{self.number:05d}"


def written(moment: datetime, how: int) -> str:
    """An instant in one of the forms in which systems write UTC without saying so, or by saying so."""
    plain = moment.isoformat(" ", "microseconds")
    return (
        plain,
        plain.replace(" ", "T"),
        plain.replace(" ", "T") + "Z",
        plain + "+00:00",
        (moment + timedelta(hours=2)).isoformat("T", "microseconds") + "+02:00",
        moment.isoformat("T", "microseconds") + "999Z",
    )[how % 6]


# ---- rows


def litellm_row(made: Exporter) -> Row:
    """A row of LiteLLM_SpendLogs, with all columns of its schema."""
    start = made.instant()
    prompt, completion = made.random.randrange(5000), made.random.randrange(3000)
    choose = made.random.choice
    return {
        "request_id": made.next_id("chatcmpl-"),
        "call_type": choose(("acompletion", "aembedding")),
        "api_key": made.secret(),
        "spend": choose(FLOATS),
        "total_tokens": prompt + completion,
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "startTime": start,
        "endTime": start + timedelta(milliseconds=made.random.randrange(90_000)),
        "request_duration_ms": 12,
        "completionStartTime": start,
        "model": choose(("gpt-4o-mini", "openai/gpt-4o", "claude-haiku", "azure/eu/gpt-4o")),
        "model_id": made.secret(),
        "model_group": "small",
        "custom_llm_provider": choose(("openai", "anthropic", "", None)),
        "api_base": f"https://user:{made.secret()}@example.com",
        "user": choose(("team-1", "", None, "Zoë, Inc.")),
        "metadata": {"user_api_key": made.secret(), "deep": [{"e-mail": made.prompt()}]},
        "cache_hit": "False",
        "cache_key": made.secret(),
        "request_tags": [made.secret()],
        "team_id": choose(("t1", None)),
        "organization_id": None,
        "end_user": choose(("cust-7", "cust-8", "", None)),
        "requester_ip_address": made.secret(),
        "messages": [{"role": "user", "content": made.prompt()}],
        "response": {"choices": [{"message": {"content": made.prompt()}}]},
        "session_id": choose(("s1", None)),
        "status": choose(("success", "failure", None, "")),
        "mcp_namespaced_tool_name": None,
        "agent_id": None,
        "proxy_server_request": {"body": made.prompt(), "headers": {"authorization": made.secret()}},
        "shadow_prompt": made.prompt(),
    }


def langfuse_row(made: Exporter) -> Row:
    """A row of Langfuse's observations_v2."""
    start = made.instant()
    choose = made.random.choice
    usage: Row = {}
    for name in ("input", "output", "total", "input_cached_tokens", "reasoning_tokens", "input_audio"):
        if made.chance(0.7):
            usage[name] = made.random.randrange(4000)
    return {
        "id": made.next_id("obs-"),
        "trace_id": "trace-1",
        "project_id": "project-1",
        "environment": "production",
        "type": choose(("GENERATION", "GENERATION", "EMBEDDING", "SPAN", "EVENT")),
        "parent_observation_id": "",
        "start_time": start,
        "end_time": start + timedelta(seconds=2),
        "name": made.secret(),
        "metadata": {"ip": made.secret()},
        "level": choose(("DEFAULT", "ERROR", "WARNING")),
        "status_message": made.prompt(),
        "version": None,
        "input": {"messages": [{"content": made.prompt()}]},
        "output": made.prompt(),
        "provided_model_name": choose(("gpt-4o-mini", "claude-haiku", None)),
        "model_parameters": {"stop": made.secret()},
        "usage_details": usage,
        "cost_details": {"input": 0.1},
        "completion_start_time": None,
        "prompt_id": None,
        "prompt_name": made.secret(),
        "prompt_version": 3,
        "total_cost": choose((*FLOATS, None)),
        "latency": 1.25,
        "time_to_first_token": 0.5,
        "model_id": "m1",
        "created_at": start,
        "updated_at": start + timedelta(minutes=made.random.randrange(90)),
        "tool_definitions": {"f": made.secret()},
        "tool_calls": [made.secret()],
        "usage_pricing_tier_id": None,
        "user_id": choose(("user-1", "user-2", "", None)),
        "session_id": None,
        "trace_name": "chat",
        "tags": [made.secret()],
        "release": "",
        "bookmarked": False,
        "public": False,
        "inputRaw": made.prompt(),
    }


def openrouter_row(made: Exporter) -> Row:
    """A row of the CSV of OpenRouter's activity page."""
    choose = made.random.choice
    prompt, completion = made.random.randrange(1, 5000), made.random.randrange(1, 3000)
    byok = made.chance(0.3)
    return {
        "generation_id": made.next_id("gen-"),
        "created_at": made.instant(),
        "cost_total": 0.0 if byok else choose(FLOATS),
        "cost_web_search": 0.25,
        "cost_cache": -0.00125,
        "cost_file_processing": 0.5,
        # A cost of 1e-300 is above zero, which nothing needs to know.
        "byok_usage_inference": max(choose(FLOATS), 5e-13) if byok else choose((0.0, None)),
        "tokens_prompt": prompt,
        "tokens_completion": completion,
        "tokens_reasoning": made.random.randrange(completion),
        "tokens_cached": made.random.randrange(prompt),
        "model_permaslug": choose(("deepseek/deepseek-v4.1-flash-20260910", "openai/gpt-4o-2024-08-06")),
        "provider_name": choose(("DeepSeek", "OpenAI", "Google AI Studio")),
        "variant": "standard",
        "cancelled": False,
        "streamed": True,
        "user": choose(("user-1", "", None)),
        "finish_reason_raw": made.secret(),
        "finish_reason_normalized": "stop",
        "generation_time_ms": 1200,
        "time_to_first_token_ms": 300,
        "api_key_disabled": False,
        "api_key_name": choose(("prod", "", None)),
        "app_name": "app",
        "api_key_hash": made.secret(),
        "prompt": made.prompt(),
    }


def lago_row(made: Exporter) -> Row:
    """A wallet transaction of Lago."""
    choose = made.random.choice
    created = made.instant()
    way, status = choose(
        (
            ("inbound", "purchased"),
            ("inbound", "granted"),
            ("outbound", "invoiced"),
            ("outbound", "voided"),
        )
    )
    settled = made.chance(0.8)
    return {
        "lago_id": made.next_id("lago-"),
        "lago_wallet_id": choose(("w1", "w2")),
        "status": "settled" if settled else "pending",
        "source": "manual",
        "transaction_status": status,
        "transaction_type": way,
        "amount": choose(
            ("12.5", "100.0", "0.000000000001", "3.140000000000000", "0", "999999999999999999.5")
        ),
        "credit_amount": "777.0",
        "settled_at": created + timedelta(hours=1) if settled else None,
        "failed_at": None,
        "created_at": created,
        "name": made.secret(),
        "metadata": [{"key": "mail", "value": made.prompt()}],
        "external_customer_id": choose(("cust-1", "cust-2", None, "")),
        "currency": choose(("EUR", "usd", "JPY", None, "")),
        "customer": {"email": made.secret()},
    }


def grant(made: Exporter, currency: str = "usd", customer: str | None = "cus_1", **more: Any) -> Row:
    """A credit grant of Stripe."""
    created = int((made.instant().replace(tzinfo=UTC)).timestamp())
    return {
        "id": made.next_id("credgr_"),
        "object": "billing.credit_grant",
        "amount": {
            "type": "monetary",
            "monetary": {"currency": currency, "value": made.random.randrange(1, 10**6)},
        },
        "applicability_config": {"scope": {"price_type": made.secret()}},
        "category": made.random.choice(("paid", "promotional")),
        "created": created,
        "customer": customer,
        "customer_account": None,
        "effective_at": created + 60 if made.chance(0.5) else None,
        "expires_at": None,
        "livemode": True,
        "metadata": {"note": made.prompt()},
        "name": made.secret(),
        "priority": 50,
        "updated": created,
        "voided_at": None,
        "receipt_email": made.secret(),
    } | more


def transaction(made: Exporter, of: Row, kind: str, **more: Any) -> Row:
    """A credit balance transaction of Stripe about a grant."""
    effective = of["created"] + 3600
    amount = {
        "type": "monetary",
        "monetary": {
            "currency": of["amount"]["monetary"]["currency"],
            "value": made.random.randrange(1, 5000),
        },
    }
    side = "credit" if kind in ("credits_granted", "credits_application_invoice_voided") else "debit"
    applied = {"invoice": made.secret(), "invoice_line_item": made.secret()}
    body: Row = {"amount": amount, "type": kind}
    body |= {"credits_applied": applied} if kind == "credits_applied" else {}
    return {
        "id": made.next_id("cbtxn_"),
        "object": "billing.credit_balance_transaction",
        "created": effective,
        "credit": body if side == "credit" else None,
        "credit_grant": of["id"],
        "debit": body if side == "debit" else None,
        "effective_at": effective,
        "livemode": True,
        "test_clock": None,
        "type": side,
        "memo": made.prompt(),
    } | more


KINDS = (
    "credits_applied",
    "credits_expired",
    "credits_voided",
    "credits_application_invoice_voided",
    "credits_granted",
)
# JPY, KRW and MGA have no decimals, BHD and KWD three; Stripe sends ISK and UGX with two.
STRIPE_CURRENCIES = ("usd", "eur", "jpy", "krw", "bhd", "kwd", "isk", "ugx", "mga")


def stripe_rows(made: Exporter, grants: int) -> list[Row]:
    """Grants and what became of them, in no order; some customers are expanded."""
    rows = []
    for number in range(grants):
        customer = f"cus_{number % 3}"
        one = grant(made, made.random.choice(STRIPE_CURRENCIES), customer)
        rows += [one] + [transaction(made, one, made.random.choice(KINDS)) for _ in range(3)]
    made.random.shuffle(rows)
    return rows


def expanded_customer(made: Exporter, customer: str) -> Row:
    return {"id": customer, "object": "customer", "email": made.secret(), "address": {"line1": made.secret()}}


ROWS: dict[str, Callable[[Exporter], Row]] = {
    "litellm_spend_logs": litellm_row,
    "langfuse_observations": langfuse_row,
    "openrouter_generations": openrouter_row,
    "lago_wallet_transactions": lago_row,
}
SOURCES = (*ROWS, "stripe_credits")


def rows_of(made: Exporter, source: str, count: int) -> list[Row]:
    if source == "stripe_credits":
        return stripe_rows(made, count // 4)
    return [ROWS[source](made) for _ in range(count)]


# ---- rows that are wrong

# What is wrong with a column of a text file. `None` and "" leave it out.
FAULTS: dict[str, tuple[tuple[str, Any], ...]] = {
    "litellm_spend_logs": (
        ("request_id", ""), ("request_id", "x" * 248), ("request_id", "y" * 247), ("spend", "n/a"),
        ("spend", Raw("-0.5")),
        ("spend", Raw("1e18")), ("spend", "NaN"), ("spend", "0x1p-3"), ("spend", None), ("spend", ""),
        ("startTime", "yesterday"), ("startTime", "2026-02-30 10:00:00"), ("startTime", None),
        ("startTime", "2014-12-31T23:59:59Z"), ("endTime", "soon"), ("endTime", None),
        ("prompt_tokens", "1.5"), ("prompt_tokens", Raw("-1")), ("completion_tokens", Raw("1000000000001")),
        ("total_tokens", None), ("end_user", "u" * 256), ("model", None),
    ),
    "langfuse_observations": (
        ("id", None), ("id", ""), ("total_cost", "free"), ("total_cost", Raw("-1e-3")),
        ("start_time", "2026-13-01 00:00:00.000000"), ("start_time", ""), ("updated_at", "never"),
        ("usage_details", None), ("usage_details", {}), ("usage_details", {"input": "12", "output": "7"}),
        ("usage_details", {"input": -4}), ("usage_details", {"output": Raw("2.5")}), ("user_id", "v" * 256),
        ("usage_details", {"input": Raw("1000000000000"), "input_cached_tokens": 1}),
        ("type", None), ("updated_at", None),
    ),
    "openrouter_generations": (
        ("generation_id", None), ("cost_total", "$1"), ("cost_total", None), ("cost_total", Raw("-1")),
        ("byok_usage_inference", "?"),
        ("created_at", "01.02.2026"), ("created_at", None), ("tokens_prompt", "many"),
        ("tokens_cached", Raw("9999999999999")), ("model_permaslug", None), ("provider_name", None),
        ("created_at", "2101-01-01 00:00:00.000"), ("api_key_name", "n" * 256),
    ),
    "lago_wallet_transactions": (
        ("lago_id", None), ("amount", "ten"), ("amount", "-1"), ("amount", None),
        ("amount", "0.0000000000001"), ("amount", "1000000000000000000"),
        ("created_at", None), ("created_at", "now"), ("settled_at", "then"),
        ("currency", "dollars"), ("currency", "zzz"), ("transaction_type", "sideways"),
        ("transaction_status", "invoiced"), ("status", "lost"), ("status", "failed"), ("status", None),
    ),
    "stripe_credits": (
        ("id", None), ("effective_at", "tomorrow"), ("customer", None), ("created", None),
        ("amount", {"type": "monetary", "monetary": {"currency": "zzz", "value": 5}}),
        ("amount", {"type": "monetary", "monetary": {"currency": "usd", "value": Raw("-5")}}),
        ("amount", {"type": "monetary", "monetary": {"currency": "usd", "value": None}}),
        ("category", "trial"), ("category", "PAID"),
        ("amount", {"type": "monetary", "monetary": {"currency": None, "value": 5}}), ("amount", None),
        ("amount", {"type": "monetary", "monetary": {"currency": "usd", "value": Raw("9" * 20)}}),
    ),
}  # fmt: skip


def faulty_rows(made: Exporter, source: str) -> list[Row]:
    """Rows with one wrong or missing value each; not every one of them is to be rejected."""
    rows = []
    for column, wrong in FAULTS[source]:
        value = wrong
        row = grant(made) if source == "stripe_credits" else ROWS[source](made)
        if source == "langfuse_observations" and column != "type":
            row["type"] = "GENERATION"
        if column == "request_id" and value and len(value) > 200:
            value = value[:-6] + made.next_id("")[-6:]
        if (column, value) == ("transaction_status", "invoiced"):
            row["transaction_type"] = "inbound"
        row[column] = value
        rows.append(row)
    if source == "stripe_credits":
        base = grant(made)
        nobody = {"id": made.next_id("credgr_none")}
        rows += [
            base,
            transaction(made, base, "credits_lost"),
            transaction(made, base, "credits_applied", effective_at="later"),
            transaction(made, base, "credits_applied", credit_grant=None),
            transaction(made, base | nobody, "credits_applied"),
            transaction(made, base | nobody, "credits_granted"),
            grant(made, customer=None, customer_account="acct_1"),
        ]
    return rows


# A column with text that no number needs.
PROMPT_COLUMNS = {
    "litellm_spend_logs": "messages",
    "langfuse_observations": "input",
    "openrouter_generations": "variant",
    "lago_wallet_transactions": "name",
    "stripe_credits": "name",
}


def broken_lines(made: Exporter, source: str) -> list[Any]:
    """Lines of JSON that are no record; all are to be rejected."""
    long, name = rows_of(made, source, 4)[0], PROMPT_COLUMNS[source]
    return [
        b'{"id": "' + made.secret().encode() + b'", "input": "' + made.secret().encode(),
        Raw(json.dumps([made.secret()])),
        Raw(json.dumps(made.secret())),
        Raw("{" + ", ".join(f'"{name}": "{made.secret()}"' for _ in range(2)) + "}"),
        b'{"model": "' + made.secret().encode() + b'\xff\xfe"}',
        Raw(f"{made.secret()}"),
        long | {name: made.secret() + "x" * LONG_PROMPT},
    ]


def broken_csv(made: Exporter, source: str, columns: Sequence[str]) -> list[Any]:
    """Rows of CSV that are no record; all are to be rejected. The last one swallows what follows."""
    row = rows_of(made, source, 4)[0]
    good = csv_text([cells(row)], columns).split(b"\r\n", 1)[1].decode().rstrip("\r\n")
    return [
        Raw(good + f",{made.secret()}"),
        Raw(f"{made.secret()},{made.secret()}"),
        Raw(f'"{made.secret()}" {made.secret()}' + "," * (len(columns) - 1)),
        Raw(f'x,"{made.secret()}, and no end'),
    ]


# ---- files


def json_value(value: Any, how: int) -> Any:
    """A value as JSON has it."""
    if isinstance(value, float):
        return Raw(repr(value))
    if isinstance(value, datetime):
        return written(value, how)
    return value


def cells(row: Row, how: int = 0) -> Row:
    """A row as CSV has it: objects as JSON text, no value as no text."""
    return {name: json_value(value, how) for name, value in row.items()}


def json_text(value: Any) -> Any:
    return value if value is None or isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def text_file(
    folder: str, name: str, rows: Sequence[Any], columns: Sequence[str] | None = None
) -> LandedFile:
    """A file of CSV or JSON; what is no dict is a line of it."""
    lines = [cells(row, at) if isinstance(row, dict) else row for at, row in enumerate(rows)]
    content = jsonl(lines) if ".jsonl" in name else csv_text(lines, columns)
    return LandedFile(folder, name, compressed(name, content))


# The list of a page, and what has a single object, where the systems' APIs have them.
API_LISTS = {"lago_wallet_transactions": "wallet_transactions"}
API_OBJECTS = {"lago_wallet_transactions": "wallet_transaction"}


def json_file(folder: str, name: str, rows: Sequence[Any]) -> LandedFile:
    """A file of an array, pages of an API and single objects, one after the other; what is no dict is an
    element.
    """
    lines = [cells(row, at) if isinstance(row, dict) else row for at, row in enumerate(rows)]
    texts = jsonl(lines).decode().split("\n")[:-1]
    third = len(texts) // 3
    listed = API_LISTS.get(folder, "data")
    array = "[\n" + ",\n".join(texts[:third]) + "\n]"
    page = (
        f'{{"object": "list", "{listed}": [' + " , ".join(texts[third:-2]) + '],\n"meta": {"data": {"a": 1}}}'
    )
    several = f'\n{{"{listed}": []}}\n{{\n  "data" :\n[\r\n\t{texts[-2]}]}}[]'
    one = texts[-1] if folder not in API_OBJECTS else f'{{"{API_OBJECTS[folder]}": {texts[-1]}}}'
    return LandedFile(folder, name, compressed(name, "".join([array, page, several, one]).encode()))


TEXT_LIST = pa.list_(pa.string())
COUNTS = pa.map_(pa.string(), pa.uint64())
MONETARY = pa.struct(
    [("type", pa.string()), ("monetary", pa.struct([("currency", pa.string()), ("value", pa.int64())]))]
)
APPLIED = pa.struct([("invoice", pa.string()), ("invoice_line_item", pa.string())])
SIDE = pa.struct([("amount", MONETARY), ("type", pa.string()), ("credits_applied", APPLIED)])
# The types of columns in Parquet, by source; what is not named has the type that its values have.
TYPES: dict[str, dict[str, pa.DataType]] = {
    "litellm_spend_logs": {
        "spend": pa.float64(), "total_tokens": pa.int32(), "startTime": pa.timestamp("ns"),
        "endTime": pa.timestamp("us"), "completionStartTime": pa.timestamp("ms"),
        "metadata": pa.string(), "messages": pa.string(), "request_tags": TEXT_LIST,
    },
    "langfuse_observations": {
        "start_time": pa.timestamp("us"), "end_time": pa.timestamp("ms"),
        "updated_at": pa.timestamp("us", "UTC"),
        "metadata": pa.map_(pa.string(), pa.string()), "usage_details": COUNTS,
        "cost_details": pa.map_(pa.string(), pa.float64()), "total_cost": pa.float64(),
        "prompt_version": pa.uint16(), "input": pa.string(),
    },
    "openrouter_generations": {
        "created_at": pa.timestamp("ms"), "cost_total": pa.float64(), "byok_usage_inference": pa.float64(),
    },
    "lago_wallet_transactions": {
        "created_at": pa.timestamp("us", "UTC"), "settled_at": pa.timestamp("us", "UTC"),
    },
    "stripe_credits": {
        "amount": MONETARY, "credit": SIDE, "debit": SIDE, "created": pa.int64(), "effective_at": pa.int64(),
        "updated": pa.int64(), "expires_at": pa.int64(),
    },
}  # fmt: skip


def parquet_file(folder: str, name: str, rows: Sequence[Row], **types: pa.DataType) -> LandedFile:
    """A Parquet file with the types that the systems' exports have."""
    known = TYPES[folder] | types
    columns = list(dict.fromkeys(column for row in rows for column in row))
    arrays = {}
    for column in columns:
        values = [row.get(column) for row in rows]
        kind = known.get(column)
        if kind == pa.string():
            values = [json_text(value) for value in values]
        elif kind is not None and pa.types.is_map(kind):
            values = [None if value is None else list(value.items()) for value in values]
        elif kind is not None and pa.types.is_decimal(kind):
            values = [None if value is None else Decimal(repr(value)) for value in values]
        elif kind is not None and pa.types.is_timestamp(kind) and kind.unit == "ms":
            values = [
                value and value.replace(microsecond=value.microsecond // 1000 * 1000) for value in values
            ]
        if kind == pa.timestamp("ns"):
            # Digits beyond the microsecond.
            whole = pa.array(values, pa.timestamp("us")).cast(pa.int64()).to_pylist()
            arrays[column] = pa.array(
                [None if value is None else value * 1000 + 999 for value in whole], pa.int64()
            ).cast(pa.timestamp("ns"))
            continue
        arrays[column] = pa.array(values, kind)
    return LandedFile(folder, name, parquet_table(pa.table(arrays)))
