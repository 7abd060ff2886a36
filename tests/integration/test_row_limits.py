"""Records beyond a limit are rejects that say what to do; a setting moves them in or out; none stops or
floods a run.
"""

import json
import shutil
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ingestion.lake.batches import Lake
from ingestion.load import LoadResult
from paywall_warehouse.currencies import known_currencies
from paywall_warehouse.settings import Settings, load_settings
from tests.support.builders import Record, charge, csv_text, deposit, event, jsonl
from tests.support.harness import publish_home, run_pipeline
from tests.support.ingestion import load
from warehouse.price_book import resolve_price_book
from warehouse.spark.source_statements import cluster_statements

NOON = "2026-10-01T12:00:00Z"
AS_OF = "2026-10-02T12:00:00Z"
PAYMENT = {
    "rail": "sepa",
    "payment_id": "p1",
    "paid_at": NOON,
    "amount": "1",
    "currency": "eur",
    "status": "succeeded",
}
RATE = {"model": "m", "effective_from": "1970-01-01", "prompt_per_million": "1", "currency": "usd"}
SUMMARY = {"category": "activity", "currency": "usd", "net_amount": "1"}


def settings_of(home: Path, **more: Any) -> Settings:
    return load_settings(_env_file=None, warehouse_home=home, **more)


def landed(home: Path, path: str, records: list[Record], **more: Any) -> LoadResult:
    """Land records in a file and load its folder."""
    file = home / "landing" / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(csv_text(records) if path.endswith(".csv") else jsonl(records))
    folder = path.split("/", maxsplit=1)[0]
    return load(settings_of(home, **more), "stripe/balance.summary" if folder == "stripe" else folder)


def rejects(home: Path, columns: str = "reason_code, reason") -> list[tuple[Any, ...]]:
    lake = Lake(settings_of(home).home)
    files = [str(file) for file in lake.parquet_files("rejects", lake.manifests())]
    return (
        duckdb.execute(
            f"select {columns} from read_parquet($files) order by path, line", {"files": files}
        ).fetchall()
        if files
        else []
    )


def published(home: Path, query: str) -> list[tuple[Any, ...]]:
    with duckdb.connect(str(home / "published" / "warehouse.duckdb"), read_only=True) as connection:
        return connection.execute(query).fetchall()


# ---- amounts and counts

TOO_LARGE = "1000000000000000000"
LARGEST = "999999999999999999.999999999999"


@pytest.mark.parametrize(
    ("path", "record"),
    [
        *(
            ("ledger/a.jsonl", charge("a", NOON) | {name: TOO_LARGE})
            for name in ("amount", "provider_cost", "platform_fees")
        ),
        ("ledger/a.csv", deposit("a", NOON, "9" * 26)),
        ("ledger/a.jsonl", charge("a", NOON, "-1e18", type="adjustment")),
        (
            "events/a.jsonl",
            event("e", "usage.charge.created", NOON, walletUserId="w", activityId="a", cost=TOO_LARGE),
        ),
        (
            "events/a.jsonl",
            event("e", "balance.depleted", NOON, walletUserId="w", availableBalance="-" + TOO_LARGE),
        ),
        *(("payments/a.csv", PAYMENT | {name: TOO_LARGE}) for name in ("amount", "fee", "refunded_amount")),
        ("prices/a.csv", RATE | {"prompt_per_million": TOO_LARGE}),
        ("stripe/balance.summary.1/a.csv", SUMMARY | {"net_amount": TOO_LARGE}),
    ],
)
def test_an_amount_of_10_to_the_18_is_a_reject_in_every_source(
    tmp_path: Path, path: str, record: Record
) -> None:
    assert landed(tmp_path, path, [record]).rejected == 1
    assert [code for code, _ in rejects(tmp_path)] == ["amount_too_large"]


def test_the_largest_amount_below_is_exact(tmp_path: Path) -> None:
    assert landed(tmp_path, "ledger/a.jsonl", [charge("a", NOON, LARGEST)]).accepted == 1
    (file,) = (tmp_path / "lake" / "ledger_entries").rglob("*.parquet")
    assert duckdb.execute("select amount from read_parquet($1)", [str(file)]).fetchall() == [
        (Decimal(LARGEST),)
    ]


