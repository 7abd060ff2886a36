"""Small named builders for landing files: ledger records, webhook events, and the formats that they
land in.
"""

import csv
import gzip
import io
import json
from collections.abc import Iterable, Sequence
from datetime import datetime
from decimal import Context, Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import zstandard

from tests.support.oracle import LandedFile, as_instant

Record = dict[str, Any]


class Raw(str):
    """Text that goes into a file as it is: a JSON number with its digits, or a whole broken line."""


# ---- ledger records


def entry(
    entry_id: str,
    timestamp: str,
    entry_type: str = "charge",
    amount: Any = "1",
    user: str | None = "alice",
    **more: Any,
) -> Record:
    record = {
        "id": entry_id,
        "timestamp": timestamp,
        "type": entry_type,
        "user": user,
        "paywall": "pw",
        "amount": amount,
    }
    return {name: value for name, value in (record | more).items() if value is not None}


def charge(entry_id: str, timestamp: str, amount: Any = "1", **more: Any) -> Record:
    return entry(entry_id, timestamp, "charge", amount, **more)


def deposit(entry_id: str, timestamp: str, amount: Any = "10", **more: Any) -> Record:
    return entry(entry_id, timestamp, "deposit", amount, **more)


def refund(entry_id: str, timestamp: str, amount: Any, of: str | None, **more: Any) -> Record:
    return entry(entry_id, timestamp, "refund", amount, related_id=of, **more)


def adjustment(entry_id: str, timestamp: str, amount: Any, **more: Any) -> Record:
    return entry(entry_id, timestamp, "adjustment", amount, **more)


def withdrawal(entry_id: str, timestamp: str, amount: Any, **more: Any) -> Record:
    return entry(entry_id, timestamp, "withdrawal", amount, **more)


# ---- webhook events


def event(
    event_id: str,
    kind: str,
    created_at: str,
    *,
    paywall: str = "pw",
    prefix: bool = True,
    metadata: Record | None = None,
    subject: Record | None = None,
    **data: Any,
) -> Record:
    """The flat shape of the OpenAPI file; `data` is given by keywords."""
    body: Record = {
        "id": event_id,
        "paywallId": paywall,
        "ownerUserId": "usr_owner",
        "type": f"paywall.{kind}" if prefix else kind,
        "version": "2024-05-01",
        "createdAt": created_at,
        "status": "pending",
        "attempts": 1,
        "data": (
            {"paywallId": paywall, "ownerUserId": "usr_owner"}
            | {name: value for name, value in data.items() if value is not None}
        ),
    }
    body |= {"metadata": metadata} if metadata is not None else {}
    return body | ({"subject": subject} if subject is not None else {})


def delivered(body: Record, attempts: int = 1) -> Record:
    """The wrapped shape of the webhook guide."""
    flat = {name: value for name, value in body.items() if name != "attempts"}
    delivery = {
        "id": f"dly_{body['id']}_{attempts}",
        "subscriptionId": "sub_1",
        "attempts": attempts,
        "createdAt": body["createdAt"],
        "updatedAt": body["createdAt"],
    }
    return {"delivery": delivery, "event": flat}


def logged(body: Record) -> Record:
    """The shape of `GET /webhooks/logs`: a flat event inside a log row."""
    return {
        "id": f"log_{body['id']}",
        "subscriptionId": "sub_1",
        "status": "success",
        "attempts": 2,
        "createdAt": "2020-01-01T00:00:00Z",
        "updatedAt": "2020-01-01T00:00:00Z",
        "event": body,
    }


# ---- files


def dumps(value: Any, *, ascii_only: bool = False) -> str:
    """JSON in which `Raw` stays as it is and a Decimal keeps its digits."""
    if isinstance(value, Raw):
        return str(value)
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, dict):
        parts = (
            f"{json.dumps(k, ensure_ascii=ascii_only)}: {dumps(v, ascii_only=ascii_only)}"
            for k, v in value.items()
        )
        return "{" + ", ".join(parts) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(dumps(item, ascii_only=ascii_only) for item in value) + "]"
    return json.dumps(value, ensure_ascii=ascii_only)


def jsonl(records: Iterable[Record | Raw | bytes], *, ascii_only: bool = False, newline: str = "\n") -> bytes:
    lines = [one if isinstance(one, bytes) else dumps(one, ascii_only=ascii_only).encode() for one in records]
    return b"".join(line + newline.encode() for line in lines)


