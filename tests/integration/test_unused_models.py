"""Homes without bills: dbt does not build the models of bills, and readers see the same empty tables."""

from pathlib import Path
from typing import Any

import pytest

from paywall_warehouse.duckdb_connections import open_duckdb
from paywall_warehouse.settings import Settings
from tests.support.builders import charge, dumps, land, landed, ledger_file
from tests.support.harness import publish_home, run_pipeline
from warehouse.dbt_runner import Dbt
from warehouse.unused_models import BILLS, READ_LAYERS, unused_models

AS_OF = "2026-10-20T00:00:00Z"
SHAPE = """
select table_name, column_name, data_type, columns.comment, tables.comment
from duckdb_columns() as columns join duckdb_tables() as tables using (schema_name, table_name)
where schema_name = 'marts' order by table_name, column_index
"""


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    home = tmp_path_factory.mktemp("parsed")
    return Dbt(Settings(_env_file=None, warehouse_home=home)).prepare_manifest()


def ask(home: Path, query: str) -> list[Any]:
    with open_duckdb(home / "published" / "warehouse.duckdb", read_only=True) as connection:
        return connection.execute(query).fetchall()


def test_empty_tables_are_those_of_dbt_until_the_first_bill_lands(tmp_path: Path) -> None:
    entries = ledger_file(
        "a.jsonl",
        [
            charge(
                "a", "2026-10-01T12:00:00Z", model="openai/gpt-test", prompt_tokens=100, provider_cost="0.4"
            )
        ],
    )
    by_dbt, home = tmp_path / "by_dbt", tmp_path / "home"
    for each in (by_dbt, home):
        land(each, [entries])
    publish_home(by_dbt, as_of=AS_OF)
    result = run_pipeline(home, by_dbt=True, as_of=AS_OF)
    assert result.exit_code == 0, result
    assert "fct_daily_revenue" in result.output
    assert "fct_bill_lines" not in result.output
    assert ask(home, SHAPE) == ask(by_dbt, SHAPE)
    profit = "select profit, cost_difference, profit_at_bill from marts.rpt_profit_at_bill"
    assert ask(home, profit) == ask(by_dbt, profit)

    amount = {"amount": {"value": "0.5", "currency": "usd"}, "line_item": "gpt-test, input"}
    # 2026-10-01, UTC.
    bucket = {"object": "bucket", "start_time": 1790812800, "end_time": 1790899200, "results": [amount]}
    land(home, [landed("bills/openai_costs", "a.json", dumps({"data": [bucket]}).encode())])
    publish_home(home, as_of=AS_OF)
    cases = "select case_id, difference::varchar, break_type from marts.fct_cost_reconciliation"
    assert ask(home, cases) == [("openai:2026-10-01:openai/gpt-test:usd", "0.100000000000", "rate_mismatch")]
    assert ask(home, "select count(*) > 0 from ops.invariants where name = 'bills_are_in_cases'") == [(True,)]


def test_no_other_model_reads_a_table_that_may_be_missing(manifest: dict[str, Any]) -> None:
    nodes = {name: node for name, node in manifest["nodes"].items() if node["resource_type"] == "model"}
    missing = {
        name for name, node in nodes.items() if BILLS in node["tags"] and node["fqn"][1] not in READ_LAYERS
    }
    assert missing
    for name, node in nodes.items():
        if BILLS not in node["tags"]:
            assert missing.isdisjoint(node["depends_on"]["nodes"]), name


@pytest.mark.parametrize(
    "filled", ["raw.bill_lines", "raw.bill_invoices", "raw.published_cost_breaks", "marts.fct_bill_lines"]
)
def test_a_bill_an_invoice_a_past_break_or_a_left_over_row_needs_all_models(
    tmp_path: Path, manifest: dict[str, Any], filled: str
) -> None:
    file = tmp_path / "build.duckdb"
    with open_duckdb(file) as connection:
        connection.execute("create schema raw; create schema marts")
        for name in ("raw.bill_lines", "raw.bill_invoices", "raw.published_cost_breaks"):
            connection.execute(f"create table {name} (number integer)")
    assert any(name.endswith(".fct_bill_lines") for name in unused_models(file, manifest))
    with open_duckdb(file) as connection:
        connection.execute(f"drop table {filled}; create table {filled} as select 1 as number")
    assert unused_models(file, manifest) == []