@pytest.mark.parametrize(
    "name", ["prompt_tokens", "completion_tokens", "total_tokens", "cached_tokens", "reasoning_tokens"]
)
def test_more_than_10_to_the_12_tokens_are_a_reject(tmp_path: Path, name: str) -> None:
    records = [
        charge("most", NOON, **{name: 10**12}),
        charge("more", NOON, **{name: 10**12 + 1}),
        charge("far", NOON, **{name: "9" * 15}),
    ]
    assert landed(tmp_path, "ledger/a.jsonl", records).accepted == 1
    assert rejects(tmp_path, "line, reason_code") == [(2, "count_too_large"), (3, "count_too_large")]


# ---- times and currencies


@pytest.mark.parametrize(
    ("path", "early", "in_time"),
    [
        ("ledger/a.jsonl", charge("a", "2014-12-31T23:59:59.999999Z"), charge("b", "2015-01-01T00:00:00Z")),
        (
            "ledger/a.csv",
            charge("a", NOON, updated_at="1970-01-01T00:00:00Z"),
            charge("b", NOON, updated_at=NOON),
        ),
        (
            "events/a.jsonl",
            event("e", "authorization.completed", "1970-01-01T00:00:00Z"),
            event("f", "authorization.completed", NOON),
        ),
        ("payments/a.csv", PAYMENT | {"paid_at": "2014-06-01T00:00:00Z"}, PAYMENT | {"payment_id": "p2"}),
    ],
)
def test_an_instant_before_the_earliest_entry_is_a_reject(
    tmp_path: Path, path: str, early: Record, in_time: Record
) -> None:
    assert landed(tmp_path, path, [early, in_time]).accepted == 1
    ((code, words),) = rejects(tmp_path)
    assert code == "time_out_of_range"
    assert "before 2015-01-01" in words
    assert "EARLIEST_ENTRY" in words


@pytest.mark.parametrize(
    ("path", "record"),
    [
        ("ledger/a.jsonl", charge("a", NOON, currency="USDD")),
        (
            "events/a.jsonl",
            event(
                "e", "usage.charge.created", NOON, walletUserId="w", activityId="a", cost="1", currency="usdd"
            ),
        ),
        ("payments/a.csv", PAYMENT | {"currency": "usdd"}),
        ("prices/a.csv", RATE | {"currency": "usdd"}),
    ],
)
def test_an_unknown_currency_is_a_reject_that_names_the_nearest_one(
    tmp_path: Path, path: str, record: Record
) -> None:
    assert landed(tmp_path, path, [record]).rejected == 1
    ((code, words),) = rejects(tmp_path)
    assert code == "unknown_currency"
    assert words.startswith(
        'field "currency" is not a known currency: usdd; the nearest known code is usd. Correct it and'
        " land it again,"
    )
    assert words.endswith("add it to EXTRA_CURRENCIES")


def test_stripes_reports_lose_no_row_to_a_setting(tmp_path: Path) -> None:
    assert landed(tmp_path, "stripe/balance.summary.1/a.csv", [SUMMARY | {"currency": "qqq"}]).accepted == 1


def test_an_event_that_states_nothing_is_kept_whatever_its_currency(tmp_path: Path) -> None:
    assert (
        landed(tmp_path, "events/a.jsonl", [event("e", "something.new", NOON, currency="zzz")]).accepted == 1
    )


def test_known_are_iso_4217_and_the_common_tokens() -> None:
    known = set(known_currencies())
    assert known >= {
        "usd",
        "jpy",
        "bgn",
        "dem",
        "xau",
        "xcg",
        "zwg",
        "usdc",
        "usdt",
        "eurc",
        "pyusd",
        "dai",
        "btc",
        "eth",
        "sol",
    }
    assert not known & {"cnh", "rmb", "xbt", "gems", "usdd", "maf"}


def test_a_reject_of_a_setting_shows_the_record_as_it_was_read(tmp_path: Path) -> None:
    record = charge("a", NOON, currency="GEMS", metadata={"note": "x"})
    landed(tmp_path, "ledger/a.jsonl", [record])
    ((raw,),) = rejects(tmp_path, "raw")
    assert json.loads(raw) == record


def test_a_bank_s_text_does_not_stay_in_a_row_that_may_be_let_in(tmp_path: Path) -> None:
    landed(tmp_path, "payments/a.csv", [PAYMENT | {"currency": "gems", "holder": "Jane Roe"}])
    ((raw,),) = rejects(tmp_path, "raw")
    assert json.loads(raw)["payment_id"] == "p1"
    assert not [
        file
        for file in (tmp_path / "lake").rglob("*.parquet")
        if b"Jane" in str(pq.read_table(file).to_pylist()).encode()
    ]


# ---- whole runs


