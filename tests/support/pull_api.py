"""The pull API for tests: a home with several customers, publications, and what a token should get."""

import csv
import io
import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pyarrow.parquet as pq
from starlette.testclient import TestClient

from exports.server.app import PullApi
from exports.server.limits import Limits
from exports.server.tokens import Scope, new_token, store_token
from paywall_warehouse.home import Home
from tests.support.export_homes import MARTS, ORDER, exported_copy, like_c1, settings_of

USERS = ("acme:1", "acme:2", "acme", "Acme:1", "=bob", "zeta_%", "x-acme:1")
FORMULA = ("=", "+", "-", "@", "\t", "\r")
NOW = datetime(2026, 10, 6, tzinfo=UTC)


def customers(home: Path, place: Path) -> Path:
    """A copy of a home whose ledger, user days and wallets are those of several customers."""
    exported_copy(home, place)
    rows = [
        like_c1(
            entry_id=f"'{user}-{day}-{number}'",
            user_id=f"'{user}'",
            paywall_id=f"'pw{number % 2}'",
            entry_date=f"date '2026-10-0{day}'",
            amount=f"{number + day}.5",
            metadata='\'{"note": "\u00fc, ""x""\\n"}\'' if number == 1 else "null",
        )
        for day in range(1, 5)
        for number, user in enumerate(USERS)
    ]
    publish(place, *rows)
    return place


def publish(home: Path, *statements: str) -> None:
    """Replace the published file by a changed copy of it, as a run does."""
    file = Home(home).published_file
    changed = Path(shutil.copyfile(file, file.with_name("next.duckdb")))
    with duckdb.connect(str(changed)) as connection:
        for statement in statements:
            connection.execute(statement)
    os.replace(changed, file)


def bearer(home: Path, name: str, **scope: Any) -> dict[str, str]:
    """Add a token, and return the header with it."""
    token, text = new_token(name, Scope(**scope), NOW)
    store_token(Home(home), token)
    return {"Authorization": f"Bearer {text}"}


@contextmanager
def api(home: Path, limits: Limits | None = None) -> Iterator[TestClient]:
    """A client of the API on a home."""
    with TestClient(PullApi(settings_of(home), limits).application()) as client:
        yield client


# ---- what a token should get, by Python alone


@dataclass(frozen=True)
class Wanted:
    """A scope and a request, as a person would state them."""

    dataset: str
    columns: Sequence[str] | None = None
    equal: Mapping[str, str] = field(default_factory=dict)
    prefix: str | None = None
    since: date | None = None
    until: date | None = None


def all_rows(home: Path, dataset: str) -> list[dict[str, Any]]:
    """Every row of a dataset's table as Python values, in the order of its grain."""
    with duckdb.connect(str(Home(home).published_file), read_only=True) as connection:
        connection.execute("set TimeZone = 'UTC'")
        found = connection.execute(f"select * from marts.{MARTS[dataset]}")
        names = [name for name, *_ in found.description or ()]
        rows = [dict(zip(names, row, strict=True)) for row in found.fetchall()]
    order = ORDER[dataset].split(", ")
    return sorted(rows, key=lambda row: [(row[name] is None, _sortable(row[name])) for name in order])


def _sortable(value: Any) -> Any:
    # DuckDB compares texts by their bytes.
    return value.encode() if isinstance(value, str) else 0 if value is None else value


def expected(home: Path, wanted: Wanted, day: str | None = None) -> list[dict[str, Any]]:
    """The rows that a token gets."""
    kept = []
    for row in all_rows(home, wanted.dataset):
        is_own = all(row[name] == value for name, value in wanted.equal.items())
        if wanted.prefix is not None:
            user = row["BillingAccountId" if wanted.dataset == "focus" else "user_id"]
            is_own &= user is not None and user.startswith(wanted.prefix)
        if day is not None:
            is_own &= wanted.since is None or row[day] >= wanted.since
            is_own &= wanted.until is None or row[day] < wanted.until
        if is_own:
            kept.append({name: row[name] for name in wanted.columns or row})
    return kept


def as_texts(
    rows: Sequence[Mapping[str, Any]], encoding: str, *, whole_seconds: bool = False
) -> list[dict[str, Any]]:
    """Rows as a format shows them, with instants to the second or the microsecond."""
    instants = "%Y-%m-%dT%H:%M:%SZ" if whole_seconds else "%Y-%m-%dT%H:%M:%S.%fZ"
    return [{name: _shown(value, encoding, instants) for name, value in row.items()} for row in rows]


def _shown(value: Any, encoding: str, instants: str) -> Any:
    is_csv = encoding == "csv"
    if value is None:
        return "" if is_csv else None
    if isinstance(value, bool):
        return str(value).lower() if is_csv else value
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, datetime):
        return value.astimezone(UTC).strftime(instants)
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, list):
        return json.dumps(value, separators=(",", ":")) if is_csv else value
    if isinstance(value, str) and is_csv:
        return f"'{value}" if value.startswith(FORMULA) else value
    return str(value) if is_csv and isinstance(value, int) else value


def read(content: bytes, encoding: str) -> list[dict[str, Any]]:
    """The rows of a response, as `as_texts` shows them; numbers of a CSV stay texts."""
    if encoding == "jsonl":
        return [json.loads(line) for line in content.decode().splitlines()]
    if encoding == "csv":
        return list(csv.DictReader(io.StringIO(content.decode(), newline="")))
    return as_texts(pq.read_table(io.BytesIO(content)).to_pylist(), "parquet")
