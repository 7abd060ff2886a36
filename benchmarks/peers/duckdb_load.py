"""Load and deduplicate with DuckDB: `python -m benchmarks.peers.duckdb_load LANDING_LEDGER_DIR OUT_DIR`.

The first step of `limit.py`, with its settings.
"""

import sys
import time
from pathlib import Path

import duckdb

from benchmarks.limit import STEPS
from benchmarks.peers.outcome import report


def main() -> None:
    """Read, convert, and keep the last versions as a table of a file."""
    ledger, out = Path(sys.argv[1]), Path(sys.argv[2])
    begin = time.perf_counter()
    with duckdb.connect(str(out / "entries.duckdb")) as connection:
        connection.execute(
            "set TimeZone = 'UTC'; set preserve_insertion_order = false; set memory_limit = '4GB'"
        )
        connection.execute(STEPS["entries"].format(src=ledger, out=out))
        connection.execute("checkpoint")
        seconds = time.perf_counter() - begin
        rows = connection.execute("select count(*) from entries").fetchall()[0][0]
    report(seconds, rows)


if __name__ == "__main__":
    main()
