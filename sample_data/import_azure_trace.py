"""Make `azure_llm_requests_2023.parquet` from the two CSV files of the Azure LLM inference trace 2023.

It was run once by hand. The project contains the Parquet file:

    python -m sample_data.import_azure_trace CONV_CSV CODE_CSV

Every row of both files is kept, in its order. The clock time becomes the
microseconds since the first request of its trace.
"""

import csv
import sys
from datetime import datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from sample_data.requests import REQUESTS_FILE

SCHEMA = pa.schema(
    [
        ("source", pa.string()),
        ("offset_us", pa.int64()),
        ("context_tokens", pa.int32()),
        ("generated_tokens", pa.int32()),
    ],
    metadata={
        "title": "Azure LLM inference trace 2023 (conv and code), requests of 16 November 2023",
        "licence": "CC-BY 4.0, Microsoft, Azure Public Dataset",
        "citation": (
            "Patel et al., Splitwise: Efficient generative LLM inference using phase splitting, ISCA 2024"
        ),
        "changes": "both files in one, clock times as microseconds since the first request of each trace",
    },
)


def instant(text: str) -> datetime:
    """Return the time of a row. The trace has ticks of 100 ns whose last digit is always 0, which
    microseconds hold exactly.
    """
    if len(text) != 27 or not text.endswith("0"):
        raise ValueError(f"{text!r} is not a time of the trace (expected 7 decimals, the last one 0)")
    return datetime.fromisoformat(text[:-1])


def rows(source: str, path: Path) -> list[dict[str, object]]:
    """Return the rows of one trace."""
    with path.open(newline="") as file:
        records = list(csv.DictReader(file))
    start = instant(records[0]["TIMESTAMP"])
    return [
        {
            "source": source,
            "offset_us": (instant(record["TIMESTAMP"]) - start) // timedelta(microseconds=1),
            "context_tokens": int(record["ContextTokens"]),
            "generated_tokens": int(record["GeneratedTokens"]),
        }
        for record in records
    ]


def main(conv: Path, code: Path) -> None:
    """Write both traces into one file."""
    table = pa.Table.from_pylist(rows("conv", conv) + rows("code", code), schema=SCHEMA)
    pq.write_table(
        table,
        REQUESTS_FILE,
        compression="zstd",
        column_encoding={"offset_us": "DELTA_BINARY_PACKED"},
        use_dictionary=["source"],
    )
    print(f"{REQUESTS_FILE}: {table.num_rows} requests, {REQUESTS_FILE.stat().st_size} bytes")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(Path(sys.argv[1]), Path(sys.argv[2]))
