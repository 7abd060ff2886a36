"""The field `provider_cost_currency`: a cost in another currency than its entry is kept and in no total, also
beside lake batches that were written before the field existed. And who bills a charge.
"""

import json
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest

from ingestion.lake.batches import Lake
from ingestion.lake.recount import apply_limits
from paywall_warehouse.settings import Settings, load_settings
from tests.support.builders import Record, charge, csv_text, deposit, jsonl, parquet, refund
from tests.support.export_homes import export
from tests.support.harness import publish_home
from tests.support.ingestion import load
from tests.support.older_lake import make_older, raw_entries
from tests.support.shared import in_soak

NOON = "2026-10-01T12:00:00Z"
AS_OF = "2026-10-31T12:00:00Z"
COLUMNS = "entry_id, currency, provider_cost_currency"


def settings_of(home: Path, **more: Any) -> Settings:
    return load_settings(_env_file=None, warehouse_home=home, **more)


def land(home: Path, path: str, content: bytes) -> None:
    file = home / "landing" / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content)


def load_ledger(home: Path, name: str, content: bytes, **more: Any) -> None:
    land(home, f"ledger/{name}", content)
    load(settings_of(home, **more), "ledger")


def rejects(home: Path) -> list[tuple[Any, ...]]:
    lake = Lake(settings_of(home).home)
    files = [str(file) for file in lake.parquet_files("rejects", lake.manifests())]
    query = "select line, reason_code, reason from read_parquet($files) order by path, line"
    return duckdb.execute(query, {"files": files}).fetchall() if files else []


def published(home: Path, query: str) -> list[tuple[Any, ...]]:
    with duckdb.connect(str(home / "published" / "warehouse.duckdb"), read_only=True) as connection:
        return connection.execute(query).fetchall()


# ---- loading


@pytest.mark.parametrize("name", ["a.jsonl", "a.csv", "a.parquet", "a.json"])
def test_the_currency_of_a_cost_is_read_from_every_format(tmp_path: Path, name: str) -> None:
    records = [
        charge("a", NOON, provider_cost="1", currency="usd", provider_cost_currency="EUR"),
        charge("b", NOON, provider_cost="1", currency="USD", provider_cost_currency="Usd"),
        charge("c", NOON, provider_cost="1", provider_cost_currency=""),
        charge("d", NOON, provider_cost_currency="usdc"),
    ]
    written = {
        "jsonl": jsonl,
        "csv": csv_text,
        "parquet": parquet,
        "json": lambda rows: json.dumps(rows).encode(),
    }[name.partition(".")[2]]
    load_ledger(tmp_path, name, written(records))
    assert raw_entries(tmp_path, f"{COLUMNS}, metadata") == [
        ("a", "usd", "eur", None),
        ("b", "usd", "usd", None),
        ("c", None, None, None),
        ("d", None, "usdc", None),
    ]


def test_a_code_that_is_no_currency_is_a_reject(tmp_path: Path) -> None:
    records = [
        charge("a", NOON, provider_cost="1", provider_cost_currency="euros!"),
        charge("b", NOON, provider_cost="1", provider_cost_currency="usdd"),
        charge("c", NOON, provider_cost="1", currency="eru", provider_cost_currency="usdd"),
        charge("e", NOON, provider_cost="1", currency="eur", provider_cost_currency="usd"),
    ]
    load_ledger(tmp_path, "a.jsonl", jsonl(records))
    code, advice = (
        "unknown_currency",
        "Correct it and land it again, or, if it is yours, add it to EXTRA_CURRENCIES",
    )
    assert rejects(tmp_path) == [
        (1, "bad_currency", 'field "provider_cost_currency" is not a code of 3 to 5 letters: euros!'),
        (
            2,
            code,
            'field "provider_cost_currency" is not a known currency: usdd; the nearest known code is usd.'
            f" {advice}",
        ),
        (3, code, f'field "currency" is not a known currency: eru; the nearest known code is eur. {advice}'),
    ]
    assert raw_entries(tmp_path, COLUMNS) == [("e", "eur", "usd")]
    # An own code moves the rows in, without another load.
    own = {"extra_currencies": ("usdd",)}
    apply_limits(
        settings_of(tmp_path, **own),
        Lake(settings_of(tmp_path).home),
        Lake(settings_of(tmp_path).home).manifests(),
    )
    assert [line for line, *_ in rejects(tmp_path)] == [1, 3]
    assert raw_entries(tmp_path, COLUMNS, **own) == [("b", None, "usdd"), ("e", "eur", "usd")]