@pytest.mark.soak
def test_a_setting_that_changes_moves_rows_in_and_out_and_old_days_leave_the_exports(tmp_path: Path) -> None:
    good = [charge(f"c{number}", NOON, "2") for number in range(2)]
    odd = [
        charge("old", "2026-09-28T12:00:00Z", "3"),
        charge("gems", NOON, "5", currency="gems"),
        deposit("nines", NOON, "9" * 26),
    ]
    (tmp_path / "landing" / "ledger").mkdir(parents=True)
    (tmp_path / "landing" / "ledger" / "a.jsonl").write_bytes(jsonl(good + odd))
    revenue = "select currency, sum(revenue) from marts.fct_ledger_entries group by all order by all"
    counted = "select accepted, rejected from ops.loaded_files"
    codes = "select line, reason_code from ops.rejected_records order by all"
    folder = tmp_path / "exports" / "v1" / "balance_rollforward"
    first = folder / "parquet" / "date=2026-09-28"

    narrow = {"as_of": AS_OF, "earliest_entry": "2026-10-01"}
    refused = run_pipeline(tmp_path, **narrow)
    assert refused.exit_code == 1, "3 of 5 records are rejected"

    wide = {
        "as_of": AS_OF,
        "earliest_entry": "2026-09-28",
        "extra_currencies": "gems",
        "max_reject_ratio": 0.2,
    }
    assert run_pipeline(tmp_path, exports=True, **wide).exit_code == 0, (
        "one of 5 is left: the file is not landed again"
    )
    assert published(tmp_path, revenue) == [("gems", Decimal(5)), ("usd", Decimal(7))]
    assert published(tmp_path, counted) == [(4, 1)]
    assert published(tmp_path, codes) == [(5, "amount_too_large")]
    assert first.is_dir()

    # The file is gone by now: what was loaded is in the lake.
    (tmp_path / "landing" / "ledger" / "a.jsonl").unlink()
    result = run_pipeline(tmp_path, exports=True, extra_currencies="gems", **narrow)
    assert result.exit_code == 0, result
    assert published(tmp_path, revenue) == [("gems", Decimal(5)), ("usd", Decimal(4))]
    assert published(tmp_path, counted) == [(3, 2)]
    assert published(tmp_path, codes) == [(3, "time_out_of_range"), (5, "amount_too_large")]
    assert published(tmp_path, "select min(date_day) from marts.fct_balance_rollforward") == published(
        tmp_path, "select date '2026-10-01'"
    )
    manifest = json.loads((folder / "manifest.json").read_text())
    assert [one["date"] for one in manifest["partitions"]] == ["2026-10-01", "2026-10-02"], "today counts"
    assert not first.exists(), "neither manifest nor disk keeps a day that the ledger does not reach"
    assert run_pipeline(tmp_path, exports=True, **wide).exit_code == 0
    back = json.loads((folder / "manifest.json").read_text())["partitions"][0]
    assert (back["date"], back["revision"]) == ("2026-09-28", 2)
    assert back["files"][0]["path"].endswith("part-00001.parquet"), "no path is used again for other rows"


def test_rows_that_an_earlier_version_accepted_are_rejects_now(tmp_path: Path) -> None:
    land_and_forget_limits(tmp_path)
    publish_home(tmp_path, as_of=AS_OF, max_reject_ratio=1)
    assert published(tmp_path, "select entry_id from marts.fct_ledger_entries") == [("good",)]
    codes = published(tmp_path, "select reason_code, raw from ops.rejected_records order by line")
    assert [code for code, _ in codes] == [
        "amount_too_large",
        "count_too_large",
        "time_out_of_range",
        "unknown_currency",
    ]
    assert json.loads(codes[2][1])["entry_id"] == "old"
    assert published(tmp_path, "select records, accepted, rejected from ops.loaded_files") == [(5, 1, 4)]


def land_and_forget_limits(home: Path) -> None:
    """Make a lake as an earlier version wrote it: rows beyond the limits, all accepted, in a batch that says
    nothing of limits.
    """
    landed(
        home, "ledger/a.jsonl", [charge(name, NOON) for name in ("good", "large", "tokens", "old", "typo")]
    )
    (parquet,) = (home / "lake" / "ledger_entries").rglob("*.parquet")
    changed = """select * exclude (is_outside) replace (
            case when entry_id = 'large' then 1e20::decimal(38, 12) else amount end as amount,
            case when entry_id = 'tokens' then 999999999999999 else prompt_tokens end as prompt_tokens,
            case when entry_id = 'old' then timestamptz '1970-01-01 00:00:00+00' else occurred_at end
                as occurred_at,
            case when entry_id = 'typo' then 'usdd' else currency end as currency)"""
    duckdb.execute(f"copy ({changed} from read_parquet('{parquet}')) to '{parquet}.new' (format parquet)")
    shutil.move(f"{parquet}.new", parquet)
    (manifest,) = (home / "lake" / "_manifests").glob("*.json")
    stated = json.loads(manifest.read_text())
    del stated["limits"], stated["outside"]
    manifest.write_text(json.dumps(stated))