def cell(value: Any) -> str:
    """A value as CSV text: objects as JSON, nothing as nothing."""
    if value is None:
        return ""
    if isinstance(value, str):
        return str(value)
    return dumps(value)


def columns_of(records: Iterable[Any]) -> list[str]:
    return list(dict.fromkeys(name for record in records if isinstance(record, dict) for name in record))


def csv_text(
    records: Sequence[Record | Raw],
    columns: Sequence[str] | None = None,
    *,
    newline: str = "\r\n",
    bom: bool = False,
) -> bytes:
    out = io.StringIO(newline="")
    columns = columns or columns_of(records)
    writer = csv.writer(out, lineterminator=newline)
    writer.writerow(columns)
    for record in records:
        if isinstance(record, Raw):
            out.write(record + newline)
        else:
            writer.writerow([cell(record.get(name)) for name in columns])
    return (b"\xef\xbb\xbf" if bom else b"") + out.getvalue().encode()


MONEY_FIELDS = ("amount", "provider_cost", "platform_fees")
TOKEN_FIELDS = ("prompt_tokens", "completion_tokens", "total_tokens", "cached_tokens", "reasoning_tokens")
MONEY, LAST_UNIT, WIDE = pa.decimal128(38, 12), Decimal("1e-12"), Context(prec=60)
TIME_FIELDS = ("timestamp", "updated_at")


def parquet(records: Sequence[Record], *, typed: bool = False) -> bytes:
    """All columns as text, or (`typed`) money as DECIMAL(38,12), tokens as BIGINT and times as instants."""
    arrays = {}
    for name in columns_of(records):
        values = [record.get(name) for record in records]
        if typed and name in MONEY_FIELDS:
            exact = [None if v is None else WIDE.quantize(Decimal(str(v)), LAST_UNIT) for v in values]
            arrays[name] = pa.array(exact, MONEY)
        elif typed and name in TOKEN_FIELDS:
            arrays[name] = pa.array([None if v is None else int(v) for v in values], pa.int64())
        elif typed and name in TIME_FIELDS:
            arrays[name] = pa.array([as_instant(v, name) for v in values], pa.timestamp("us", "UTC"))
        else:
            arrays[name] = pa.array([None if v is None else cell(v) for v in values], pa.string())
    return parquet_table(pa.table(arrays))


def parquet_table(table: pa.Table) -> bytes:
    out = io.BytesIO()
    pq.write_table(table, out)
    return out.getvalue()


def compressed(name: str, content: bytes) -> bytes:
    if name.endswith(".gz"):
        return gzip.compress(content, mtime=0)
    return zstandard.ZstdCompressor().compress(content) if name.endswith(".zst") else content


def landed(folder: str, name: str, content: bytes, *, loose: bool = False) -> LandedFile:
    return LandedFile(folder, name, compressed(name, content), loose)


def ledger_file(name: str, records: Sequence[Any], **how: Any) -> LandedFile:
    """A ledger file in the format that its name says."""
    kind = name.removesuffix(".gz").removesuffix(".zst").rsplit(".", 1)[1]
    write = {"jsonl": jsonl, "csv": csv_text, "parquet": parquet}[kind]
    return landed("ledger", name, write(records, **how))  # type: ignore[operator]


def events_file(name: str, records: Sequence[Any], **how: Any) -> LandedFile:
    return landed("events", name, jsonl(records, **how))


PRICE_COLUMNS = (
    "model", "effective_from", "effective_to", "prompt_per_million", "completion_per_million",
    "cached_prompt_per_million", "per_request", "currency",
)  # fmt: skip


def prices_file(name: str, rows: Sequence[Sequence[str]]) -> LandedFile:
    """Rows in the order of `PRICE_COLUMNS`."""
    return landed(
        "prices", name, csv_text([dict(zip(PRICE_COLUMNS, row, strict=True)) for row in rows], PRICE_COLUMNS)
    )


def land(home: Path, files: Iterable[LandedFile]) -> None:
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    for file in files:
        path = home / "landing" / file.folder / file.name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(file.content)


def instant(text: str) -> datetime:
    return datetime.fromisoformat(text.replace("Z", "+00:00"))
