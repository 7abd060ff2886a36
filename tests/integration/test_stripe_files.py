"""Stripe's objects and exports as a user has them: lists of the API, and exports of Dashboard pages."""

import gzip
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import pytest

from ingestion.lake.batches import Lake
from ingestion.sources.stripe.dashboard_exports import explain_dashboard_export
from ingestion.validate_file import FileValidationError, validate_file
from paywall_warehouse.quoting import literal
from paywall_warehouse.settings import Settings, load_settings
from tests.support.ingestion import load

SESSION = {
    "id": "cs_live_1",
    "object": "checkout.session",
    "amount_total": 1000,
    "created": 1791201600,
    "currency": "usd",
    "livemode": True,
    "payment_intent": "pi_1",
    "client_reference_id": "user_1",
    "metadata": {"order": "o_1"},
    "customer_details": {"email": "somebody@example.com", "name": "Some Body"},
    "payment_status": "paid",
    "status": "complete",
}
EXPANDED = {"id": "pi_2", "object": "payment_intent", "receipt_email": "somebody@example.com", "data": [1]}
CREATED = datetime(2026, 10, 5, 12, tzinfo=UTC)
PAYMENTS = (
    "id,Created date (UTC),Amount,Amount Refunded,Currency,Captured,Converted Amount,"
    "Converted Amount Refunded,Converted Currency,Description,Fee,Status,Customer Email,"
    "PaymentIntent ID,user (metadata)\n"
    "ch_1,2026-10-05 12:00:00,10.00,0.00,usd,true,10.00,0.00,usd,Top-up,0.59,Paid,a@example.com,pi_1,u\n"
)
BALANCE_HISTORY = (
    "id,Type,Source,Amount,Fee,Destination Platform Fee,Destination Platform Fee Currency,Net,Currency,"
    "Created (UTC),Available On (UTC),Description,Customer Facing Amount,Customer Facing Currency,Transfer\n"
    "txn_1,charge,ch_1,10.00,0.59,,,9.41,usd,2026-10-05 12:00,2026-10-12 00:00,Some Body,10.00,usd,\n"
)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load_settings(_env_file=None, warehouse_home=tmp_path)


def land(settings: Settings, path: str, content: bytes) -> None:
    file = settings.home.landing / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content)


def rows(settings: Settings, table: str, columns: str) -> list[tuple[Any, ...]]:
    lake = Lake(settings.home)
    files = ", ".join(literal(str(file)) for file in lake.parquet_files(table, lake.manifests()))
    return (
        duckdb.sql(f"select {columns} from read_parquet([{files}]) order by all").fetchall() if files else []
    )


def test_sessions_are_read_as_the_api_lists_them(settings: Settings) -> None:
    second = SESSION | {"id": "cs_live_2", "payment_intent": EXPANDED}
    third = SESSION | {"id": "cs_live_3", "payment_intent": None, "client_reference_id": None}
    page = {"object": "list", "url": "/v1/checkout/sessions", "data": [SESSION, second], "has_more": False}
    land(settings, "stripe/checkout_sessions/page.json", json.dumps(page, indent=2).encode())
    land(settings, "stripe/checkout_sessions/more.jsonl.gz", gzip.compress(json.dumps(third).encode()))
    result = load(settings, "stripe/checkout_sessions")
    assert (result.files, result.accepted, result.rejected) == (2, 3, 0)
    columns = "checkout_session_id, payment_intent_id, user_id, session_status, payment_status, created_at"
    assert rows(settings, "stripe_checkout_sessions", columns) == [
        ("cs_live_1", "pi_1", "user_1", "complete", "paid", CREATED),
        ("cs_live_2", "pi_2", "user_1", "complete", "paid", CREATED),
        ("cs_live_3", None, None, "complete", "paid", CREATED),
    ]


def test_a_rejected_session_keeps_no_personal_data(settings: Settings) -> None:
    bad = SESSION | {"created": "yesterday", "payment_intent": EXPANDED}
    listed = SESSION | {"created": "yesterday", "payment_intent": [EXPANDED]}
    land(settings, "stripe/checkout_sessions/a.json", json.dumps([bad, listed]).encode())
    assert load(settings, "stripe/checkout_sessions").rejected == 2
    found = rows(settings, "rejects", "line, reason_code, reason, raw")
    assert [row[:2] for row in found] == [(1, "bad_time"), (2, "bad_time")]
    assert json.loads(found[0][3]) == {
        "checkout_session_id": "cs_live_1",
        "payment_intent_id": "pi_2",
        "user_id": "user_1",
        "session_status": "complete",
        "payment_status": "paid",
        "created_at": "yesterday",
    }
    assert "example.com" not in str(found)


@pytest.mark.parametrize(
    ("source", "folder"),
    [
        ("stripe/balance_change_from_activity.itemized", "stripe"),
        ("stripe/balance_change_from_activity.itemized", "stripe/unified_payments"),
        ("stripe/balance_change_from_activity.itemized", "stripe/balance_change_from_activity.itemized.7"),
        ("stripe/checkout_sessions", "stripe/checkout_sessions"),
        ("payments", "payments"),
        ("ledger", "ledger"),
    ],
)
@pytest.mark.parametrize(("page", "content"), [("Payments", PAYMENTS), ("Balance history", BALANCE_HISTORY)])
def test_an_export_of_the_dashboard_is_refused_with_what_to_land(
    settings: Settings, source: str, folder: str, page: str, content: str
) -> None:
    land(settings, f"{folder}/export.csv.gz", gzip.compress(b"\xef\xbb\xbf" + content.encode()))
    assert load(settings, source).rejected == 1
    [(code, reason, raw)] = rows(settings, "rejects", "reason_code, reason, raw")
    assert (code, raw) == ("not_a_report", None)
    assert reason.startswith(f'it is an export of the page "{page}" of Stripe\'s Dashboard')
    assert reason.endswith(
        'Download the report "Balance change from activity" instead, itemized, with the columns charge_id and'
        " payment_intent_id, into stripe/balance_change_from_activity.itemized.7/, or set STRIPE_API_KEY"
    )


def test_check_says_it_before_an_export_lands(tmp_path: Path) -> None:
    file = tmp_path / "unified_payments.csv"
    file.write_text(PAYMENTS, encoding="utf-8")
    with pytest.raises(FileValidationError, match='it is an export of the page "Payments"'):
        validate_file(load_settings(_env_file=None), file)


def test_payouts_have_a_report_of_their_own() -> None:
    names = ["id", "Amount", "Created (UTC)", "Currency", "Livemode", "Arrival Date (UTC)", "Status"]
    message = explain_dashboard_export(names)
    assert message is not None
    assert message.endswith(
        '"Payouts" instead, itemized, into stripe/payouts.itemized.7/, or set STRIPE_API_KEY'
    )
    assert explain_dashboard_export(["id", "amount", "currency", "status", "created"]) is None
