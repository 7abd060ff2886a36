"""The real part of the sample: requests of two Azure LLM services, as recorded (see ATTRIBUTION.md)."""

from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq

REQUESTS_FILE = Path(__file__).with_name("azure_llm_requests_2023.parquet")


@dataclass(frozen=True, slots=True)
class Request:
    """One recorded request."""

    source: str
    """`conv` or `code`: the service that answered it."""
    number: int
    """The position in its trace, from 1."""
    place: float
    """The relative time in its trace: 0 is the first request, 1 the last."""
    context_tokens: int
    generated_tokens: int


def real_requests() -> dict[str, list[Request]]:
    """Return every recorded request by service, in the order of its trace."""
    traces: dict[str, list[Request]] = {}
    rows = pq.read_table(REQUESTS_FILE).to_pylist()
    last = {row["source"]: row["offset_us"] for row in rows}
    for row in rows:
        trace = traces.setdefault(row["source"], [])
        place = row["offset_us"] / last[row["source"]]
        trace.append(
            Request(row["source"], len(trace) + 1, place, row["context_tokens"], row["generated_tokens"])
        )
    return traces
