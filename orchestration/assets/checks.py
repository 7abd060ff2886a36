"""The checks of this project as Dagster asset checks."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import dagster as dg

from warehouse.checks.invariant import WARN, Invariant, describe_failure, exact_text

FAILURES_LISTED = 5


def check_specs(key: dg.AssetKey, checks: Mapping[str, str]) -> list[dg.AssetCheckSpec]:
    """Return the specifications of an asset's checks; `checks` maps names to descriptions.

    None of them is `blocking`. A step fails by itself if one of its checks fails, and for blocking checks
    Dagster would repeat a warning about each check of each skipped step, once for every step downstream.
    """
    return [dg.AssetCheckSpec(name, asset=key, description=text) for name, text in checks.items()]


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
        yield dg.AssetCheckResult(
            asset_key=key,
            check_name=name,
            passed=not failed,
            description=describe_failure(failed[0], checks) if failed else None,
            severity=(
                dg.AssetCheckSeverity.WARN
                if failed and failed[0].severity == WARN
                else dg.AssetCheckSeverity.ERROR
            ),
            metadata=metadata,
        )


def failed_checks(consequence: str, checks: Mapping[str, str], failures: Sequence[Invariant]) -> str:
    """Return a message about the failed checks, with expected and actual values and where to look next."""
    count = Counter(one.name for one in failures)
    # Failures with a remedy come first, so that they are never cut off.
    first = sorted(failures, key=lambda one: not one.details)[:FAILURES_LISTED]
    shown = "\n".join(describe_failure(one, checks) for one in first)
    more = f"\n… and {len(failures) - FAILURES_LISTED} more" if len(failures) > FAILURES_LISTED else ""
    return f"{consequence}: {len(count)} checks failed ({', '.join(count)}).\n{shown}{more}"
