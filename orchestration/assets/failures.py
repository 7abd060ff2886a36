"""Failures of a step as Dagster shows them: what failed, where, how often, and why.

Dagster keeps them for months, so they have no unbounded text.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import dagster as dg

from orchestration import markdown
from warehouse.checks.invariant import Invariant, describe_failure, exact_text
from warehouse.checks.rejected_files import RejectedFile
from warehouse.dbt_runner import DbtBuild

FAILURES_LISTED = 5
ROWS_LISTED = 20


def check_failure(
    consequence: str, descriptions: Mapping[str, str], failures: Sequence[Invariant]
) -> dg.Failure:
    """Return the failure of a step whose checks failed. `consequence` states what was not done."""
    metadata: dict[str, Any] = {
        "failed checks": dg.MetadataValue.md(_checks_table(failures)),
    }
    files = [file for one in failures for file in one.rejected_files]
    if files:
        metadata["rejected files"] = dg.MetadataValue.md(rejects_table(files))
        metadata["rejected records"] = sum(file.rejected for file in files)
    return dg.Failure(
        description=_describe_checks(consequence, descriptions, failures),
        metadata=metadata,
        allow_retries=False,
    )


def dbt_failure(done: DbtBuild) -> dg.Failure:
    """Return the failure of a build: the failed models and tests, each with dbt's message and its query."""
    failures = done.failures
    first = failures[0]
    rows = "" if first.rows is None else f" ({markdown.count(first.rows, 'row')})"
    further = f" and {len(failures) - 1:,} more" if len(failures) > 1 else ""
    described = "\n\n".join(failure.describe() for failure in failures[:FAILURES_LISTED])
    table = markdown.table(
        ("failed", "rows", "message"),
        [
            (failure.name, "–" if failure.rows is None else f"{failure.rows:,}", failure.message)
            for failure in failures
        ],
        limit=ROWS_LISTED,
        right=(1,),
    )
    return dg.Failure(
        description=(
            f"Nothing is published: {len(failures):,} of dbt's models and tests failed: {first.name}{rows}"
            f"{further}.\n\n{described}{_more(failures)}"
        ),
        metadata={"failed models and tests": dg.MetadataValue.md(table)},
        allow_retries=False,
    )


def rejects_table(files: Sequence[RejectedFile]) -> str:
    """Return the rejects of each file and reason as a Markdown table."""
    return markdown.table(
        ("file", "rejected", "of", "reason", "first line", "first reject"),
        [
            (
                *(file.standing_path, f"{one.records:,}", f"{file.records:,}", one.code),
                *(str(one.first_lines[0]) if one.first_lines else "–", one.shown_reason),
            )
            for file in files
            for one in file.reasons
        ],
        limit=ROWS_LISTED,
        right=(1, 2, 4),
    )


def _describe_checks(consequence: str, descriptions: Mapping[str, str], failures: Sequence[Invariant]) -> str:
    # Failures with a remedy come first, so that they are never cut off.
    first = sorted(failures, key=lambda one: not one.details)
    described = [describe_failure(one, descriptions) for one in first[:FAILURES_LISTED]]
    count = Counter(one.name for one in failures)
    summaries = [one.summary for one in failures if one.summary]
    names = f"{markdown.count(len(count), 'check')} failed ({', '.join(count)})"
    if len(count) > len(summaries):
        summaries.insert(0, f"{names}.")
    if len(failures) == 1 and not failures[0].summary:
        return f"{consequence}: {described[0]}"
    separator = "\n"
    return f"{consequence}: {' '.join(summaries)}\n{separator.join(described)}{_more(failures)}"


def _checks_table(failures: Sequence[Invariant]) -> str:
    return markdown.table(
        ("check", "scope", "expected", "actual", "difference"),
        [
            (one.name, one.scope, *map(exact_text, (one.expected, one.actual, one.difference)))
            for one in failures
        ],
        limit=ROWS_LISTED,
        right=(2, 3, 4),
    )


def _more(failures: Sequence[Any]) -> str:
    return f"\n\n… and {len(failures) - FAILURES_LISTED:,} more" if len(failures) > FAILURES_LISTED else ""
