"""Load and deduplicate with chdb, which is ClickHouse in this process.

    python -m benchmarks.peers.chdb_load LANDING_LEDGER_DIR OUT_DIR

The result is the last version of every entry, typed, as one Parquet file.
"""

import sys
import time
from pathlib import Path

import chdb

from benchmarks.peers.outcome import report

SCHEMA = (
    "id String, timestamp String, updated_at String, type String, status String, user String, paywall String,"
    " amount String, currency String, request_id Nullable(String), model Nullable(String), prompt_tokens"
    " Nullable(Int64), completion_tokens Nullable(Int64), provider_cost Nullable(String), related_id"
    " Nullable(String), metadata Nullable(String)"
)
LOAD = """
    insert into function file('{out}', 'Parquet')
    select id, parseDateTime64BestEffort(timestamp, 6, 'UTC') as occurred_at,
        parseDateTime64BestEffort(updated_at, 6, 'UTC') as updated,
        type, status, user, paywall, toDecimal128(amount, 12) as amount, lower(currency) as currency,
            request_id, model, prompt_tokens,
        completion_tokens, toDecimal128(provider_cost, 12) as provider_cost, related_id, metadata
    from file('{ledger}/*.jsonl', 'JSONEachRow', '{schema}')
    order by updated desc limit 1 by id
    settings output_format_parquet_compression_method = 'zstd'
"""


def main() -> None:
    """Read, convert, keep the last versions, and write."""
    ledger, out = Path(sys.argv[1]), Path(sys.argv[2]) / "entries.parquet"
    begin = time.perf_counter()
    chdb.query(LOAD.format(ledger=ledger, out=out, schema=SCHEMA))
    seconds = time.perf_counter() - begin
    report(seconds, int(str(chdb.query(f"select count() from file('{out}', 'Parquet')", "CSV")).strip()))


if __name__ == "__main__":
    main()
