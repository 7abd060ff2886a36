"""The zone of Stripe's local times: stated by a column, a sidecar or the file's name, and never assumed."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ingestion.lake.batches import Lake
from paywall_warehouse.quoting import literal
from paywall_warehouse.settings import Settings, load_settings
from tests.support.builders import csv_text, jsonl, land as land_files, landed
from tests.support.harness import run_pipeline
from tests.support.ingestion import load
from tests.support.shared import in_soak

ACTIVITY, PAYOUTS, SUMMARY = "balance_change_from_activity.itemized", "payouts.itemized", "balance.summary"
CHARGE = {
    "balance_transaction_id": "txn_1",
    "currency": "usd",
    "gross": "10.00",
    "fee": "0.59",
    "net": "9.41",
    "reporting_category": "charge",
    "charge_id": "ch_1",
}
PAYOUT = {
    "payout_id": "po_1",
    "currency": "usd",
    "gross": "-9.41",
    "fee": "0.00",
    "net": "-9.41",
    "reporting_category": "payout",
}
BALANCE = {"category": "starting_balance", "currency": "usd", "net_amount": "1.00"}
NOON = "2026-10-05 12:00:00"
# In Toronto noon is 16:00 UTC in summer.
IN_UTC, IN_TORONTO = datetime(2026, 10, 5, 12, tzinfo=UTC), datetime(2026, 10, 5, 16, tzinfo=UTC)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load_settings(_env_file=None, warehouse_home=tmp_path)


def land(
    settings: Settings, report: str, name: str, content: bytes, *, sidecar: dict[str, Any] | None = None
) -> None:
    folder = settings.home.landing / "stripe" / report
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(content)
    if sidecar is not None:
        about = {
            "report_type": report,
            "parameters": {"interval_start": 1, "interval_end": 2} | sidecar,
            "livemode": True,
            "key_livemode": True,
            "account": None,
            "available_until": "2026-11-01T00:00:00+00:00",
            "sha256": "",
            "bytes": 1,
            "downloaded_at": "2026-11-01T00:00:00+00:00",
        }
        (folder / f".{name}.run.json").write_text(json.dumps(about))


def rows(settings: Settings, table: str, columns: str) -> list[tuple[Any, ...]]:
    files = Lake(settings.home).parquet_files(table, Lake(settings.home).manifests())
    listed = ", ".join(literal(str(file)) for file in files)
    with duckdb.connect() as connection:
        connection.execute("set TimeZone = 'UTC'")
        return (
            connection.execute(f"select {columns} from read_parquet([{listed}]) order by all").fetchall()
            if files
            else []
        )


def created(settings: Settings) -> list[datetime]:
    load(settings, f"stripe/{ACTIVITY}")
    return [at for (at,) in rows(settings, "stripe_balance_transactions", "created_at")]


NAMES = [
    ("Itemized_2026-10-01_to_2026-10-31_America-Toronto.csv", IN_TORONTO),
    ("Itemized_2026-10-01_to_2026-10-31_America-Toronto (1).csv", IN_TORONTO),
    ("october_America-Toronto.csv", IN_TORONTO),
    ("My_October_America-New_York.csv", IN_TORONTO),
    ("october_UTC.csv", IN_UTC),
    ("Itemized_2026-10-01_to_2026-10-31_Etc-GMT-1.csv", datetime(2026, 10, 5, 11, tzinfo=UTC)),
    # As our own pull names a file, whose sidecar was lost.
    ("20261001T000000Z-20261101T000000Z-frr_1.csv", IN_UTC),
]
STATED = [
    {"created_utc": NOON},
    {"created": "1791201600"},
    {"created": "2026-10-05T12:00:00Z"},
    {"created": "2026-10-05T14:00:00+02:00"},
]


@pytest.fixture(scope="module")
def instants(tmp_path_factory: pytest.TempPathFactory) -> dict[str, datetime]:
    """The instant of each transaction, after one load of a file for each name and each column above."""
    settings = load_settings(_env_file=None, warehouse_home=tmp_path_factory.mktemp("zones"))
    for name, _ in NAMES:
        row = CHARGE | {"balance_transaction_id": name, "created": NOON}
        land(settings, f"{ACTIVITY}.7", name, csv_text([row]))
    for number, stated in enumerate(STATED):
        row = CHARGE | {"balance_transaction_id": f"stated {number}"} | stated
        land(settings, f"{ACTIVITY}.7", f"october {number}.csv", csv_text([row]))
    load(settings, f"stripe/{ACTIVITY}")
    return dict(rows(settings, "stripe_balance_transactions", "balance_transaction_id, created_at"))


@pytest.mark.parametrize(("name", "instant"), NAMES)
def test_the_name_states_the_zone(instants: dict[str, datetime], name: str, instant: datetime) -> None:
    assert instants[name] == instant


@pytest.mark.parametrize(
    "name",
    [
        "october.csv",
        "Itemized_2026-10-01_to_2026-10-31_America-Toronot.csv",
        *in_soak(
            "Itemized.csv",
            "Itemized_2026-10-01_to_2026-10-31.csv",
            "Itemized_2026-10-01_to_2026-10-31_America.csv",
            # A zone without a place may be a country, a team, anything.
            "payments_GB.csv",
            "payments_Acme-Inc.csv",
        ),
    ],
)
def test_without_a_zone_the_file_is_one_reject_that_names_the_ways_out(settings: Settings, name: str) -> None:
    land(settings, f"{ACTIVITY}.7", name, csv_text([CHARGE | {"created": NOON}, CHARGE | {"created": NOON}]))
    assert created(settings) == []
    ((path, line, code, reason),) = rows(settings, "rejects", "path, line, reason_code, reason")
    assert (path, line, code) == (f"stripe/{ACTIVITY}.7/{name}", None, "unknown_time_zone")
    for way_out in ('"created_utc"', "keep the name that Stripe gives the file", "october_Europe-Berlin.csv"):
        assert way_out in reason
    # Reported once, and corrected by a new name.
    assert load(settings, f"stripe/{ACTIVITY}").files == 0
    land(settings, f"{ACTIVITY}.7", "october_America-Toronto.csv", csv_text([CHARGE | {"created": NOON}]))
    assert created(settings) == [IN_TORONTO]


@pytest.mark.parametrize("kind", ["jsonl", "parquet"])
def test_every_format_is_refused(settings: Settings, kind: str) -> None:
    row = CHARGE | {"created": NOON}
    buffer = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_pylist([row | {"created": datetime(2026, 10, 5, 12)}]), buffer)  # noqa: DTZ001  without a zone
    land(
        settings,
        f"{ACTIVITY}.7",
        f"october.{kind}",
        jsonl([row]) if kind == "jsonl" else buffer.getvalue().to_pybytes(),
    )
    assert created(settings) == []
    assert rows(settings, "rejects", "line, reason_code") == [(None, "unknown_time_zone")]


def test_files_beside_a_refused_one_are_loaded(settings: Settings) -> None:
    for number, name in enumerate(("a_UTC.csv", "b.csv", "c_America-Toronto.csv")):
        land(
            settings,
            f"{ACTIVITY}.7",
            name,
            csv_text([CHARGE | {"balance_transaction_id": f"txn_{number}", "created": NOON}]),
        )
    assert created(settings) == [IN_UTC, IN_TORONTO]
    assert rows(settings, "rejects", "path, reason_code") == [
        (f"stripe/{ACTIVITY}.7/b.csv", "unknown_time_zone")
    ]


@pytest.mark.parametrize("number", range(len(STATED)), ids=map(str, STATED))
def test_times_that_state_their_zone_need_no_name(instants: dict[str, datetime], number: int) -> None:
    assert instants[f"stated {number}"] == IN_UTC


def test_a_local_time_that_is_only_shown_is_unknown_without_a_zone(settings: Settings) -> None:
    shown = {"created_utc": NOON, "available_on": "2026-10-07 00:00:00"}
    land(settings, f"{ACTIVITY}.7", "october.csv", csv_text([CHARGE | shown]))
    land(settings, f"{ACTIVITY}.7", "october_America-Toronto.csv", csv_text([CHARGE | shown]))
    load(settings, f"stripe/{ACTIVITY}")
    found = rows(settings, "stripe_balance_transactions", "created_at, available_at")
    assert set(found) == {(IN_UTC, None), (IN_UTC, datetime(2026, 10, 7, 4, tzinfo=UTC))}


@pytest.mark.parametrize(
    ("parameters", "instant"),
    [({}, IN_UTC), ({"timezone": "America/Toronto"}, IN_TORONTO), ({"timezone": "Mars/Olympus"}, None)],
)
def test_a_sidecar_states_the_zone(
    settings: Settings, parameters: dict[str, str], instant: datetime | None
) -> None:
    land(settings, f"{ACTIVITY}.7", "october.csv", csv_text([CHARGE | {"created": NOON}]), sidecar=parameters)
    assert created(settings) == ([instant] if instant else [])


def test_a_local_payout_day_is_not_taken_for_utc_because_another_column_is(settings: Settings) -> None:
    row = PAYOUT | {"effective_at": NOON, "created_utc": "2026-10-01 00:00:00"}
    land(settings, f"{PAYOUTS}.5", "october.csv", csv_text([row]))
    load(settings, f"stripe/{PAYOUTS}")
    ((code, reason),) = rows(settings, "rejects", "reason_code, reason")
    assert code == "unknown_time_zone"
    assert '"effective_at_utc"' in reason
    land(settings, f"{PAYOUTS}.5", "october_America-Toronto.csv", csv_text([row]))
    load(settings, f"stripe/{PAYOUTS}")
    assert rows(settings, "stripe_payouts", "effective_at") == [(IN_TORONTO,)]


def test_days_in_a_name_without_a_zone_cover_nothing(settings: Settings) -> None:
    land(
        settings,
        f"{ACTIVITY}.7",
        "Itemized_2026-10-01_to_2026-10-31.csv",
        csv_text([CHARGE | {"created_utc": NOON}]),
    )
    assert created(settings) == [IN_UTC]
    (facts,) = [file.facts for manifest in Lake(settings.home).manifests() for file in manifest.files]
    assert facts is not None
    assert (facts["covered_from"], facts["covered_until"], facts["timezone"]) == (None, None, None)


def test_a_summary_of_days_without_a_zone_is_refused(settings: Settings) -> None:
    land(settings, f"{SUMMARY}.1", "Balance_2026-10-01_to_2026-10-31.csv", csv_text([BALANCE]))
    land(
        settings,
        f"{SUMMARY}.1",
        "Balance_2026-09-01_to_2026-09-30_America-Toronto.csv",
        csv_text([BALANCE | {"net_amount": "2.00"}]),
    )
    land(settings, f"{SUMMARY}.1", "balance.csv", csv_text([BALANCE | {"net_amount": "3.00"}]))
    load(settings, f"stripe/{SUMMARY}")
    assert rows(settings, "stripe_balance_summaries", "net_amount") == [(2,), (3,)]
    ((path, code),) = rows(settings, "rejects", "path, reason_code")
    assert (path, code) == (f"stripe/{SUMMARY}.1/Balance_2026-10-01_to_2026-10-31.csv", "unknown_time_zone")


def test_checkout_sessions_are_in_utc_as_the_api_states_them(settings: Settings) -> None:
    land(
        settings,
        "checkout_sessions",
        "sessions.csv",
        csv_text([{"id": "cs_1", "payment_intent": "pi_1", "created": NOON}]),
    )
    load(settings, "stripe/checkout_sessions")
    assert rows(settings, "stripe_checkout_sessions", "created_at") == [(IN_UTC,)]


@pytest.mark.slow
def test_a_run_names_the_way_out(tmp_path: Path) -> None:
    land_files(
        tmp_path, [landed(f"stripe/{ACTIVITY}.7", "october.csv", csv_text([CHARGE | {"created": NOON}]))]
    )
    result = run_pipeline(tmp_path, as_of="2026-11-10T12:00:00Z", max_reject_ratio=1)
    assert result.exit_code == 0, result
    assert "unknown_time_zone" in result.output
    assert "october_UTC.csv" in result.output
