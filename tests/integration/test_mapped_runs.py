"""Runs of mapped sources: what their entries count, and that a changed mapping or a late grant restates."""

import shutil
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest

from ingestion.sources.mappings.catalog import shipped_mappings
from tests.support.builders import csv_text, jsonl
from tests.support.harness import publish_home, run_pipeline

AS_OF = "2026-11-12T12:00:00Z"
SPEND_LOG = (
    "request_id",
    "startTime",
    "endTime",
    "model",
    "custom_llm_provider",
    "spend",
    "end_user",
    "status",
    "team",
)
GRANT = {
    "id": "credgr_1",
    "object": "billing.credit_grant",
    "amount": {"type": "monetary", "monetary": {"currency": "usd", "value": 1000}},
    "category": "paid",
    "created": 1762732800,  # 2025-11-10T00:00:00Z
    "customer": "cus_1",
    "effective_at": None,
}
APPLIED = {
    "id": "cbtxn_1",
    "object": "billing.credit_balance_transaction",
    "type": "debit",
    "credit": None,
    "debit": {"type": "credits_applied", "amount": {"monetary": {"currency": "usd", "value": 250}}},
    "credit_grant": "credgr_1",
    "effective_at": 1762819200,  # 2025-11-11T00:00:00Z
}


def land(home: Path, path: str, content: bytes) -> None:
    file = home / "landing" / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content)


def spend_logs(*rows: Sequence[str]) -> bytes:
    return csv_text([dict(zip(SPEND_LOG, row, strict=True)) for row in rows], SPEND_LOG)


def published(home: Path, query: str) -> list[tuple[Any, ...]]:
    with duckdb.connect(str(home / "published" / "warehouse.duckdb"), read_only=True) as connection:
        return connection.execute(query).fetchall()


def at(minute: str) -> tuple[str, str]:
    """Return the start and the end of a request."""
    return f"{minute}:00", f"{minute}:01"


def land_usage(home: Path) -> None:
    land(
        home,
        "litellm_spend_logs/a.csv",
        spend_logs(
            (
                "r1",
                "2026-11-10 09:00:00",
                "2026-11-10 09:00:01",
                "gpt-4o",
                "openai",
                "0.02",
                "acme",
                "success",
                "t",
            ),
            (
                "r2",
                "2026-11-11 09:00:00",
                "2026-11-11 09:00:01",
                "gpt-4o",
                "openai",
                "1e-05",
                "acme",
                "success",
                "t",
            ),
            (
                "r3",
                "2026-11-11 10:00:00",
                "2026-11-11 10:00:01",
                "gpt-4o",
                "openai",
                "0.5",
                "acme",
                "failure",
                "t",
            ),
        ),
    )
    land(home, "prices/markups.csv", b"source,model,multiplier,per_request\nlitellm_spend_logs,*,1.5,0.001\n")
    land(
        home,
        "ledger/a.jsonl",
        jsonl(
            [
                {
                    "id": "d1",
                    "timestamp": "2026-11-10T08:00:00Z",
                    "type": "deposit",
                    "user": "acme",
                    "paywall": "pw",
                    "amount": "5",
                }
            ]
        ),
    )


