"""Stripe's objects and exports as a user has them: lists of the API, and exports of Dashboard pages."""

import gzip
import json
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest

from ingestion.erasure.erase import files_naming, rewrite_landed
from ingestion.lake.batches import Lake
from ingestion.lake.schemas import LAKE_TABLES
from ingestion.landing.area import Landing
from ingestion.sources.registry import BUILT_IN
from ingestion.sources.stripe.dashboard_exports import explain_dashboard_export
from ingestion.validate_file import FileValidationError, validate_file
from paywall_warehouse.quoting import literal
from paywall_warehouse.settings import Settings, load_settings
from tests.support.ingestion import erase, load

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
        ("stripe/balance_change_from_activity.itemized", "stripe/exports"),
        ("stripe/balance_change_from_activity.itemized", "stripe/balance_change_from_activity.itemized.7"),
        ("stripe/checkout_sessions", "stripe/checkout_sessions"),
        ("payments", "payments"),
        ("ledger", "ledger"),
    ],
)
@pytest.mark.parametrize(
    ("page", "content", "remedy"),
    [
        ("Payments", PAYMENTS, "Move it into stripe/unified_payments/"),
        ("Payments", PAYMENTS.replace(",", ";"), "Move it into stripe/unified_payments/"),
        (
            "Balance history",
            BALANCE_HISTORY,
            'Download the report "Balance change from activity" instead, itemized, with the columns charge_id'
            " and payment_intent_id, into stripe/balance_change_from_activity.itemized.7/, or set"
            " STRIPE_API_KEY",
        ),
    ],
    ids=["payments", "payments with semicolons", "balance history"],
)
def test_an_export_of_the_dashboard_is_refused_with_what_to_land(
    settings: Settings, source: str, folder: str, page: str, content: str, remedy: str
) -> None:
    land(settings, f"{folder}/export.csv.gz", gzip.compress(b"\xef\xbb\xbf" + content.encode()))
    assert load(settings, source).rejected == 1
    [(code, reason, raw)] = rows(settings, "rejects", "reason_code, reason, raw")
    assert (code, raw) == ("not_a_report", None)
    assert reason.startswith(f'it is an export of the page "{page}" of Stripe\'s Dashboard')
    assert reason.endswith(remedy)


def test_check_says_it_before_an_export_lands(tmp_path: Path) -> None:
    settings = load_settings(_env_file=None)
    file = tmp_path / "unified_payments.csv"
    file.write_text(PAYMENTS.replace(",", ";"), encoding="utf-8")
    found = validate_file(settings, file)
    assert (found.source, found.accepted) == ("stripe/unified_payments", 1)
    assert found.unread == ("Converted Amount Refunded", "Description", "Customer Email")
    file.write_text(PAYMENTS.replace("PaymentIntent ID", "Card ID"), encoding="utf-8")
    with pytest.raises(FileValidationError, match="stripe/unified_payments, which also needs PaymentIntent"):
        validate_file(settings, file)
    file.write_text(BALANCE_HISTORY, encoding="utf-8")
    with pytest.raises(FileValidationError, match='it is an export of the page "Balance history"'):
        validate_file(settings, file)


def test_a_payment_is_kept_without_the_columns_that_nothing_reads(settings: Settings) -> None:
    land(settings, "stripe/unified_payments/acct_1/u.csv", PAYMENTS.encode())
    assert load(settings, "stripe/unified_payments").accepted == 1
    [row] = rows(settings, "stripe_unified_payments", ", ".join(LAKE_TABLES["stripe_unified_payments"]))
    assert [value for value in row[3:] if value is not None] == [
        *("acct_1", True, "ch_1", CREATED, "usd", Decimal(10), Decimal(0), "pi_1", "paid", "true"),
        *("usd", Decimal(10), Decimal("0.59"), "u"),
    ]


def test_payments_that_cannot_be_understood_are_rejected_without_private_texts(settings: Settings) -> None:
    head, good = PAYMENTS.splitlines()
    bad = [
        (good.replace(",Paid,", ",Half paid,"), "unknown_status"),
        (good.replace(",Paid,", ",,"), "missing_field"),
        (good.replace("2026-10-05 12:00:00", "5 Oct"), "bad_time"),
        (good.replace("usd,true,10.00", 'usd,true,"1,000.00"'), "bad_amount"),
        (
            good.replace("ch_1,2026-10-05 12:00:00,10.00,0.00", "ch_1,2026-10-05 12:00:00,-1,0"),
            "negative_amount",
        ),
        (good.replace("10.00,0.00,usd,true", "10.00,10.01,usd,true"), "amount_too_large"),
        (good.replace("ch_1", ""), "missing_field"),
        (good.replace("a@example.com,", ""), "too_few_fields"),
    ]
    # A comma is no decimal comma where other amounts have a point: this is a thousand, or one.
    bad.append(
        (good.replace("ch_1,2026-10-05 12:00:00,10.00", 'ch_1,2026-10-05 12:00:00,"1,000"'), "bad_amount")
    )
    land(
        settings, "stripe/unified_payments/u.csv", "\n".join([head, *(row for row, _ in bad), good]).encode()
    )
    result = load(settings, "stripe/unified_payments")
    assert (result.accepted, result.rejected) == (1, len(bad))
    found = rows(settings, "rejects", "line, reason_code, reason, raw")
    assert [row[:2] for row in found] == [(line, code) for line, (_, code) in enumerate(bad, 2)]
    assert "known are paid, " in found[0][2]
    assert "example.com" not in str(found)
    assert "Top-up" not in str(found)


