"""Reconciliation over several runs: what is missing is said, breaks open and close, and altered reports are
not believed.
"""

import io
import subprocess
import sys
from contextlib import redirect_stdout
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import pytest

from orchestration.cli.status import status_lines
from paywall_warehouse.settings import load_settings
from tests.support.builders import event, events_file, land, landed, ledger_file
from tests.support.harness import RunResult, publish_home, run_pipeline
from tests.support.payment_builders import (
    activity_file,
    charge_row,
    covering,
    credit,
    refund_row,
    session_row,
    sessions_file,
    summary_file,
)

pytestmark = pytest.mark.slow

AS_OF = "2026-11-10T12:00:00Z"
ACTIVITY = "balance_change_from_activity.itemized.7"
OCTOBER = covering("2026-10-01", "2026-10-31")
PAID = charge_row("txn_1", "2026-10-05T10:00:00Z", "10.00", "0.59", intent="pi_1", charge="ch_1")
TWICE = charge_row("txn_2", "2026-10-06T10:00:00Z", "20.00", "0.88", intent="pi_2", charge="ch_2")
TO_NOVEMBER = covering("2026-11-01", "2026-11-09")


def run(home: Path, as_of: str = AS_OF, **settings: Any) -> RunResult:
    return run_pipeline(home, as_of=as_of, **settings)


def query(home: Path, sql: str) -> list[Any]:
    with duckdb.connect(str(home / "published" / "warehouse.duckdb"), read_only=True) as connection:
        connection.execute("set TimeZone = 'UTC'")
        return connection.execute(sql).fetchall()


def instants(*texts: str | None) -> tuple[datetime | None, ...]:
    return tuple(datetime.fromisoformat(text).replace(tzinfo=UTC) if text else None for text in texts)


HISTORY = (
    "select case_id, break_type, opened_at, closed_at from marts.fct_reconciliation_history order by"
    " opened_at, case_id"
)


@pytest.mark.soak
def test_credits_without_any_report_are_pending_and_the_answer_incomplete(tmp_path: Path) -> None:
    land(tmp_path, [ledger_file("l.jsonl", [credit("d1", "2026-10-05T10:00:30Z", "10", intent="pi_1")])])
    result = run(tmp_path)
    assert result.exit_code == 0, result
    assert "Reconciliation: incomplete. 1 cases: 0 matched, 0 breaks, 1 pending." in result.output
    assert "! stripe/balance_change_from_activity.itemized is missing" in result.output
    reported = list(status_lines(load_settings(_env_file=None, warehouse_home=tmp_path)))
    assert "Reconciliation: incomplete. 1 cases: 0 matched, 0 breaks, 1 pending." in reported
    assert "  ! stripe/balance.summary is missing" in reported


@pytest.mark.soak
def test_reports_that_end_early_are_stale(tmp_path: Path) -> None:
    land(
        tmp_path,
        [
            ledger_file("l.jsonl", [credit("d1", "2026-10-05T10:00:30Z", "10", intent="pi_1")]),
            activity_file(OCTOBER, [PAID]),
        ],
    )
    result = run(tmp_path)
    assert "1 cases: 1 matched" in result.output
    assert (
        "! stripe/balance_change_from_activity.itemized is stale, its data end 2026-11-01 00:00 UTC"
        in result.output
    )
    # Three days of grace after the first of November end at 00:00 of the fourth.
    (row,) = query(
        tmp_path,
        "select verdict, data_until from marts.rpt_reconciliation_sources where source like '%activity%'",
    )
    assert row == ("stale", *instants("2026-11-01"))


@pytest.mark.soak
def test_an_idle_span_is_covered_by_a_report_without_rows(tmp_path: Path) -> None:
    header = activity_file("october.csv", [PAID]).content.splitlines()[0] + b"\n"
    idle = [
        landed(f"stripe/{ACTIVITY}", covering(*days), header)
        for days in (("2026-10-01", "2026-10-31"), ("2026-11-01", "2026-11-30"))
    ]
    land(
        tmp_path, [ledger_file("l.jsonl", [credit("d1", "2026-11-01T10:00:30Z", "10", intent="pi_9")]), *idle]
    )
    # The same bytes say something else of another month; nothing covers what is still to come when it is
    # landed.
    publish_home(tmp_path, as_of="2026-12-20T00:00:00Z")
    (row,) = query(tmp_path, "select status, break_type from marts.fct_reconciliation")
    assert row == ("break", "ledger_only")


