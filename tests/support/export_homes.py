"""Homes whose publications are exported, made once a process; what lies in their exports."""

import csv
import gzip
import io
import json
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import astuple
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import pytest

from exports import catalog, datasets
from exports.catalog import Finished, finish_exports
from exports.datasets import DATASETS
from exports.export import Exported, export_published
from paywall_warehouse.home import Home
from paywall_warehouse.settings import Settings, load_settings
from tests.support.builders import (
    adjustment,
    charge,
    csv_text,
    deposit,
    event,
    events_file,
    land,
    landed,
    ledger_file,
    refund,
)
from tests.support.harness import publish_home, run_pipeline
from tests.support.payment_builders import (
    activity_file,
    charge_row,
    covering,
    credit,
    payout_item,
    payout_items_file,
    payout_row,
    payouts_file,
)
from tests.support.shared import once
from warehouse.runs import PUBLISHED, Run, append_run

AS_OF = "2026-10-05T12:00:00Z"
THIRD = "2026-10-03"
Rows = list[tuple[Any, ...]]
IN_COMMON = {
    "amount_currency": "usd",
    "quantity": "10",
    "quantity_unit": "tokens",
    "user_email": "bob@x.example",
}

# The grain of each dataset, reporting days first, as the contract has it.
ORDER = {
    "ledger": "entry_date, entry_id",
    "daily_revenue": "date_day, paywall_id, model_id, currency",
    "user_days": "date_day, user_id, paywall_id, currency",
    "wallet_days": "date_day, user_id, paywall_id, currency",
    "balance_rollforward": "date_day, currency",
    "usage_errors": "error_date, event_id",
    "bill_lines": "usage_date, bill_line_id",
    "cost_reconciliation": "usage_date, provider, model_id, currency",
    "credit_days": "date_day, user_id, paywall_id, currency",
    "journal": "journal_date, journal, account, currency, relates_to_date, debit",
    "users": "user_id, currency",
    "models": "model_id, currency, period",
    "cohorts": "cohort_month, currency, months_since",
    "period_kpis": "period, currency",
    "growth": "period_kind, period_start, currency",
    "reconciliation": "case_id",
    "payouts": "payout_id",
    "deferred_revenue": "date_day, currency",
    "focus": "x_ReportingDate, BillingAccountId, SubAccountId, BillingCurrency, x_Kind, x_Billing, SkuId,"
    " PricingUnit, x_RelatedPeriodStart",
}
MARTS = {
    "ledger": "fct_ledger_entries",
    "daily_revenue": "fct_daily_revenue",
    "user_days": "fct_user_days",
    "wallet_days": "fct_wallet_days",
    "balance_rollforward": "fct_balance_rollforward",
    "usage_errors": "fct_usage_errors",
    "bill_lines": "fct_bill_lines",
    "cost_reconciliation": "fct_cost_reconciliation",
    "credit_days": "fct_credit_days",
    "journal": "fct_journal_lines",
    "users": "rpt_users",
    "models": "rpt_models",
    "cohorts": "fct_cohorts",
    "period_kpis": "fct_period_kpis",
    "growth": "fct_growth",
    "reconciliation": "fct_reconciliation",
    "payouts": "fct_payouts",
    "deferred_revenue": "fct_deferred_revenue",
    "focus": "rpt_focus",
}


# What is exported without a setting.
BY_DEFAULT = tuple(name for name, dataset in DATASETS.items() if not dataset.is_optional)


def first_publication(factory: pytest.TempPathFactory) -> Path:
    """A home after its first run, for the tests of all files; to be copied, never changed."""
    return once(factory, "first-publication", _publish_first)


def _publish_first(home: Path) -> None:
    paid = charge_row(
        "txn_1", "2026-10-01T08:00:00Z", "20.00", "0.88", intent="pi_1", charge="ch_1", payout="po_1"
    )
    out = payout_row("po_1", "2026-10-03T00:00:00Z", "19.12")
    entries = [
        credit("d1", "2026-10-01T08:00:00Z", "20", intent="pi_1"),
        deposit("d2", "2026-10-01T08:00:00Z", "5", user="=bob", currency="eur"),
        charge("c1", "2026-10-01T09:00:00Z", "1.25", model="m", provider_cost="1.1", prompt_tokens=10),
        charge("c2", "2026-10-03T09:00:00Z", "0.000000000001", user="=bob", currency="eur"),
        refund("r1", "2026-10-04T09:00:00.123456Z", "0.25", of="c1"),
        adjustment("a1", "2026-10-04T10:00:00Z", "-1"),
    ]
    depleted = event(
        "e1",
        "balance.depleted",
        "2026-10-02T10:00:00Z",
        walletUserId="w",
        requestedAmount=12,
        availableBalance="3.5",
    )
    billed = {1790812800: ("1.2", "m, input"), 1790985600: ("0.5", "n, output")}
    bill = [
        {"start_time": day, "end_time": day + 86_400, "amount_value": amount, "line_item": item} | IN_COMMON
        for day, (amount, item) in billed.items()
    ]
    files = [
        ledger_file("a.jsonl", entries),
        landed("bills/openai_costs", "b.csv", csv_text(bill)),
        events_file("e.jsonl", [depleted]),
        activity_file(covering("2026-10-01", "2026-10-04"), [paid]),
        payouts_file(covering("2026-10-01", "2026-10-04", stem="Payouts"), [out]),
        payout_items_file(
            covering("2026-10-01", "2026-10-04", stem="Items"),
            [payout_item(paid, "po_1", "2026-10-03T00:00:00Z")],
        ),
    ]
    land(home, files)
    publish_home(home, as_of=AS_OF, export_focus=True)
    export(home, as_of=AS_OF)
    finish(home, as_of=AS_OF)


