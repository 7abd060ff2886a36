"""The sample data: real requests, and an invented business around them, landed as files of every source.

It only writes landed files; loading them belongs to `ingestion/`. Test data belongs to `tests/support/`.

Real: the prompt and completion tokens of 28,185 requests to two Azure LLM services on 16 November 2023 and
their relative times (Azure Public Dataset, CC-BY 4.0; Patel et al., "Splitwise: Efficient generative LLM
inference using phase splitting", ISCA 2024), and the models' list prices. For some of these requests, their
token counts are repeated in an invented LiteLLM log. Invented: everything else, including users and money.
See ATTRIBUTION.md.
"""

from sample_data.land import SampleSummary, describe, land_sample

__all__ = ["SampleSummary", "describe", "land_sample"]
