"""Provider bills of every format and fault against an oracle that reads nothing but the contract."""

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.support.cost_oracle import CostTables, reconcile_costs
from tests.support.harness import publish_home
from tests.support.oracle import Row, Rows
from tests.support.published_tables import Published, differences, is_idle
from tests.support.random_bills import BillCase, build_case, write_landing
from tests.support.secret_texts import assert_no_secret

CASE = ("provider", "usage_date", "model_id", "currency")
MONTH = ("provider", "month_start", "currency")
PROFIT = ("month_start", "currency")
SHOWN = 6
# Where lines of both sides are shown side by side, these say which belong together.
ALIKE = ("provider", "account", "usage_date", "model_as_billed", "token_kind", "charge_category", "project")


def publish(home: Path, case: BillCase) -> Published:
    settings = case.settings
    publish_home(
        home, as_of=settings.as_of, reporting_timezone=settings.reporting_timezone, max_reject_ratio=0.05
    )
    return Published(home)


def problems(published: Published, wanted: CostTables) -> list[str]:
    """Return the first differing rows of every table, with both sides."""
    cases = published.table("marts.fct_cost_reconciliation", CASE)
    found = [
        line_differences(wanted.bill_lines, published.rows("marts.fct_bill_lines")),
        differences("fct_cost_reconciliation", wanted.cases, cases, SHOWN),
        differences(
            "rpt_cost_reconciliation_months",
            wanted.months,
            published.table("marts.rpt_cost_reconciliation_months", MONTH),
            SHOWN,
        ),
        differences(
            "rpt_profit_at_bill",
            busy(wanted.profit),
            busy(published.table("marts.rpt_profit_at_bill", PROFIT)),
            SHOWN,
        ),
        broken_since(cases),
    ]
    return [one for one in found if one]


def busy(rows: Rows) -> Rows:
    """Return the rows in which anything counts: a month of zeros may be there or not."""
    return {
        key: row
        for key, row in rows.items()
        if not is_idle({n: v for n, v in row.items() if n not in PROFIT})
    }


def broken_since(cases: Rows) -> str:
    wrong = [key for key, row in cases.items() if (row["broken_since"] is None) != (row["status"] != "break")]
    return f"broken_since: not NULL exactly where there is no break: {wrong[:SHOWN]}" if wrong else ""


def line_differences(wanted: Iterable[Row], found: Iterable[Row]) -> str:
    """Return the first lines that only one side has; lines have no key of their own."""
    names = list(next(iter(wanted)))
    expected, published = (Counter(comparable(row, names) for row in rows) for rows in (wanted, found))
    only = [
        (row, number, side)
        for missing, side in ((expected - published, "expected "), (published - expected, "published"))
        for row, number in missing.items()
    ]
    if not only:
        return ""
    alike = [names.index(name) for name in ALIKE]
    only.sort(key=lambda one: ([str(one[0][at]) for at in alike], one[2]))
    shown = [
        f"  {side} {number} ×  " + ", ".join(f"{n}={v}" for n, v in zip(names, row, strict=True))
        for row, number, side in only[: 2 * SHOWN]
    ]
    total = sum(number for _, number, _ in only)
    return f"fct_bill_lines: {total} lines on one side only\n" + "\n".join(shown)


def comparable(row: Row, names: Sequence[str]) -> tuple[Any, ...]:
    """Return the cells of a line: numbers without trailing zeros, units in lower case."""
    return tuple(
        value.normalize()
        if isinstance(value, Decimal)
        else value.lower()
        if name == "unit" and value
        else value
        for name in names
        for value in (row.get(name, "NO SUCH COLUMN"),)
    )


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(3))
def test_bills_are_reconciled_as_the_contract_says(tmp_path: Path, seed: int) -> None:
    case = build_case(seed)
    write_landing(tmp_path / "landing", case)
    published = publish(tmp_path, case)
    found = problems(published, reconcile_costs(case.records, case.files, case.settings))
    assert not found, f"seed {seed}\n" + "\n\n".join(found)
    rejects = published.rows("ops.rejected_records")
    assert [row["reason_code"] for row in rejects] == ["not_a_bill"] * case.not_bills
    assert_no_secret(tmp_path)


def test_bills_of_several_runs_give_what_one_run_gives(tmp_path: Path) -> None:
    case = build_case(4)
    half, begun = len(case.files) // 2, 0
    for run, end in enumerate((half, len(case.files))):
        # Files of a later run have older times: the run counts first. The ledger is in the first one.
        first_at = datetime(2026, 11, 1, tzinfo=UTC) - timedelta(days=run)
        write_landing(tmp_path / "landing", case, case.files[begun:end], first_at)
        published = publish(tmp_path, case)
        found = problems(published, reconcile_costs(case.records, case.files[:end], case.settings))
        assert not found, f"after {end} files\n" + "\n\n".join(found)
        begun = end
    rejects = published.rows("ops.rejected_records")
    assert [row["reason_code"] for row in rejects] == ["not_a_bill"] * case.not_bills
    assert_no_secret(tmp_path)
