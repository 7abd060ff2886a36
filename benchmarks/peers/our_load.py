"""Load with the pipeline alone: `python -m benchmarks.peers.our_load LANDING_LEDGER_DIR OUT_DIR`.

OUT_DIR is the home. This is the load of the step `raw__ledger_entries`: every record is validated, valid ones
go to the lake as typed Parquet, invalid ones to the rejects.
"""

import sys
import time
from pathlib import Path

from benchmarks.peers.outcome import report
from ingestion.load import load
from paywall_warehouse.settings import load_settings
from warehouse.build_file import drop_build_file


def main() -> None:
    """Load one folder."""
    ledger, home = Path(sys.argv[1]), Path(sys.argv[2])
    begin = time.perf_counter()
    loaded = load(
        load_settings(_env_file=None, warehouse_home=home, landing_uri=str(ledger.parent)),
        "ledger",
        drop_build=drop_build_file,
    )
    report(time.perf_counter() - begin, loaded.accepted)


if __name__ == "__main__":
    main()
