"""The field `billing` of a ledger record, lake batches that were written before it existed, and postpaid
entries in incremental builds.
"""

from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest

from ingestion.lake.batches import Lake
from ingestion.lake.recount import apply_limits
from ingestion.lake.row_limits import RowLimits
from ingestion.lake.schemas import ADDED, LAKE_TABLES, SCHEMA_VERSION, missing_columns
from paywall_warehouse.quoting import literal
from paywall_warehouse.settings import Settings, load_settings
from tests.support.builders import Record, adjustment, charge, deposit, jsonl, refund, withdrawal
from tests.support.harness import publish_home
from tests.support.ingestion import load
from tests.support.older_lake import make_older, raw_entries
from tests.support.shared import in_soak

NOON = "2026-10-01T12:00:00Z"


def settings_of(home: Path, **more: Any) -> Settings:
    return load_settings(_env_file=None, warehouse_home=home, **more)


def load_ledger(home: Path, name: str, records: list[Record]) -> None:
    file = home / "landing" / "ledger" / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(jsonl(records))
    load(settings_of(home), "ledger")


def test_billing_is_prepaid_unless_it_is_stated(tmp_path: Path) -> None:
    load_ledger(
        tmp_path,
        "a.jsonl",
        [
            charge("a", NOON),
            charge("b", NOON, billing="PostPaid"),
            charge("c", NOON, billing="prepaid", note="x"),
            charge("d", NOON, billing=""),
        ],
    )
    assert raw_entries(tmp_path, "entry_id, source, billing, metadata") == [
        ("a", "ledger", "prepaid", None),
        ("b", "ledger", "postpaid", None),
        ("c", "ledger", "prepaid", '{"extra":{"note":"x"}}'),
        ("d", "ledger", "prepaid", None),
    ]


def test_another_word_for_billing_is_a_reject(tmp_path: Path) -> None:
    load_ledger(tmp_path, "a.jsonl", [charge("a", NOON, billing="invoice")])
    (file,) = (tmp_path / "lake" / "rejects").rglob("*.parquet")
    assert duckdb.execute("select reason_code, reason from read_parquet($1)", [str(file)]).fetchall() == [
        ("unknown_billing", 'field "billing" is invoice; allowed: prepaid, postpaid')
    ]


@pytest.mark.parametrize("older", [(0,), (0, 1), *in_soak(((),), ((1,),))])
def test_batches_of_earlier_versions_are_read_beside_new_ones(tmp_path: Path, older: tuple[int, ...]) -> None:
    load_ledger(tmp_path, "a.jsonl", [charge("a", NOON, "1.5", billing="postpaid")])
    load_ledger(tmp_path, "b.jsonl", [charge("b", NOON, "2.5", billing="postpaid")])
    for batch in older:
        make_older(tmp_path, batch)
    expected = [
        (name, amount, *((None, None) if batch in older else ("ledger", "postpaid")))
        for batch, (name, amount) in enumerate([("a", "1.500000000000"), ("b", "2.500000000000")])
    ]
    columns = "entry_id, amount::varchar, source, billing"
    assert raw_entries(tmp_path, columns) == expected
    # Another limit filters each batch, and is what the next load counts the rows by.
    limited = raw_entries(tmp_path, columns, earliest_entry="2026-10-02")
    assert limited == []


def test_rows_of_an_older_batch_that_a_limit_moves_out_are_counted(tmp_path: Path) -> None:
    load_ledger(tmp_path, "a.jsonl", [charge("a", NOON)])
    make_older(tmp_path, 0)
    settings = settings_of(tmp_path, earliest_entry="2026-10-02")
    load(settings, "ledger")

    lake = Lake(settings.home)
    (manifest,) = apply_limits(settings, lake, lake.manifests())
    assert (manifest.outside, manifest.limits) == (1, RowLimits.of(settings).digest)
    (file,) = (tmp_path / "lake" / "rejects").rglob("*.parquet")
    assert duckdb.sql(f"select reason_code from read_parquet({literal(str(file))})").fetchall() == [
        ("time_out_of_range",)
    ]