MAPPING = """
fields:
  id: id
  timestamp: at
  type: {constant: charge}
  user: who
  paywall: {constant: main}
  amount: price
  currency: {constant: eur}
  provider_cost: cost
  provider_cost_currency: cost_currency
"""
ROW = {"id": "a", "at": NOON, "who": "u", "price": "2", "cost": "1", "cost_currency": "USD"}


def load_mapped(home: Path, mapping: str) -> None:
    file = home / "mappings" / "acme.yml"
    file.parent.mkdir(exist_ok=True)
    file.write_text(mapping)
    load(settings_of(home), "acme")


def test_a_mapping_may_state_the_currency_of_the_cost(tmp_path: Path) -> None:
    land(tmp_path, "acme/a.csv", csv_text([ROW, ROW | {"id": "b", "cost_currency": "dollars"}]))
    load_mapped(tmp_path, MAPPING)
    assert raw_entries(tmp_path, COLUMNS) == [("a", "eur", "usd")]
    assert rejects(tmp_path) == [
        (
            3,
            "bad_currency",
            'field "provider_cost_currency" (from column "cost_currency") is not a code of 3 to 5 letters:'
            " dollars",
        )
    ]


# ---- batches of the version before

NEW = charge("b", NOON, provider_cost="1", provider_cost_currency="eur")


@pytest.mark.parametrize("older", [(0,), (0, 1), *in_soak(((),), ((1,),))])
def test_a_batch_of_the_version_before_states_none(tmp_path: Path, older: tuple[int, ...]) -> None:
    load_ledger(
        tmp_path, "a.jsonl", jsonl([charge("a", NOON, provider_cost="1", provider_cost_currency="eur")])
    )
    load_ledger(tmp_path, "b.jsonl", jsonl([NEW]))
    for batch in older:
        make_older(tmp_path, batch, 1)
    stated = [(name, None, None if batch in older else "eur") for batch, name in enumerate("ab")]
    assert raw_entries(tmp_path, COLUMNS) == stated
    # Another limit filters each batch by its currencies, too.
    assert raw_entries(tmp_path, COLUMNS, earliest_entry="2026-10-02") == []
    lake = Lake(settings_of(tmp_path).home)
    later = settings_of(tmp_path, earliest_entry="2026-10-02")
    assert [one.outside for one in apply_limits(later, lake, lake.manifests())] == [1, 1]


def test_an_older_batch_is_counted_beside_a_new_one_without_rows(tmp_path: Path) -> None:
    load_ledger(tmp_path, "a.jsonl", jsonl([charge("a", NOON, currency="zzz"), charge("b", NOON)]))
    make_older(tmp_path, 0, 1)
    load_ledger(tmp_path, "empty.parquet", b"PAR1 it is not")
    lake, own = Lake(settings_of(tmp_path).home), settings_of(tmp_path, extra_currencies=("zzz",))
    assert [(one.outside, one.schema_version) for one in lake.manifests()] == [(1, 1), (0, 2)]
    assert [one.outside for one in apply_limits(own, lake, lake.manifests())] == [0, 0]


GRANT = {
    "id": "credgr_1",
    "object": "billing.credit_grant",
    "amount": {"type": "monetary", "monetary": {"currency": "usd", "value": 1000}},
    "category": "paid",
    "created": 1762732800,
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
    "effective_at": 1762819200,
}