def test_thousands_of_made_up_currencies_make_no_wallets(tmp_path: Path) -> None:
    letters = "abcdefghijklmno"
    made_up = [f"q{a}{b}{c}" for a in letters for b in letters for c in letters][:3000]
    records = [
        charge("good", NOON),
        charge("typed", NOON, currency="uds"),
        *(charge(code, NOON, currency=code) for code in made_up),
    ]
    assert (landed(tmp_path, "ledger/a.jsonl", records).accepted, len(rejects(tmp_path))) == (1, 3001)
    named = [reason for code, reason in rejects(tmp_path) if "the nearest known code is" in reason]
    assert len(named) == 1000, "where there are more, nobody typed them"
    assert any("uds; the nearest known code is usd" in reason for reason in named), (
        "a typing error among them is still named"
    )


def test_spark_leaves_out_the_same_rows(tmp_path: Path) -> None:
    landed(tmp_path, "ledger/a.jsonl", [charge("a", NOON, currency="gems")])
    landed(tmp_path, "events/a.jsonl", [event("e", "authorization.completed", NOON)])
    settings = settings_of(tmp_path)
    resolve_price_book(settings)
    views = [
        one for one in cluster_statements(settings, "p_") if one.startswith("create or replace view p_raw.")
    ]
    (ledger,) = (one for one in views if "raw.ledger_entries" in one)
    assert "where not (batch_seq in (0) and (" in ledger
    assert "cast('2015-01-01 00:00:00.000000+00:00' as timestamp)" in ledger
    assert not [one for one in views if "where" in one and one != ledger], (
        "a batch without such rows is read as it is"
    )


# ---- settings


@pytest.mark.parametrize(
    ("stated", "zone", "instant"),
    [
        ("2020-02-01", "UTC", "2020-02-01T00:00:00+00:00"),
        ("2020-02-01", "America/New_York", "2020-02-01T05:00:00+00:00"),
        ("2020-02-01T00:00:00Z", "America/New_York", "2020-02-01T00:00:00+00:00"),
    ],
)
def test_a_date_means_the_start_of_that_reporting_day(
    tmp_path: Path, stated: str, zone: str, instant: str
) -> None:
    assert (
        settings_of(tmp_path, earliest_entry=stated, reporting_timezone=zone).earliest_instant.isoformat()
        == instant
    )


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("earliest_entry", "2015-01-01T00:00:00", "an instant with offset"),
        ("earliest_entry", "last year", "a date such as 2015-01-01"),
        ("earliest_entry", "1969-12-31", "between 1970 and 2100"),
        ("extra_currencies", "gems,us$", "'us$' is not a currency code"),
        ("default_currency", "gems", "or one of EXTRA_CURRENCIES"),
        ("default_currency", "uds", "the nearest one is usd"),
    ],
)
def test_a_limit_that_cannot_be_is_refused_by_name(tmp_path: Path, name: str, value: str, words: str) -> None:
    result = run_pipeline(tmp_path, **{name: value})
    assert (result.exit_code, result.output.split()[0]) == (2, name.upper())
    assert words in result.output


def test_an_own_currency_may_be_the_default(tmp_path: Path) -> None:
    assert settings_of(tmp_path, default_currency="GEMS", extra_currencies="gems").default_currency == "gems"


def test_parquet_is_limited_alike(tmp_path: Path) -> None:
    file = tmp_path / "landing" / "ledger" / "a.parquet"
    file.parent.mkdir(parents=True)
    record = {name: [value, value, value] for name, value in charge("a", NOON).items()} | {
        "id": ["a", "b", "c"]
    }
    pq.write_table(
        pa.table(record | {"currency": ["usd", "usdd", None], "prompt_tokens": [1, 1, 10**12 + 1]}), file
    )
    load(settings_of(tmp_path), "ledger")
    assert rejects(tmp_path, "line, reason_code") == [(2, "unknown_currency"), (3, "count_too_large")]