@pytest.mark.soak
def test_a_missing_month_makes_no_false_breaks_and_is_reported(tmp_path: Path) -> None:
    november = charge_row("txn_3", "2026-11-05T10:00:00Z", "5.00", "0.45", intent="pi_3")
    files = [
        activity_file(covering("2026-09-01", "2026-09-30"), [PAID | {"created_utc": "2026-09-05 10:00:00"}])
    ]
    files.append(activity_file(TO_NOVEMBER, [november]))
    land(
        tmp_path,
        [ledger_file("l.jsonl", [credit("d2", "2026-10-06T10:00:30Z", "20", intent="pi_2")]), *files],
    )
    result = run(tmp_path)
    assert (
        "! stripe/balance_change_from_activity.itemized has gaps, its data end 2026-10-01 00:00 UTC"
        in result.output
    )
    assert query(tmp_path, "select status from marts.fct_reconciliation where case_id = 'deposit:d2'") == [
        ("pending",)
    ]


def test_data_of_one_account_do_not_speak_for_another(tmp_path: Path) -> None:
    """Account A reaches 20 September, B 1 September: only B can know a payment of the 5th that A does not."""
    of_a = charge_row("txn_a", "2026-08-10T10:00:00Z", "10.00", "0.59", intent="pi_a", charge="ch_a")
    of_b = charge_row("txn_b", "2026-08-11T10:00:00Z", "20.00", "0.88", intent="pi_b", charge="ch_b")
    stated = [
        credit("a", "2026-08-10T10:00:30Z", "10", intent="pi_a"),
        credit("b", "2026-08-11T10:00:30Z", "20", intent="pi_b"),
        credit("only B can know", "2026-09-05T10:00:00Z", "30", intent="pi_of_b"),
    ]
    land(
        tmp_path,
        [
            ledger_file("l.jsonl", stated),
            activity_file(covering("2026-08-01", "2026-09-19"), [of_a], account="acct_A"),
            activity_file(covering("2026-08-01", "2026-08-31"), [of_b], account="acct_B"),
        ],
    )
    publish_home(tmp_path, as_of="2026-09-20T12:00:00Z")
    cases = dict(query(tmp_path, "select case_id, status from marts.fct_reconciliation"))
    assert cases == {"stripe:pi_a": "matched", "stripe:pi_b": "matched", "deposit:only B can know": "pending"}
    activity = "from marts.rpt_reconciliation_sources where source like '%activity%' order by account_id"
    assert query(tmp_path, f"select account_id, verdict, data_until {activity}") == [
        ("acct_A", "complete", *instants("2026-09-20")),
        ("acct_B", "stale", *instants("2026-09-01")),
    ]
    reported = list(status_lines(load_settings(_env_file=None, warehouse_home=tmp_path)))
    assert "Reconciliation: incomplete. 3 cases: 2 matched, 0 breaks, 1 pending." in reported
    assert (
        "  ! stripe/balance_change_from_activity.itemized of acct_B is stale, its data end 2026-09-01 00:00"
        " UTC" in reported
    )
    # The rest of B's September arrives: now every account that could hold the payment reaches past the
    # credit.
    land(tmp_path, [activity_file(covering("2026-09-01", "2026-09-19"), [], account="acct_B")])
    publish_home(tmp_path, as_of="2026-09-20T12:00:00Z")
    assert query(tmp_path, "select break_type from marts.fct_reconciliation where status = 'break'") == [
        ("ledger_only",)
    ]


@pytest.mark.soak
def test_files_of_one_currency_do_not_speak_for_another(tmp_path: Path) -> None:
    dollars = [activity_file(covering("2026-10-01", "2026-11-09", stem="Itemized_activity_USD"), [PAID])]
    stated = [
        credit("d1", "2026-10-05T10:00:30Z", "10", intent="pi_1"),
        credit("d2", "2026-10-06T10:00:00Z", "20", intent="pi_2", currency="eur"),
    ]
    land(tmp_path, [ledger_file("l.jsonl", stated), *dollars])
    result = run(tmp_path)
    assert query(tmp_path, "select case_id, status from marts.fct_reconciliation order by case_id") == [
        ("deposit:d2", "pending"), ("stripe:pi_1", "matched"),
    ]  # fmt: skip
    assert (
        "! stripe/balance_change_from_activity.itemized covers no EUR, its data end 2026-11-10 00:00 UTC"
        in result.output
    )
    land(tmp_path, [activity_file(covering("2026-10-01", "2026-11-09", stem="Itemized_activity_EUR"), [])])
    publish_home(tmp_path, as_of=AS_OF)
    assert query(tmp_path, "select break_type from marts.fct_reconciliation where status = 'break'") == [
        ("ledger_only",)
    ]