def test_a_file_without_its_header_names_no_value(settings: Settings) -> None:
    land(settings, "stripe/unified_payments/u.csv", PAYMENTS.splitlines()[1].encode())
    load(settings, "stripe/unified_payments")
    [(code, reason)] = rows(settings, "rejects", "reason_code, reason")
    assert code == "missing_column"
    assert "(found: no column that is known)" in reason
    assert reason.endswith("with all columns and times in UTC; see docs/inputs.md")


@pytest.mark.parametrize(("folder", "mode"), [("", "Test"), ("test/", "Live")])
def test_rows_of_the_other_mode_are_rejected(settings: Settings, folder: str, mode: str) -> None:
    head, good = PAYMENTS.splitlines()
    land(settings, f"stripe/unified_payments/{folder}u.csv", f"{head},Mode\n{good},{mode}\n".encode())
    load(settings, "stripe/unified_payments")
    [(code, reason)] = rows(settings, "rejects", "reason_code, reason")
    assert code == "wrong_mode"
    assert reason.endswith("move it into one" if mode == "Test" else "move it out of it")


def test_every_status_of_a_payment_is_read(settings: Settings) -> None:
    head, good = PAYMENTS.splitlines()
    stated = {
        "Paid": "paid",
        "Refunded": "refunded",
        "Partial refund": "partially_refunded",
        "Partially refunded": "partially_refunded",
        "Disputed": "disputed",
        "Failed": "failed",
        "Canceled": "canceled",
        "Uncaptured": "uncaptured",
        "requires_payment_method": "incomplete",
        "Pending": "pending",
    }
    files = [
        good.replace("ch_1", f"ch_{no:02}").replace(",Paid,", f",{word},") for no, word in enumerate(stated)
    ]
    land(settings, "stripe/unified_payments/u.csv", "\n".join([head, *files]).encode())
    assert load(settings, "stripe/unified_payments").rejected == 0
    found = rows(settings, "stripe_unified_payments", "payment_id, payment_status")
    assert [status for _, status in found] == list(stated.values())


@pytest.mark.parametrize("separator", [",", ";"])
def test_an_erased_person_is_in_no_export_of_payments(settings: Settings, separator: str) -> None:
    head, good = (line.replace(",", separator) for line in PAYMENTS.splitlines())
    mine, other = good[:-1] + "alice_1", good.replace("ch_1", "ch_2")
    land(settings, "stripe/unified_payments/u.csv", "\n".join([head, mine, other, ""]).encode())
    load(settings, "stripe/unified_payments")
    done = erase(settings, "alice_1")
    found = files_naming(
        settings, BUILT_IN["stripe/unified_payments"].files(Landing.of(settings)), "alice_1", done.pseudonym
    )
    rewrite_landed(settings, found, "alice_1", done.pseudonym)
    assert rows(settings, "stripe_unified_payments", "user_id") == [(done.pseudonym,), ("u",)]
    landed = (settings.home.landing / "stripe/unified_payments/u.csv").read_text()
    assert landed.splitlines() == [head, mine.replace("alice_1", done.pseudonym), other]


def test_other_exports_do_not_pass_as_payments(settings: Settings) -> None:
    payouts = "id,Amount,Created (UTC),Currency,Livemode,Arrival Date (UTC),Status\n"
    land(
        settings,
        "stripe/unified_payments/payouts.csv",
        (payouts + "po_1,1,2026-10-05,usd,true,,paid\n").encode(),
    )
    land(settings, "stripe/unified_payments/balance_history.csv", BALANCE_HISTORY.encode())
    assert load(settings, "stripe/unified_payments").rejected == 2
    assert rows(settings, "rejects", "reason_code") == [("not_a_report",)] * 2


def test_payouts_have_a_report_of_their_own() -> None:
    names = ["id", "Amount", "Created (UTC)", "Currency", "Livemode", "Arrival Date (UTC)", "Status"]
    message = explain_dashboard_export(names)
    assert message is not None
    assert message.endswith(
        '"Payouts" instead, itemized, into stripe/payouts.itemized.7/, or set STRIPE_API_KEY'
    )
    assert explain_dashboard_export(["id", "amount", "currency", "status", "created"]) is None
