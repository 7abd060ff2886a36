"""Failures of a step as Dagster shows them: what failed, where, how often, and why.

Dagster keeps them for months, so they have no unbounded text.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import dagster as dg

from orchestration import markdown
from paywall_warehouse.quoting import printable
from warehouse.checks.invariant import Invariant, describe_failure, exact_text
from warehouse.checks.rejected_files import RejectedFile
from warehouse.dbt_runner import DbtBuild

FAILURES_LISTED = 5
ROWS_LISTED, TEXT_CHARACTERS = 20, 240


def check_failure(
    consequence: str, descriptions: Mapping[str, str], failures: Sequence[Invariant]
) -> dg.Failure:
    """Return the failure of a step whose checks failed. `consequence` states what was not done."""
    metadata: dict[str, Any] = {
        "failed checks": _checks_table(failures),
    }
    files = [file for one in failures for file in one.rejected_files]
    if files:
        metadata["rejected files"] = rejects_table(files)
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
    shown = table(
        ("failed", "rows", "message"),
        [
            (failure.name, "–" if failure.rows is None else f"{failure.rows:,}", failure.message)
            for failure in failures
        ],
    )
    return dg.Failure(
        description=(
            f"Nothing is published: {len(failures):,} of dbt's models and tests failed: {first.name}{rows}"
            f"{further}.\n\n{described}{_more(failures)}"
        ),
        metadata={"failed models and tests": shown},
        allow_retries=False,
    )


def rejects_table(files: Sequence[RejectedFile]) -> dg.TableMetadataValue:
    """Return a table of the rejects of each file and reason."""
    return table(
        ("file", "rejected", "of", "reason", "first line", "first reject"),
        [
            (
                *(file.standing_path, f"{one.records:,}", f"{file.records:,}", one.code),
                *(str(one.first_lines[0]) if one.first_lines else "–", one.shown_reason),
            )
            for file in files
            for one in file.reasons
        ],
    )


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> dg.TableMetadataValue:
    """Return the first rows as a table of Dagster, which shows texts as they are.

    The last row states how many more there are.
    """
    shown = [[_shortened(text) for text in row] for row in rows[:ROWS_LISTED]]
    if len(rows) > ROWS_LISTED:
        shown.append([f"… and {len(rows) - ROWS_LISTED:,} more", *[""] * (len(header) - 1)])
    return dg.MetadataValue.table(
        [dg.TableRecord(dict(zip(header, row, strict=True))) for row in shown],
        dg.TableSchema([dg.TableColumn(name) for name in header]),
    )


def _shortened(text: str) -> str:
    text = printable(text)
    return text if len(text) <= TEXT_CHARACTERS else f"{text[:TEXT_CHARACTERS]}…"


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


def _checks_table(failures: Sequence[Invariant]) -> dg.TableMetadataValue:
    return table(
        ("check", "scope", "expected", "actual", "difference"),
        [
            (one.name, one.scope, *map(exact_text, (one.expected, one.actual, one.difference)))
            for one in failures
        ],
    )


def _more(failures: Sequence[Any]) -> str:
    return f"\n\n… and {len(failures) - FAILURES_LISTED:,} more" if len(failures) > FAILURES_LISTED else ""
