"""Charges whose source states only its cost are priced by the last `prices/markups` file."""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest

from ingestion.lake.batches import Lake
from ingestion.unread_files import unread_warnings
from orchestration.cli.status import status_lines
from paywall_warehouse.settings import Settings, load_settings
from tests.support.builders import Record, charge, csv_text, jsonl, parquet
from tests.support.harness import publish_home
from tests.support.ingestion import load
from warehouse.build import prepare_build
from warehouse.markups import landed_markups, markup_warnings
from warehouse.price_book import resolve_price_book

NOON = "2026-10-01T12:00:00Z"
AS_OF = "2026-10-02T12:00:00Z"
COLUMNS = ("source", "model", "effective_from", "effective_to", "multiplier", "per_request")


def settings_of(home: Path) -> Settings:
    return load_settings(_env_file=None, warehouse_home=home)


def markups(*rows: Sequence[str]) -> bytes:
    """Rows in the order of `COLUMNS`, as CSV."""
    return csv_text([dict(zip(COLUMNS, row, strict=True)) for row in rows], COLUMNS)


def land(home: Path, path: str, content: bytes) -> None:
    file = home / "landing" / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content)


def land_costs(home: Path, name: str, records: list[Record], source: str) -> None:
    """Load charges as a mapped source states them: with their cost, without an amount."""
    land(home, f"ledger/{name}", jsonl(records))
    batch = load(settings_of(home), "ledger").batch_seq
    assert batch is not None
    lake = Lake(settings_of(home).home)
    for file in lake.parquet_files("ledger_entries", lake.manifests(batch)):
        duckdb.execute(
            f"""copy (select * replace (null::decimal(38, 12) as amount, '{source}' as source)
            from read_parquet('{file}', hive_partitioning = false)) to '{file}.new' (format parquet)"""
        )
        Path(f"{file}.new").replace(file)


def published(home: Path, query: str) -> list[tuple[Any, ...]]:
    with duckdb.connect(str(home / "published" / "warehouse.duckdb"), read_only=True) as connection:
        return connection.execute(query).fetchall()


def amounts(home: Path) -> dict[str, str]:
    return dict(
        published(
            home,
            """select entry_id, rtrim(amount::varchar, '0') from marts.fct_ledger_entries
            where paywall_id = 'pw'""",
        )
    )


def landed(home: Path) -> list[tuple[str, str, str]]:
    load(settings_of(home), "markups")
    return [
        (one.source, one.model_id, str(one.multiplier.normalize()))
        for one in landed_markups(Lake(settings_of(home).home))
    ]


# The same path has its first content again in the last run.
FIRST = markups(["", "gpt-4o", "", "", "1.5", ""], ["x", "*", "2026-10-01", "", "", "0.25"])
RUNS = (None, FIRST, markups(["*", "openai/gpt-4o", "", "", "1.5", ""]), FIRST)


@dataclass(frozen=True)
class Priced:
    """What a run published."""

    amounts: dict[str, str]
    revenue: list[tuple[Any, ...]]


@pytest.fixture(scope="module")
def priced(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Priced]]:
    """A home that was published under each content of `RUNS`, and what it showed; not to be changed."""
    home, shown = tmp_path_factory.mktemp("priced") / "home", []
    costs = [
        charge("a", NOON, provider_cost="1.000000000001", model="gpt-4o"),
        charge("b", NOON, provider_cost="2", model="Other"),
        charge("c", NOON),
    ]
    land_costs(home, "x.jsonl", [*costs, *logged_calls("x")], "x")
    land_costs(home, "y.jsonl", logged_calls("y"), "y")
    land(home, "ledger/own.jsonl", jsonl([charge("own", NOON, paywall="calls", request_id="r1")]))
    for content in RUNS:
        if content is not None:
            land(home, "prices/markups.csv", content)
        publish_home(home, as_of=AS_OF)
        shown.append(Priced(amounts(home), published(home, REVENUE)))
    return home, shown


def logged_calls(source: str) -> list[Record]:
    """Three calls, two of which another source has logged as well."""
    return [
        charge(
            f"{source}{number}",
            NOON,
            paywall="calls",
            provider_cost="1",
            request_id=f"r{number if number else source}",
        )
        for number in range(3)
    ]


REVENUE = """select revenue::varchar, charges from marts.fct_daily_revenue
    where paywall_id = 'pw' order by all"""


def test_a_changed_markup_restates_and_doubles_nothing(priced: tuple[Path, list[Priced]]) -> None:
    _, (without, first, changed, again) = priced
    assert without.amounts == {"a": "1.000000000001", "b": "2.", "c": "0."}
    # The row of the source goes before that of the model. Without a cost, no fee is charged.
    assert first.amounts == {"a": "1.250000000001", "b": "2.25", "c": "0."}
    assert changed.amounts == {"a": "1.500000000002", "b": "2.", "c": "0."}
    assert changed.revenue == [
        ("0.000000000000", 1),
        ("1.500000000002", 1),
        ("2.000000000000", 1),
    ]
    assert again.amounts == {"a": "1.250000000001", "b": "2.25", "c": "0."}


def published_code(home: Path) -> str:
    [(code,)] = published(home, "select code_version from ops.build_state")
    return str(code)


