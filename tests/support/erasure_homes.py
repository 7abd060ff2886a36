"""Landing files that name a person, and where that person is still found in a home."""

import gzip
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import duckdb
import pyarrow.parquet as pq
import zstandard

from ingestion.lake.erasures import read_registry
from paywall_warehouse.settings import load_settings
from tests.support.builders import (
    Raw,
    charge,
    csv_text,
    delivered,
    deposit,
    event,
    events_file,
    landed,
    ledger_file,
)

ALICE = "alice@example.com"

NOON = "2026-10-01T12:00:00Z"

AS_OF = "2026-10-05T12:00:00Z"

# Alice in every folder and format, once rejected, once in somebody else's words; Bob on a day of his own; one
# whose id begins as hers does.
FILES = [
    ledger_file(
        "a.jsonl",
        [
            deposit(
                "d1",
                "2026-10-01T08:00:00Z",
                "20",
                user=ALICE,
                metadata={"note": f"from {ALICE}, thanks", "deep": {"who": [ALICE]}},
            ),
            charge(
                "c1", "2026-10-01T09:00:00Z", "1.25", user=ALICE, model="m", provider_cost="0.000000000001"
            ),
            charge("c2", "2026-10-02T09:00:00Z", "2", user=f"{ALICE}.au", metadata={"referred_by": ALICE}),
            charge("bad", "2026-10-02T09:00:00Z", "no number", user=ALICE),
            Raw('{"id": "worse", "user": "' + ALICE + '", '),
        ],
    ),
    ledger_file(
        "b.csv.gz",
        [
            charge("c3", "2026-10-02T10:00:00Z", "0.5", user=ALICE, metadata={"who": ALICE}),
            charge("c4", "2026-10-03T10:00:00Z", "4", user="bob"),
            charge("c5", "2026-10-03T10:00:00Z", "x", user=ALICE),
        ],
    ),
    ledger_file("c.parquet", [charge("c6", "2026-10-02T11:00:00Z", "0.125", user=ALICE)]),
    events_file(
        "e.jsonl.zst",
        [
            delivered(
                event(
                    "e1",
                    "balance.deposit.created",
                    "2026-10-01T10:00:00Z",
                    walletUserId="w1",
                    externalUserId=ALICE,
                    activityId="act_1",
                    amount=5,
                    currency="usd",
                )
            ),
            event(
                "e2",
                "usage.charge.created",
                "2026-10-01T11:00:00Z",
                walletUserId="w1",
                activityId="act_2",
                cost="0.75",
                model="m",
            ),
            event(
                "e3",
                "authorization.completed",
                "2026-10-01T11:00:00Z",
                walletUserId="w1",
                externalUserId=ALICE,
                connectionId="c",
            ),
            event(
                "e4",
                "balance.depleted",
                "2026-10-01T12:00:00Z",
                walletUserId="w1",
                requestedAmount=1,
                availableBalance=0,
            ),
        ],
    ),
    landed(
        "payments",
        "p.csv",
        csv_text(
            [
                {
                    "rail": "sepa",
                    "payment_id": "p1",
                    "paid_at": "2026-10-01T08:00:00Z",
                    "amount": "20",
                    "currency": "usd",
                    "status": "succeeded",
                    "metadata": {"user": ALICE},
                },
            ]
        ),
    ),
]


@cache
def settings_of(home: Path) -> Any:
    return load_settings(_env_file=None, warehouse_home=home, as_of=AS_OF, max_reject_ratio="1")


def pseudonym_of(home: Path) -> str:
    [erasure] = read_registry(settings_of(home).home).erasures
    return erasure.pseudonym


def marts(home: Path) -> dict[str, list[str]]:
    """Every table as sorted text."""
    with duckdb.connect(str(home / "published" / "warehouse.duckdb"), read_only=True) as db:
        names = db.execute("select table_name from duckdb_tables() where schema_name = 'marts'").fetchall()
        return {
            name: sorted(map(str, db.execute(f"select * from marts.{name}").fetchall())) for (name,) in names
        }


def texts_of(folder: Path) -> Iterator[tuple[str, str]]:
    """Every file below a folder, unpacked, as text."""
    for file in sorted(folder.rglob("*")):
        if file.is_dir():
            continue
        if file.suffix == ".parquet":
            text = str(pq.ParquetFile(file).read().to_pylist())
        elif file.suffix == ".gz":
            text = gzip.decompress(file.read_bytes()).decode()
        elif file.suffix == ".zst":
            text = (
                zstandard.ZstdDecompressor()
                .stream_reader(file.read_bytes(), read_across_frames=True)
                .read()
                .decode()
            )
        elif file.suffix == ".duckdb":
            text = file.read_bytes().decode("latin-1")
            with duckdb.connect(str(file), read_only=True) as db:
                for schema, table in db.execute(
                    "select schema_name, table_name from duckdb_tables()"
                ).fetchall():
                    text += str(db.execute(f'select * from "{schema}"."{table}"').fetchall())
        else:
            text = file.read_bytes().decode("latin-1")
        yield str(file.relative_to(folder)), text


def without_the_other(text: str) -> str:
    """What is said of the user whose id only begins as Alice's does."""
    return text.replace(f"{ALICE}.au", "")


def naming_alice(folder: Path) -> list[str]:
    return [name for name, text in texts_of(folder) if ALICE in without_the_other(text)]


def under_the_pseudonym(tables: dict[str, list[str]], pseudonym: str) -> dict[str, list[str]]:
    """What `marts` should be, of what they were."""
    return {
        name: sorted(
            row.replace(f"{ALICE}.au", "OTHER").replace(ALICE, pseudonym).replace("OTHER", f"{ALICE}.au")
            for row in rows
        )
        for name, rows in tables.items()
    }
