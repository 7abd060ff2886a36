"""The checks of this project as Dagster asset checks."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

import dagster as dg

from warehouse.checks.invariant import WARN, Invariant, describe_failure, exact_text


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
