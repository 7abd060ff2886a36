"""Load with dlt into DuckDB: `python -m benchmarks.peers.dlt_load LANDING_LEDGER_DIR OUT_DIR [--parquet]`.

It follows dlt's documentation: the filesystem source with `read_jsonl`. By default, rows go to DuckDB as
INSERT statements from one process. With `--parquet`, it follows the page on performance: Parquet as the
loader's file format, larger pages, files small enough for parallel normalization, and as many workers as
cores.
"""

import os
import sys
import time
from pathlib import Path

import dlt
import duckdb
from dlt.sources.filesystem import filesystem, read_jsonl

from benchmarks.peers.outcome import report

# At the measured sizes, this gives each of two workers several files. Larger files left one worker idle.
FILE_ITEMS = 20_000
PAGE_ITEMS = 10_000


def settings(out: Path, *, parquet: bool) -> dict[str, str]:
    """Return the environment variables of dlt. Nothing is written outside `out`, and no telemetry is sent."""
    kept = {
        "DLT_DATA_DIR": str(out / "dlt"),
        "RUNTIME__DLTHUB_TELEMETRY": "false",
        "RUNTIME__LOG_LEVEL": "ERROR",
    }
    if not parquet:
        return kept
    workers = str(os.cpu_count() or 1)
    tuned = dict.fromkeys(("EXTRACT__WORKERS", "NORMALIZE__WORKERS", "LOAD__WORKERS"), workers)
    return {**kept, **tuned, "SOURCES__DATA_WRITER__FILE_MAX_ITEMS": str(FILE_ITEMS)}


def main() -> None:
    """Load, and count the rows."""
    ledger, out, parquet = Path(sys.argv[1]), Path(sys.argv[2]), "--parquet" in sys.argv
    os.environ.update(settings(out, parquet=parquet))
    file = out / "dlt.duckdb"
    begin = time.perf_counter()
    pipeline = dlt.pipeline(
        "bench",
        pipelines_dir=str(out / "pipelines"),
        destination=dlt.destinations.duckdb(str(file)),
        dataset_name="raw",
    )
    reader = read_jsonl(chunksize=PAGE_ITEMS) if parquet else read_jsonl()
    source = (filesystem(bucket_url=str(ledger), file_glob="*.jsonl") | reader).with_name("ledger")
    pipeline.run(source, loader_file_format="parquet" if parquet else None)
    seconds = time.perf_counter() - begin
    with duckdb.connect(str(file), read_only=True) as connection:
        rows = connection.execute("select count(*) from raw.ledger").fetchall()[0][0]

    report(seconds, rows)


if __name__ == "__main__":
    main()