def copied(home: Path, place: Path) -> Path:
    """A home to be changed, without what was exported from it."""
    copy = shutil.copytree(
        home,
        place,
        ignore=shutil.ignore_patterns("lake", "dbt", "warehouse.duckdb.tmp", "exports", "exported.json"),
    )
    return Path(copy)


def exported_copy(home: Path, place: Path) -> Path:
    """`copied`, with the exports."""
    copied(home, place)
    shutil.copytree(home / "exports", place / "exports")
    return place


def settings_of(home: Path, **more: Any) -> Settings:
    """The settings of these homes, with which every dataset is exported."""
    return load_settings(_env_file=None, warehouse_home=home, **{"export_focus": True, **more})


def export(home: Path, names: Iterable[str] = tuple(DATASETS), **more: Any) -> dict[str, Exported]:
    exported = {name: export_published(settings_of(home, **more), DATASETS[name], print) for name in names}
    assert not [check for one in exported.values() for check in one.checks if not check.passed]
    return exported


def finish(home: Path, **more: Any) -> Finished:
    return finish_exports(settings_of(home, **more))


def limit_datasets(patch: pytest.MonkeyPatch, *names: str) -> None:
    """Let the export know only the datasets of these names, which makes a test of files fast."""
    for module in (catalog, datasets):
        patch.setattr(module, "DATASETS", {name: DATASETS[name] for name in names})


def change(home: Path, *statements: str, run_id: str = "run-2") -> None:
    """What a second run would leave behind: other marts in the published file, and its line in the log."""
    run = Run(
        run_id,
        *[datetime(2026, 12, 1, tzinfo=UTC)] * 2,
        datetime(2026, 10, 6, tzinfo=UTC),
        PUBLISHED,
        0,
        0,
        "test",
    )
    with duckdb.connect(str(home / "published" / "warehouse.duckdb")) as connection:
        for statement in statements:
            connection.execute(statement)
        connection.execute("insert into ops.runs values (?, ?, ?, ?, ?, ?, ?, ?, ?)", list(astuple(run)))
    append_run(Home(home), run)


def like_c1(**values: str) -> str:
    """SQL: one more ledger entry, like c1 but for what is given as SQL."""
    replaced = ", ".join(f"{sql} as {name}" for name, sql in values.items())
    return (
        f"insert into marts.fct_ledger_entries select * replace ({replaced}) from marts.fct_ledger_entries"
        " where entry_id = 'c1'"
    )


def manifest_of(root: Path, name: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((root / "v1" / name / "manifest.json").read_bytes())
    return content


def slices(root: Path, name: str, encoding: str, day: str | None = None) -> list[Path]:
    """The files that a manifest names, in its order."""
    partitions = [one for one in manifest_of(root, name)["partitions"] if day in (None, one["date"])]
    named = [file for partition in partitions for file in partition["files"] if file["format"] == encoding]
    return [root / "v1" / name / file["path"] for file in named]


def csv_cells(files: Iterable[Path]) -> list[list[str]]:
    """The rows of some CSV files without their headers."""
    return [row for file in files for row in csv_rows(file)[1:]]


def csv_rows(file: Path) -> list[list[str]]:
    return list(csv.reader(io.StringIO(gzip.decompress(file.read_bytes()).decode(), newline="")))


def csv_records(file: Path) -> list[dict[str, str]]:
    header, *rows = csv_rows(file)
    return [dict(zip(header, row, strict=True)) for row in rows]


def contents(root: Path) -> dict[str, bytes]:
    """Every file of an export with its bytes."""
    return {
        file.relative_to(root).as_posix(): file.read_bytes() for file in root.rglob("*") if file.is_file()
    }


@contextmanager
def opened(home: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect(str(home / "published" / "warehouse.duckdb"), read_only=True) as connection:
        connection.execute("set TimeZone = 'UTC'")
        yield connection


def second_publication(factory: pytest.TempPathFactory) -> Path:
    """The home of the first publication after a run that found one more entry, of a day long past; never
    changed.
    """

    def make(home: Path) -> None:
        shutil.copytree(first_publication(factory), home, dirs_exist_ok=True)
        late = charge("late", "2026-10-01T10:00:00Z", "0.5", model="m", provider_cost="0.25", prompt_tokens=3)
        land(home, [ledger_file("b.jsonl", [late])])
        result = run_pipeline(home, exports=True, as_of=AS_OF, export_focus=True)
        assert result.exit_code == 0, result

    return once(factory, "second-publication", make)


def revisions(root: Path, name: str) -> dict[str | None, int]:
    return {partition["date"]: partition["revision"] for partition in manifest_of(root, name)["partitions"]}
