"""Statements as the bytes of a file, in the formats of the contract. The same statements give the same
bytes.
"""

import csv
import gzip
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from sample_data.pricing import text
from sample_data.statements import Statement
from sample_data.world import EPOCH

FIELDS = (
    *(
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
    ),
    *("prompt_tokens", "completion_tokens", "total_tokens", "cached_tokens", "reasoning_tokens"),
    *("provider_cost", "platform_fees", "related_id", "metadata"),
)
MONEY = ("amount", "provider_cost", "platform_fees")
INSTANTS = ("timestamp", "updated_at")
COUNTS = ("prompt_tokens", "completion_tokens", "total_tokens", "cached_tokens", "reasoning_tokens")
OWN_WORDS = {"deposit": "topup", "withdrawal": "withdraw", "settled": "completed", "failed": "canceled"}
"""Synonyms that the contract allows."""


def rfc3339(instant: int) -> str:
    """Return milliseconds since 1970 as the text of an instant."""
    return (EPOCH + timedelta(milliseconds=instant)).strftime("%Y-%m-%dT%H:%M:%S.") + f"{instant % 1000:03d}Z"


def as_json(value: Any) -> str:
    """Return JSON with money as a number and all its digits: Python's encoder does not support Decimal."""
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(name)}: {as_json(item)}" for name, item in value.items()) + "}"
    if isinstance(value, list):
        return f"[{', '.join(map(as_json, value))}]"
    return json.dumps(value, ensure_ascii=False)


def money_as_text(record: dict[str, Any]) -> dict[str, Any]:
    """Return the record with its decimals as text."""
    return {name: text(value) if isinstance(value, Decimal) else value for name, value in record.items()}


def entry_line(entry: Statement, numbers: bool = False, **more: str) -> str:
    """Return one ledger entry as JSON, with its money as text or as `numbers`."""
    line = {
        name: rfc3339(value) if name in INSTANTS else value
        for name, value in entry.items()
        if value is not None
    }
    if entry["timestamp"] == entry["updated_at"]:
        del line["updated_at"]
    if numbers:
        return as_json(line | more)
    return json.dumps(money_as_text(line) | more, ensure_ascii=False)


def csv_rows(entries: Iterable[Statement], own_words: bool = False, offset_hours: int = 0) -> list[str]:
    """Return header and rows; `own_words` uses another system's words for types, states and currencies."""
    zone = timezone(timedelta(hours=offset_hours))
    rows = [",".join(FIELDS)]
    for entry in entries:
        cells = dict(entry)
        for name in INSTANTS:
            instant = EPOCH + timedelta(milliseconds=entry[name])
            cells[name] = (
                instant.astimezone(zone).isoformat(timespec="milliseconds")
                if offset_hours
                else rfc3339(entry[name])
            )
        for name in MONEY:
            cells[name] = text(entry[name]) if name in entry else ""
        if "metadata" in entry:
            cells["metadata"] = json.dumps(entry["metadata"])
        if own_words:
            cells["type"] = OWN_WORDS.get(entry["type"], entry["type"])
            cells["status"] = OWN_WORDS.get(entry["status"], entry["status"])
            cells["currency"] = entry["currency"].upper()
        line = io.StringIO()
        csv.writer(line, lineterminator="").writerow(cells.get(name, "") for name in FIELDS)
        rows.append(line.getvalue())
    return rows


def table(columns: Sequence[str], rows: Iterable[Mapping[str, str]], newline: str = "\n") -> str:
    """Return the text of a CSV file: the header, and the cells of these columns of each row."""
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, restval="", extrasaction="ignore", lineterminator=newline)
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def parquet(entries: list[Statement]) -> bytes:
    """Return a Parquet file with typed columns: decimals, instants, integers, and metadata as JSON text."""

    def kind(name: str) -> pa.DataType:
        if name in MONEY:
            return pa.decimal128(38, 12)
        if name in INSTANTS:
            return pa.timestamp("us", tz="UTC")
        return pa.int64() if name in COUNTS else pa.string()

    def cell(name: str, entry: Statement) -> Any:
        value = entry.get(name)
        if name in INSTANTS:
            return EPOCH + timedelta(milliseconds=entry[name])
        return json.dumps(value) if name == "metadata" and value is not None else value

    columns = {name: pa.array([cell(name, entry) for entry in entries], type=kind(name)) for name in FIELDS}
    sink = io.BytesIO()
    pq.write_table(pa.table(columns), sink, compression="zstd")
    return sink.getvalue()


def shape_a(event: Statement) -> str:
    """Return a delivery that wraps the event, as in the webhook guide; money is text."""
    data = event["data"]
    body: dict[str, Any] = {
        "delivery": {
            "id": f"dly_{event['id'][4:]}",
            "subscriptionId": "sub_01",
            "attempts": event["attempts"],
            "createdAt": rfc3339(event["at"] + 212),
            "updatedAt": rfc3339(event["at"] + 212 + 30_000 * (event["attempts"] - 1)),
        },
        "event": {
            "id": event["id"],
            "paywallId": event["paywall"].id,
            "ownerUserId": data["ownerUserId"],
            "type": event["type"],
            "version": "1.0",
            "status": "pending",
            "createdAt": rfc3339(event["at"]),
            "trigger": {"source": "api", "actorType": "paywall-owner", "actorId": data["ownerUserId"]},
            "data": money_as_text(data),
        },
    }
    if "activityId" in data:
        subject = {"type": "paywall.balance", "id": data["activityId"]}
        body["event"]["subject"] = subject | (
            {"externalId": data["externalUserId"]} if "externalUserId" in data else {}
        )
    if event["metadata"]:
        body["event"]["metadata"] = event["metadata"]
    return json.dumps(body, ensure_ascii=False)


def shape_b(event: Statement) -> str:
    """Return the flat event of the API description; money is a number."""
    body = {
        "id": event["id"],
        "paywallId": event["paywall"].id,
        "ownerUserId": event["data"]["ownerUserId"],
        "type": event["type"],
        "version": "2024-05-01",
        "createdAt": rfc3339(event["at"]),
        "status": "pending",
        "attempts": event["attempts"],
        "data": event["data"],
    }
    return as_json(body | ({"metadata": event["metadata"]} if event["metadata"] else {}))


def packed(name: str, content: bytes) -> bytes:
    """Compress the content as the ending of the name says."""
    if name.endswith(".gz"):
        sink = io.BytesIO()
        with gzip.GzipFile(filename="", mode="wb", fileobj=sink, mtime=0) as file:
            file.write(content)
        return sink.getvalue()
    if name.endswith(".zst"):
        return bytes(pa.Codec("zstd").compress(content, asbytes=True))
    return content


def lines(name: str, rows: list[str]) -> bytes:
    """Return rows as the file of that name."""
    return packed(name, "".join(f"{row}\n" for row in rows).encode())


def naive(instant: int) -> str:
    """Return a time without its offset, so that its instant is unknown."""
    return datetime.fromtimestamp(instant // 1000, UTC).strftime("%Y-%m-%dT%H:%M:%S")