def test_where_nothing_was_compared_nothing_is_complete(tmp_path: Path) -> None:
    """Deposits 79 and 110 days old that name no payment in any way that is understood, one of yesterday, and
    no payments at all.
    """
    stated = [
        credit("old", "2026-08-23T10:00:00Z", "10", metadata={"stripe_ref": "pi_3AbC", "invoice": "in_1"}),
        credit("older", "2026-07-23T10:00:00Z", "20", metadata={"refs": {"stripe_ref": "ch_3AbC"}}),
        credit("young", "2026-11-09T10:00:00Z", "30", metadata={"note": "by hand"}),
    ]
    land(tmp_path, [ledger_file("l.jsonl", stated)])
    result = run(tmp_path, max_priority_1_breaks=1)
    assert result.exit_code == 0, result
    assert "Reconciliation: incomplete. 3 cases: 0 matched, 2 breaks, 1 pending." in result.output
    assert (
        "! no payments were landed, so that deposits which name no payment were compared with nothing"
        in result.output
    )
    assert query(
        tmp_path,
        "select case_id, status, break_type, age_days from marts.fct_reconciliation order by age_days",
    ) == [
        ("deposit:young", "pending", None, 1),
        ("deposit:old", "break", "ledger_only", 79),
        ("deposit:older", "break", "ledger_only", 110),
    ]
    found = query(
        tmp_path, "select scope, actual, passed from ops.invariants where name = 'deposit_keys_are_read'"
    )
    assert [(scope, int(actual), passed) for scope, actual, passed in found] == [
        ("metadata key stripe_ref", 2, False)
    ]
    assert "deposit_keys_are_read (metadata key stripe_ref)" in result.output
    # By default, breaks only warn.
    reported = list(status_lines(load_settings(_env_file=None, warehouse_home=tmp_path)))
    assert "  warning: priority_1_breaks (all): expected 1, actual 2" in reported


KEYS = {
    "pi_1": ("payment_intent", "payment_intent_id", "paymentIntent", "paymentIntentId"),
    "ch_1": ("charge", "charge_id", "chargeId"),
    "cs_1": ("checkout_session", "checkout_session_id", "checkoutSession", "checkoutSessionId"),
}


@pytest.mark.soak
def test_every_spelling_of_a_key_ties_a_deposit_to_its_payment(tmp_path: Path) -> None:
    """Eleven spellings, each of a deposit of a part of one payment of 11, and by webhook as well."""
    spellings = [(key, name) for key, names in KEYS.items() for name in names]
    stated = [credit(name, "2026-10-05T10:00:30Z", "1", metadata={name: key}) for key, name in spellings]
    paid = charge_row("txn_1", "2026-10-05T10:00:00Z", "22.00", "0.59", intent="pi_1", charge="ch_1")
    hooks = [
        event(
            f"evt_{name}",
            "balance.deposit.created",
            "2026-10-05T10:00:30Z",
            metadata={name: key},
            activityId=f"hook {name}",
            amount="1",
            currency="usd",
            walletUserId="w",
            externalUserId="alice",
        )
        for key, name in spellings
    ]
    sessions = sessions_file("s.jsonl", [session_row("cs_1", "pi_1")])
    land(
        tmp_path,
        [
            ledger_file("l.jsonl", stated),
            events_file("e.jsonl", hooks),
            activity_file(OCTOBER, [paid]),
            sessions,
        ],
    )
    publish_home(tmp_path, as_of=AS_OF)
    cases = query(tmp_path, "select case_id, status, len(deposit_entry_ids) from marts.fct_reconciliation")
    assert cases == [("stripe:pi_1", "matched", 22)]


@pytest.mark.soak
def test_downloads_without_an_account_and_a_pull_of_the_same_account_are_one(tmp_path: Path) -> None:
    """By hand until September, with a key from then on: the older files do not go stale."""
    september = charge_row("txn_0", "2026-09-05T10:00:00Z", "5.00", "0.45", intent="pi_0", charge="ch_0")
    files = [
        activity_file(covering("2026-09-01", "2026-09-30"), [september]),
        activity_file(OCTOBER, [PAID], account="acct_1"),
    ]
    files.append(activity_file(TO_NOVEMBER, [], account="acct_1"))
    land(
        tmp_path, [ledger_file("l.jsonl", [credit("d9", "2026-09-06T10:00:00Z", "7", intent="pi_9")]), *files]
    )
    publish_home(tmp_path, as_of=AS_OF)
    assert query(
        tmp_path, "select break_type from marts.fct_reconciliation where case_id = 'deposit:d9'"
    ) == [("ledger_only",)]
    activity = "from marts.rpt_reconciliation_sources where source like '%activity%'"
    assert query(tmp_path, f"select account_id, records, verdict {activity}") == [("acct_1", 2, "complete")]