def test_a_transaction_of_an_older_batch_gets_its_user(tmp_path: Path) -> None:
    land(tmp_path, "stripe_credits/1.jsonl", jsonl([APPLIED]))
    load(settings_of(tmp_path), "stripe_credits")
    make_older(tmp_path, 0, 1)
    land(tmp_path, "stripe_credits/2.jsonl", jsonl([GRANT]))
    load(settings_of(tmp_path), "stripe_credits")
    assert raw_entries(tmp_path, "entry_id, user_id, provider_cost_currency") == [
        ("stripe:cbtxn_1", "cus_1", None),
        ("stripe:credgr_1", "cus_1", None),
    ]


def test_the_rows_that_a_changed_mapping_keeps_have_all_columns(tmp_path: Path) -> None:
    land(tmp_path, "acme/a.csv", csv_text([ROW]))
    land(tmp_path, "acme/b.csv", csv_text([ROW | {"id": "b"}]))
    load_mapped(tmp_path, MAPPING)
    make_older(tmp_path, 0, 1)
    # One file is gone. The changed mapping refuses the other.
    (tmp_path / "landing" / "acme" / "a.csv").unlink()
    load_mapped(tmp_path, MAPPING.replace("  id: id", "  id: number"))
    assert raw_entries(tmp_path, COLUMNS) == [("a", "eur", None)]
    assert [code for _, code, _ in rejects(tmp_path)] == ["missing_column"]


# ---- totals

BILLED = {"billed_by": "OpenRouter"}
# Each step lands in a run of its own. Costs in usd: 1 + 0.5 (failed). That of c3 is in eur, and becomes one
# in usd in the last step. c5 is a charge in eur with a cost in usd.
STEPS: tuple[list[Record], ...] = (
    [
        deposit("d1", NOON, "50"),
        charge("c1", NOON, "4", model="openai/m", provider_cost="1"),
        charge(
            "c2",
            NOON,
            "4",
            model="openai/m",
            status="failed",
            provider_cost="0.5",
            provider_cost_currency="USD",
        ),
        charge(
            "c3",
            NOON,
            "4",
            model="openai/m",
            metadata=BILLED,
            provider_cost="7",
            provider_cost_currency="EUR",
        ),
        charge("c4", NOON, "4", user="bob", model="own", provider_cost="8", provider_cost_currency="EUR"),
        charge("c5", NOON, "3", currency="eur", provider_cost="2", provider_cost_currency="usd"),
    ],
    [refund("r1", NOON, "1", "c1", provider_cost="0.25")],
    [
        charge(
            "c3",
            NOON,
            "4",
            updated_at="2026-10-02T12:00:00Z",
            model="openai/m",
            metadata=BILLED,
            provider_cost="7",
            provider_cost_currency="USD",
        )
    ],
)
KPIS = """select currency, charges, revenue, provider_cost, profit, cost_coverage
    from {} order by currency"""
ALL_TIME = "marts.fct_period_kpis where period = 'all_time'"
RANGE = "marts.kpis(date '2026-10-01', date '2026-10-02'{})"


def kpis(home: Path, relation: str) -> list[tuple[Any, ...]]:
    return published(home, KPIS.format(relation))


@dataclass(frozen=True)
class Restated:
    """A home in which each step was published."""

    home: Path
    kpis: list[dict[str, list[tuple[Any, ...]]]]
    """The sums of all time and of a range, after each step."""
    exported_costs: dict[str, dict[str, Decimal]]
    """The totals of two datasets that were exported after the first step, by currency."""