@pytest.fixture(scope="module")
def usage_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run has published usage, and credit that was applied of an unknown grant; not to be changed."""
    home = tmp_path_factory.mktemp("usage")
    land_usage(home)
    land(home, "stripe_credits/1.jsonl", jsonl([APPLIED]))
    done = run_pipeline(home, as_of=AS_OF)
    assert done.exit_code == 0, done
    return home


def test_usage_of_a_gateway_is_priced_and_moves_no_wallet(usage_home: Path) -> None:
    entries = published(
        usage_home,
        """select entry_id, source, billing, amount, revenue, provider_cost, balance_effect
        from marts.fct_ledger_entries where entry_type = 'charge' order by entry_id""",
    )
    name, zero = "litellm_spend_logs", Decimal(0)
    assert entries == [
        # 0.02 × 1.5 + 0.001, 0.00001 × 1.5 + 0.001, and a failed call, which costs and earns nothing.
        ("litellm:r1", name, "postpaid", Decimal("0.031"), Decimal("0.031"), Decimal("0.02"), zero),
        ("litellm:r2", name, "postpaid", Decimal("0.001015"), Decimal("0.001015"), Decimal("0.00001"), zero),
        ("litellm:r3", name, "postpaid", Decimal("0.751"), zero, Decimal("0.5"), zero),
    ]
    assert published(usage_home, "select paywall_id, closing_balance from marts.fct_wallet_days") == [
        ("pw", 5)
    ]
    assert published(
        usage_home,
        "select revenue, provider_cost, profit from marts.fct_period_kpis where period = 'all_time'",
    ) == [(Decimal("0.032015"), Decimal("0.52001"), Decimal("-0.487995"))]
    assert published(
        usage_home,
        """select records, accepted, filtered, rejected, rounded_amounts, cost_stated from ops.loaded_files
        where source = 'litellm_spend_logs'""",
    ) == [(3, 3, 0, 0, 0, Decimal("0.52001"))]
    assert published(usage_home, "select source, path, column_name from ops.unmapped_columns") == [
        ("litellm_spend_logs", "litellm_spend_logs/a.csv", "team")
    ]


def tables(home: Path) -> dict[str, list[tuple[Any, ...]]]:
    """Every row of the tables that entries make."""
    return {
        table: published(home, f"select * from marts.{table} order by all")
        for table in (
            "fct_ledger_entries",
            "fct_daily_revenue",
            "fct_user_days",
            "fct_wallet_days",
            "dim_users",
        )
    }


def test_a_changed_mapping_and_a_late_grant_restate_what_was_published(
    usage_home: Path, tmp_path: Path
) -> None:
    home, fresh = Path(shutil.copytree(usage_home, tmp_path / "home")), tmp_path / "fresh"
    changed = shipped_mappings()["litellm_spend_logs"].text.replace("{constant: litellm}", "team")
    land_usage(fresh)
    # It is the only record of its file, but one that waits is no reject of the file's.
    assert published(home, "select reason_code from ops.rejected_records") == [("unknown_grant",)]
    of_grants = "from marts.fct_ledger_entries where source = 'stripe_credits'"
    assert published(home, f"select count(*) {of_grants}") == [(0,)]
    # The grant lands, and the mapping of the usage changes.
    land(home, "stripe_credits/2.jsonl", jsonl([GRANT]))
    land(fresh, "stripe_credits/all.jsonl", jsonl([APPLIED, GRANT]))
    for one in (home, fresh):
        (one / "mappings").mkdir()
        (one / "mappings" / "litellm_spend_logs.yml").write_text(changed)
        publish_home(one, as_of=AS_OF)
    assert tables(home) == tables(fresh)
    assert published(home, "from ops.rejected_records") == []
    balances = """select closing_balance from marts.fct_wallet_days
        where user_id = 'cus_1' and date_day <= '2025-11-11' order by date_day"""
    assert published(home, balances) == [(10,), (Decimal("7.5"),)]
    of_usage = "select distinct paywall_id from marts.fct_daily_revenue where paywall_id <> 'stripe'"
    assert published(home, of_usage) == [("t",)]


def test_a_run_reads_mapped_sources_and_refuses_a_broken_mapping(usage_home: Path, tmp_path: Path) -> None:
    assert published(usage_home, "select count(*) from marts.fct_ledger_entries") == [(4,)]
    home = Path(shutil.copytree(usage_home, tmp_path / "home"))
    (home / "mappings").mkdir()
    (home / "mappings" / "vendor.yml").write_text("fields: {id: {uper: id}}\n")
    broken = run_pipeline(home, as_of=AS_OF, exports=False)
    assert broken.exit_code != 0
    assert f"{home}/mappings/vendor.yml: fields.id: 'uper' is not a function" in broken.output