def test_breaks_open_close_and_open_again(tmp_path: Path) -> None:
    first = [
        credit("d1", "2026-10-05T10:00:30Z", "10", intent="pi_1"),
        credit("d2", "2026-10-06T10:00:30Z", "20", intent="pi_2"),
    ]
    again = credit("d2 again", "2026-10-06T12:00:00Z", "20", intent="pi_2")
    land(tmp_path, [ledger_file("1.jsonl", [*first, again]), activity_file(OCTOBER, [PAID, TWICE])])
    publish_home(tmp_path, as_of=AS_OF)
    opened = ("stripe:pi_2", "duplicate_deposit", *instants("2026-10-06T12:00:00", None))
    assert query(tmp_path, HISTORY) == [opened]
    land(
        tmp_path,
        [ledger_file("2.jsonl", [again | {"status": "reversed", "updated_at": "2026-11-11T00:00:00Z"}])],
    )
    publish_home(tmp_path, as_of="2026-11-11T09:00:00Z")
    closed = ("stripe:pi_2", "duplicate_deposit", *instants("2026-10-06T12:00:00", "2026-11-11T09:00:00"))
    assert query(tmp_path, HISTORY) == [closed]
    land(
        tmp_path,
        [ledger_file("3.jsonl", [again | {"status": "settled", "updated_at": "2026-11-13T00:00:00Z"}])],
    )
    # A rebuild of everything from the lake does not forget what was published.
    publish_home(tmp_path, as_of="2026-11-13T09:00:00Z", full_refresh=True)
    reopened = ("stripe:pi_2", "duplicate_deposit", *instants("2026-11-11T09:00:00", None))
    assert query(tmp_path, HISTORY) == [closed, reopened]


@pytest.mark.soak
def test_somebody_who_opens_the_published_file_for_writing_stops_no_run(tmp_path: Path) -> None:
    land(tmp_path, [activity_file(OCTOBER, [PAID])])
    publish_home(tmp_path, as_of=AS_OF)
    opened = query(tmp_path, HISTORY)
    holder = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import duckdb, sys; c = duckdb.connect(sys.argv[1]); print('open', flush=True);"
            " sys.stdin.read()",
            str(tmp_path / "published" / "warehouse.duckdb"),
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"open\n"
        land(tmp_path, [ledger_file("l.jsonl", [credit("d1", "2026-10-05T10:00:30Z", "10", intent="pi_1")])])
        result = run(tmp_path)
    finally:
        holder.communicate()
    assert result.exit_code == 0, result
    assert query(tmp_path, HISTORY) == [(*opened[0][:3], *instants("2026-11-10T12:00:00"))]


@pytest.mark.soak
def test_the_grace_is_a_setting(tmp_path: Path) -> None:
    """By default the payment would be a break, as in the next test."""
    land(tmp_path, [activity_file(OCTOBER, [PAID])])
    publish_home(tmp_path, as_of=AS_OF, recon_grace_days=40)
    assert query(tmp_path, "select status from marts.fct_reconciliation") == [("pending",)]


@pytest.mark.soak
def test_breaks_of_priority_1_stop_the_run_by_setting(tmp_path: Path) -> None:
    land(tmp_path, [activity_file(OCTOBER, [PAID])])
    land(
        tmp_path,
        [
            activity_file(
                TO_NOVEMBER, [charge_row("txn_3", "2026-11-02T10:00:00Z", "5.00", "0.45", intent="pi_3")]
            )
        ],
    )
    result = run(tmp_path, priority_1_breaks="fail", max_priority_1_breaks=1)
    assert result.exit_code == 1, result
    assert "priority_1_breaks (all): expected 1, actual 2" in result.output
    assert not (tmp_path / "published").exists()


@pytest.mark.soak
def test_an_altered_report_is_refused_until_the_true_one_is_back(tmp_path: Path) -> None:
    true = activity_file(OCTOBER, [PAID, TWICE])
    land(tmp_path, [true])
    publish_home(tmp_path, as_of=AS_OF)
    before = (tmp_path / "published" / "warehouse.duckdb").read_bytes()
    altered = PAID | {"gross": "10.01", "net": "9.42"}
    land(tmp_path, [activity_file(OCTOBER, [altered, TWICE])])
    result = run(tmp_path)
    assert result.exit_code == 1
    assert f"stripe_rows_are_confirmed ({true.path}:2 txn_1)" in result.output
    assert (tmp_path / "published" / "warehouse.duckdb").read_bytes() == before
    land(tmp_path, [true])
    publish_home(tmp_path, as_of=AS_OF)
    assert (
        query(
            tmp_path, "select settled_gross from marts.fct_reconciliation where payment_intent_id = 'pi_1'"
        )[0][0]
        == 10
    )