@pytest.fixture(scope="module")
def restated(tmp_path_factory: pytest.TempPathFactory) -> Restated:
    """Not to be changed."""
    home, found, totals = tmp_path_factory.mktemp("restated"), [], {}
    for number, records in enumerate(STEPS):
        land(home, f"ledger/{number}.jsonl", jsonl(records))
        publish_home(home, as_of=AS_OF)
        found.append({name: kpis(home, name) for name in (ALL_TIME, RANGE.format(""))})
        if not number:
            for dataset in export(home, ("ledger", "daily_revenue")):
                manifest = json.loads((home / "exports" / "v1" / dataset / "manifest.json").read_text())
                [day] = manifest["partitions"]
                totals[dataset] = {
                    currency: Decimal(sums["provider_cost"]) for currency, sums in day["totals"].items()
                }
    return Restated(home, found, totals)


def test_a_cost_in_another_currency_is_kept_and_in_no_total(restated: Restated, tmp_path: Path) -> None:
    home, found = restated.home, restated.kpis
    # usd: revenue 4 + 4 + 4; the costs of 2 of 4 charges are known. eur: the only cost is in usd.
    first = [("eur", 1, 3, 0, 3, 0.0), ("usd", 3, 12, Decimal("1.5"), Decimal("10.5"), 0.5)]
    assert [list(one.values()) for one in found[:2]] == [[first, first]] * 2
    last = [("eur", 1, 3, 0, 3, 0.0), ("usd", 3, 12, Decimal("8.5"), Decimal("3.5"), 0.75)]
    assert list(found[2].values()) == [last, last]
    # With a filter on models or types, the sums come from entries.
    by_model = [("eur", 0, 0, 0, 0, None), ("usd", 2, 8, Decimal("8.5"), Decimal("-0.5"), 1.0)]
    assert kpis(home, RANGE.format(", models := ['openai/m']")) == by_model
    assert kpis(home, RANGE.format(", entry_types := ['charge']")) == last
    assert published(
        home,
        """select user_id, currency, sum(provider_cost), sum(charges_without_cost)::int
        from marts.usage(date '2026-10-01', date '2026-10-02', by_user := true, by_model := true)
        group by all order by all""",
    ) == [("alice", "eur", 0, 1), ("alice", "usd", Decimal("8.5"), 0), ("bob", "usd", 0, 1)]
    assert published(
        home, "select user_id, currency, provider_cost, cost_to_serve from marts.rpt_users order by all"
    ) == [("alice", "eur", 0, None), ("alice", "usd", Decimal("8.5"), 4.25), ("bob", "usd", 0, None)]
    assert published(
        home, "select currency, cumulative_profit from marts.fct_cohorts where months_since = 0 order by all"
    ) == [("eur", 3), ("usd", Decimal("3.5"))]
    assert published(
        home,
        """select entry_id, provider_cost, provider_cost_currency, billed_by
        from marts.fct_ledger_entries order by entry_id""",
    ) == [
        ("c1", 1, "usd", "openai"),
        ("c2", Decimal("0.5"), "usd", "openai"),
        ("c3", 7, "usd", "openrouter"),
        ("c4", 8, "eur", "unknown"),
        ("c5", 2, "usd", "unknown"),
        ("d1", None, None, None),
        ("r1", Decimal("0.25"), "usd", None),
    ]

    for number, records in enumerate(STEPS):
        land(tmp_path, f"ledger/{number}.jsonl", jsonl(records))
    publish_home(tmp_path, full_refresh=True, as_of=AS_OF)
    for table in (
        "fct_ledger_entries",
        "fct_daily_revenue",
        "fct_user_days",
        "fct_user_months",
        "fct_cohorts",
    ):
        query = f"select * from marts.{table} order by all"
        assert published(home, query) == published(tmp_path, query), table


def test_totals_of_an_export_have_each_cost_under_its_currency(restated: Restated) -> None:
    totals = restated.exported_costs
    # usd: 1 + 0.5 and the 2 of a charge in eur; eur: 7 + 8
    assert totals["ledger"] == {"eur": 15, "usd": Decimal("3.5")}
    assert totals["daily_revenue"] == {"eur": 0, "usd": Decimal("1.5")}