def test_another_file_counts_only_where_it_says_something_else(
    priced: tuple[Path, list[Priced]], tmp_path: Path
) -> None:
    home = Path(shutil.copytree(priced[0], tmp_path / "home"))
    plan = prepare_build(settings_of(home), published_code(home))
    assert not plan.full_refresh, plan.why
    for content, restates in (
        (markups(["*", "GPT-4o", "", "", "1.50", "0"], ["x", "", "2026-10-01", "", "1", "0.250"]), False),
        (markups(["*", "GPT-4o", "", "", "1.51", "0"], ["x", "", "2026-10-01", "", "1", "0.250"]), True),
    ):
        land(home, "prices/markups.csv", content)
        load(settings_of(home), "markups")
        resolve_price_book(settings_of(home))
        assert prepare_build(settings_of(home), published_code(home)).full_refresh is restates


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("markups.csv", markups(["x", "M/1", "", "", "2", ""])),
        ("sub/markups.jsonl", jsonl([{"source": "x", "model": "M/1", "multiplier": 2}])),
        ("Markups.parquet", parquet([{"source": "x", "model": "M/1", "multiplier": "2"}])),
    ],
)
def test_rates_and_markups_share_a_folder(tmp_path: Path, name: str, content: bytes) -> None:
    land(tmp_path, f"prices/{name}", content)
    land(tmp_path, "prices/rates.csv", b"model,effective_from,per_request\nM/1,2026-01-01,7\n")
    assert load(settings_of(tmp_path), "prices").files == 1
    assert landed(tmp_path) == [("x", "m/1", "2")]
    assert unread_warnings(settings_of(tmp_path)) == []


def test_the_last_file_that_can_be_read_holds(tmp_path: Path) -> None:
    land(tmp_path, "prices/markups.csv", markups(["x", "*", "", "", "2", ""]))
    assert landed(tmp_path) == [("x", "*", "2")]
    # A damaged file is no statement, and neither is one without the columns of a markup.
    land(tmp_path, "prices/markups.parquet", b"no Parquet")
    land(tmp_path, "prices/markups.jsonl.gz", b"no gzip")
    assert landed(tmp_path) == [("x", "*", "2")]
    # Rows of the last file that are rejected do not bring back those of an older one.
    land(tmp_path, "prices/markups.csv", markups(["x", "*", "", "", "-2", ""], ["y", "*", "", "", "3", ""]))
    assert landed(tmp_path) == [("y", "*", "3")]
    land(tmp_path, "prices/markups.csv", markups(["x", "*", "", "", "-3", ""]))
    assert landed(tmp_path) == []


def test_empty_columns_have_defaults_and_bad_ones_are_rejects(tmp_path: Path) -> None:
    land(
        tmp_path,
        "prices/markups.csv",
        markups(
            ["", "", "", "", "", ""],
            ["x", "m", "2026-01-01", "2026-01-02", "999999.999999999999", "999999.999999999999"],
            ["x", "m", "2026-01-02", "2026-01-02", "1", ""],
            ["x", "m", "1.1.2026", "", "1", ""],
            ["x", "m", "", "", "1000000", ""],
            ["x", "m", "", "", "", "1000000"],
            ["x", "m", "", "", "1e-13", ""],
            ["x", "m", "", "", "-1", ""],
            ["x", "m", "", "", "twice", ""],
        ),
    )
    load(settings_of(tmp_path), "markups")
    lake = Lake(settings_of(tmp_path).home)
    assert [(one.source, one.model_id, one.multiplier, one.per_request) for one in landed_markups(lake)] == [
        ("*", "*", Decimal(1), Decimal(0)),
        ("x", "m", Decimal("999999.999999999999"), Decimal("999999.999999999999")),
    ]
    (file,) = lake.parquet_files("rejects", lake.manifests())
    codes = duckdb.execute("select line, reason_code from read_parquet($1) order by line", [str(file)])
    assert codes.fetchall() == [
        (4, "bad_date"),
        (5, "bad_date"),
        (6, "amount_too_large"),
        (7, "amount_too_large"),
        (8, "too_many_decimals"),
        (9, "negative_amount"),
        (10, "bad_amount"),
    ]


def test_a_markup_of_a_source_that_no_mapping_has_is_warned_about(tmp_path: Path) -> None:
    home = settings_of(tmp_path).home
    assert markup_warnings(home) == []
    mapping = tmp_path / "mappings" / "acme_gateway.yml"
    mapping.parent.mkdir()
    mapping.write_text(
        "fields: {id: id, type: {constant: charge}, timestamp: {time: at}, paywall: {constant: a}, amount: a}"
    )
    rows = [[source, "*", "", "", "2", ""] for source in ("*", "litellm", "acme_gateway", "9\x1b[0m")]
    land(tmp_path, "prices/markups.csv", markups(*rows))
    load(settings_of(tmp_path), "markups")
    near, far = markup_warnings(home)
    assert near == (
        "prices/markups.csv:3 is a markup of the source litellm, which no mapping has: did you mean"
        " litellm_spend_logs?"
    )
    assert "prices/markups.csv:5" in far
    assert "\x1b" not in far
    assert "mappings are acme_gateway, lago_wallet_transactions, " in far
    assert any(near in line for line in status_lines(settings_of(tmp_path)))
    land(tmp_path, "prices/markups.csv", markups(*[[f"no{n}", "*", "", "", "2", ""] for n in range(7)]))
    load(settings_of(tmp_path), "markups")
    assert markup_warnings(home)[5:] == [
        "2 more markups of prices/markups.csv are for sources that no mapping has"
    ]


def test_a_call_that_two_sources_logged_is_a_warning(priced: tuple[Path, list[Priced]]) -> None:
    query = "select actual::int, passed from ops.invariants where name = 'requests_are_logged_by_one_source'"
    assert published(priced[0], query) == [(4, False)] * len(RUNS)


def test_markups_under_another_name_are_no_rates(tmp_path: Path) -> None:
    land(tmp_path, "prices/markups-2026.csv", markups(["x", "m", "2026-01-01", "", "2", "1"]))
    assert load(settings_of(tmp_path), "markups").files == 0
    loaded = load(settings_of(tmp_path), "prices")
    assert (loaded.accepted, loaded.rejected) == (0, 1)
