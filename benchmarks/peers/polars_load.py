"""Load and deduplicate with polars: `python -m benchmarks.peers.polars_load LANDING_LEDGER_DIR OUT_DIR`.

The result is the last version of every entry, typed, as one Parquet file.
"""

import sys
import time
from pathlib import Path

import polars as pl

from benchmarks.peers.outcome import report

MONEY = pl.Decimal(38, 12)
TEXTS = (
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
)
SCHEMA = {
    **dict.fromkeys(TEXTS, pl.String()),
    "prompt_tokens": pl.Int64(),
    "completion_tokens": pl.Int64(),
    "provider_cost": pl.String(),
    "related_id": pl.String(),
    "metadata": pl.Struct({"payment_intent": pl.String(), "rail": pl.String()}),
}


def main() -> None:
    """Read, convert, keep the last versions, and write."""
    ledger, out = Path(sys.argv[1]), Path(sys.argv[2])
    begin = time.perf_counter()
    entries = pl.scan_ndjson(sorted(ledger.glob("*.jsonl")), schema=SCHEMA).with_columns(
        pl.col("timestamp", "updated_at").str.to_datetime(
            "%Y-%m-%dT%H:%M:%S%.fZ", time_unit="us", time_zone="UTC"
        ),
        pl.col("amount", "provider_cost").cast(MONEY),
        pl.col("currency").str.to_lowercase(),
    )
    latest = entries.sort("updated_at").unique("id", keep="last").collect()
    latest.write_parquet(out / "entries.parquet", compression="zstd")
    report(time.perf_counter() - begin, latest.height)


if __name__ == "__main__":
    main()
