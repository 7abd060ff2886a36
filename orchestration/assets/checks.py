"""The checks of this project as Dagster asset checks."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

import dagster as dg

from orchestration import markdown
from orchestration.assets.failures import rejects_table
from warehouse.checks.invariant import WARN, Invariant, compared_values, exact_text


def check_specs(
    key: dg.AssetKey, checks: Mapping[str, str], warning_only: Collection[str] = ()
) -> list[dg.AssetCheckSpec]:
    """Return the specifications of an asset's checks; `checks` maps names to descriptions.

    All of them are `blocking`, which Dagster's UI shows, except those in `warning_only`.
    """
    return [
        dg.AssetCheckSpec(name, asset=key, description=text, blocking=name not in warning_only)
        for name, text in checks.items()
    ]


def describe_scopes(failed: Sequence[Invariant]) -> str:
    """Return the failure of a check as Markdown: its cause, or the values of its first scope."""
    first = failed[0]
    more = f"; {len(failed) - 1:,} more below" if len(failed) > 1 else ""
    return markdown.escaped(first.summary or f"{first.scope}: {compared_values(first)}{more}.")


def check_results(
    key: dg.AssetKey, checks: Mapping[str, str], invariants: Sequence[Invariant]
) -> Iterator[dg.AssetCheckResult]:
    """Yield one result for each check of an asset, with the compared values of each scope."""
    for name in checks:
        own = [one for one in invariants if one.name == name]
        failed = [one for one in own if not one.passed]
        records = [
            dg.TableRecord(
                {
                    "scope": one.scope,
                    "expected": exact_text(one.expected),
                    "actual": exact_text(one.actual),
                    "difference": exact_text(one.difference),
                    "passed": one.passed,
                }
            )
            for one in own
        ]
        metadata: dict[str, Any] = {"compared": dg.MetadataValue.table(records)} if records else {}
        if failed:
            metadata["query"] = failed[0].query
        if failed and failed[0].rejected_files:
            metadata["rejected files"] = rejects_table(failed[0].rejected_files)
        if failed and failed[0].details:
            lines = [f"- {markdown.escaped(line.strip())}" for line in failed[0].details.splitlines()]
            metadata["details"] = dg.MetadataValue.md("\n".join(lines))
        yield dg.AssetCheckResult(
            asset_key=key,
            check_name=name,
            passed=not failed,
            description=describe_scopes(failed) if failed else None,
            severity=(
                dg.AssetCheckSeverity.WARN
                if failed and failed[0].severity == WARN
                else dg.AssetCheckSeverity.ERROR
            ),
            metadata=metadata,
        )