def test_every_added_column_is_in_its_table() -> None:
    for table, columns in ADDED.items():
        assert columns.keys() <= LAKE_TABLES[table].keys()
        assert max(columns.values()) <= SCHEMA_VERSION
        assert missing_columns(table, SCHEMA_VERSION) == {}


# ---- postpaid entries

AS_OF = "2026-10-31T12:00:00Z"
LATER = "2026-10-05T12:00:00Z"
POSTPAID = {"billing": "postpaid"}
# Each step lands in a run of its own, so that a refund comes before its charge, and a charge is restated.
STEPS = (
    [
        refund("r1", LATER, "1", "c1", user="post"),
        refund("r2", LATER, "2", "c2"),
        deposit("d1", NOON, "10", **POSTPAID),
        adjustment("a1", NOON, "-1", **POSTPAID),
        withdrawal("w1", NOON, "1", **POSTPAID),
        charge("c3", NOON, "3", status="pending", **POSTPAID),
        refund("r3", LATER, "0.5", "c3"),
    ],
    [
        charge("c1", NOON, "5", user="post", provider_cost="2", **POSTPAID),
        charge("c2", NOON, "4", **POSTPAID),
        charge("c3", NOON, "3", status="failed", updated_at=LATER, **POSTPAID),
    ],
    [
        charge("c2", NOON, "4", updated_at=LATER),
        charge("c3", NOON, "3", updated_at="2026-10-06T12:00:00Z", **POSTPAID),
    ],
)
WALLETS = """select user_id, date_day::varchar, charged::varchar, refunds::varchar, closing_balance::varchar
    from marts.fct_wallet_days order by all"""
TABLES = {
    "fct_ledger_entries": "",
    "fct_wallet_days": "",
    "fct_balance_rollforward": "",
    "fct_user_days": "",
    "fct_user_months": "",
    "fct_daily_revenue": "",
    "fct_period_kpis": "",
    "rpt_users": "",
}


def published(home: Path, query: str) -> list[tuple[Any, ...]]:
    with duckdb.connect(str(home / "published" / "warehouse.duckdb"), read_only=True) as connection:
        return connection.execute(query).fetchall()


def money(amount: str) -> str:
    return f"{Decimal(amount):.12f}"


def test_postpaid_entries_move_no_wallet_in_any_order(tmp_path: Path) -> None:
    home, again = tmp_path / "home", tmp_path / "again"
    wallets = []
    for number, records in enumerate(STEPS):
        for one in (home, again):
            file = one / "landing" / "ledger" / f"{number}.jsonl"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(jsonl(records))
        publish_home(home, as_of=AS_OF)
        wallets.append(published(home, WALLETS))

    def day(user: str, day: str, charged: str, refunds: str, closing: str) -> tuple[str, ...]:
        return user, f"2026-10-0{day}", *map(money, (charged, refunds, closing))

    # The billing of deposits, adjustments and withdrawals has no effect: 10 - 1 - 1.
    first = day("alice", "1", "0", "0", "8")
    assert wallets[0] == [first, day("alice", "5", "0", "2", "10"), day("post", "5", "0", "1", "1")]
    # The charges are there, and are postpaid: their refunds leave the wallets.
    assert wallets[1] == [first]
    # c2 became prepaid, and its refund moves the wallet again. That of c3 does not, whatever the status.
    restated = [day("alice", "1", "4", "0", "4"), day("alice", "5", "0", "2", "6")]
    assert wallets[2:] == [restated]

    assert published(
        home,
        """select user_id, balance::int, balance_band, total_spend::int, profit::int, charges
        from marts.rpt_users order by all""",
    ) == [("alice", 6, "high", 7, 7, 2), ("post", 0, "zero", 5, 3, 1)]
    [kpis] = published(
        home,
        """select revenue::int, refunds::varchar, provider_cost::int, active_users, active_payers
        from marts.fct_period_kpis where period = 'all_time'""",
    )
    assert kpis == (12, money("3.5"), 2, 2, 2)
    owed = "select user_id, closing_balance::int from marts.balances(date '2026-10-31')"
    assert published(home, owed) == [("alice", 6)]

    publish_home(again, full_refresh=True, as_of=AS_OF)
    for table, columns in TABLES.items():
        query = f"select * {columns} from marts.{table} order by all"
        assert published(home, query) == published(again, query), table