@pytest.mark.soak
def test_a_report_that_disagrees_with_the_summary_of_its_span_is_refused(tmp_path: Path) -> None:
    summary = [
        {"category": "starting_balance", "currency": "usd", "net_amount": "0.00"},
        {"category": "activity", "currency": "usd", "net_amount": "9.41"},
        {"category": "ending_balance", "currency": "usd", "net_amount": "9.41"},
    ]
    land(
        tmp_path,
        [activity_file(OCTOBER, [PAID | {"gross": "10.01", "net": "9.42"}]), summary_file(OCTOBER, summary)],
    )
    result = run(tmp_path)
    assert result.exit_code == 1
    assert "stripe_activity_equals_summary" in result.output
    assert "default usd): expected 9.42, actual 9.41" in result.output


@pytest.mark.soak
def test_a_cent_in_what_the_customer_paid_is_refused_where_nothing_was_converted(tmp_path: Path) -> None:
    report = activity_file(
        OCTOBER, [PAID | {"customer_facing_amount": "10.01", "customer_facing_currency": "usd"}, TWICE]
    )
    land(tmp_path, [report])
    result = run(tmp_path)
    assert result.exit_code == 1
    assert (
        f"stripe_presentment_is_the_settlement ({report.path}:2 txn_1): expected 10, actual 10.01"
        in result.output
    )


@pytest.mark.soak
def test_refunds_of_payments_that_never_landed_are_reported(tmp_path: Path) -> None:
    report = activity_file(
        OCTOBER, [PAID, refund_row("txn_9", "2026-10-06T10:00:00Z", "3.00", charge="ch_of_last_year")]
    )
    land(tmp_path, [report])
    result = run(tmp_path)
    assert result.exit_code == 0, result
    assert f"warning: stripe_returns_have_a_payment ({report.path}:3 txn_9)" in result.output


def test_an_unknown_version_is_reported_and_nothing_private_reaches_lake_or_rejects(tmp_path: Path) -> None:
    header = (
        "balance_transaction_id,created,currency,gross,fee,net,reporting_category,charge_id,customer_email"
    )
    good = "txn_1,2026-10-05 10:00:00,usd,10.00,0.59,9.41,charge,ch_1,jenny@example.com"
    bad = "txn_2,2026-10-05 10:00:00,usd,ten,0.59,9.41,charge,ch_2,jenny@example.com"
    torn = "txn_3,2026-10-05 10:00:00,usd,jenny@example.com"
    text = "\n".join([header, good, bad, torn, ""]).encode()
    land(
        tmp_path,
        [
            landed(f"stripe/{ACTIVITY}", "october_UTC.csv", text),
            landed("stripe/balance_change_from_activity.itemized.8", "november.csv", text + good.encode()),
        ],
    )
    publish_home(tmp_path, as_of=AS_OF, max_reject_ratio=1)
    rejects = query(
        tmp_path, "select path, line, reason_code, raw from ops.rejected_records order by path, line"
    )
    seven, eight = (f"stripe/balance_change_from_activity.itemized.{version}" for version in (7, 8))
    assert [reject[:3] for reject in rejects] == [
        (f"{seven}/october_UTC.csv", 3, "bad_amount"),
        (f"{seven}/october_UTC.csv", 4, "too_few_fields"),
        (f"{eight}/november.csv", None, "unknown_report_version"),
    ]
    assert '"balance_transaction_id":"txn_2"' in rejects[0][3]
    holders = [path for path in tmp_path.rglob("*") if path.is_file() and b"jenny@" in path.read_bytes()]
    assert {path.name for path in holders} == {"october_UTC.csv", "november.csv"}, "the landing area alone"


@pytest.mark.soak
def test_the_command_shows_breaks_by_type(tmp_path: Path) -> None:
    land(tmp_path, [activity_file(OCTOBER, [PAID, TWICE])])
    result = run(tmp_path)
    assert "  2 ×  processor_only  priority 1  stripe  30.00  usd  oldest 36 days" in result.output
    out = io.StringIO()
    with redirect_stdout(out):
        print(*status_lines(load_settings(_env_file=None, warehouse_home=tmp_path)), sep="\n")
    assert "  2 ×  processor_only  priority 1  stripe  30.00  usd  oldest 36 days" in out.getvalue()
