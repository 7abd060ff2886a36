"""The pull of Stripe's reports, with the real SDK against a server on loopback."""

import csv
import hashlib
import json
import logging
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import dagster as dg
import duckdb
import pytest

from ingestion.landing.area import Landing
from ingestion.pulls.windows import by_months, gaps, windows_to_pull
from ingestion.sources.stripe.reports import ACTIVITY as ACTIVITY_FAMILY, PULLED_REPORTS
from ingestion.stripe_pull import pull as pull_module
from ingestion.stripe_pull.api import Pace, StripeApi, StripeRefusedError, StripeUnavailableError
from ingestion.stripe_pull.pull import Pulled, ReportFailedError, pull, pulled_files
from orchestration.assets.landing import report_type_of
from orchestration.automation import stripe_data_sensor
from paywall_warehouse.settings import Settings, SettingsError, load_settings
from tests.support.builders import deposit, land as land_files, ledger_file
from tests.support.harness import publish_home, run_pipeline
from tests.support.killed_pulls import Killed, killed_at
from tests.support.stripe_account import FROM, KEY, UNTIL, books
from tests.support.stripe_server import PRIVATE, Options, StripeServer, running

ACTIVITY = "balance_change_from_activity.itemized.7"
REPORTS = (ACTIVITY, "payouts.itemized.5", "payout_reconciliation.itemized.7", "balance.summary.1")
ALL = (*REPORTS, "checkout_sessions")
FAST = Pace(
    timeout=2, between_requests=0, first_poll=0.01, longest_poll=0.02, first_backoff=0.02, longest_backoff=0.2
)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.fixture
def server() -> Iterator[StripeServer]:
    with running(books(), KEY, Options(available_from=FROM, available_until=UNTIL)) as started:
        yield started


@pytest.fixture
def settings(tmp_path: Path, server: StripeServer) -> Settings:
    return settings_of(tmp_path / "home", server)


def settings_of(home: Path, server: StripeServer, **more: Any) -> Settings:
    return load_settings(
        _env_file=None, warehouse_home=home, stripe_api_key=KEY, stripe_api_base=server.url, **more
    )


def pull_one(settings: Settings, report_type: str = ACTIVITY) -> Pulled:
    return pull(settings, StripeApi(settings, FAST), report_type)


def landed(settings: Settings, report_type: str = ACTIVITY) -> list[Path]:
    return sorted((settings.home.landing / "stripe" / report_type).glob("[!.]*.csv"))


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def spans(settings: Settings, report_type: str = ACTIVITY) -> list[tuple[str, str]]:
    found = pulled_files(Landing.of(settings), report_type, "acct_test", False)
    return sorted((f"{one.span[0]:%Y-%m-%d}", f"{one.span[1]:%Y-%m-%d}") for one in found)


# ---- windows


@pytest.mark.parametrize(
    ("covered", "missing"),
    [
        ([], [("2026-01-01", "2026-03-01")]),
        ([("2026-01-01", "2026-02-01")], [("2026-02-01", "2026-03-01")]),
        ([("2026-01-10", "2026-01-20")], [("2026-01-01", "2026-01-10"), ("2026-01-20", "2026-03-01")]),
        ([("2026-01-01", "2026-02-10"), ("2026-02-01", "2026-03-01")], []),
        ([("2025-01-01", "2026-01-05"), ("2026-02-20", "2027-01-01")], [("2026-01-05", "2026-02-20")]),
    ],
)
def test_gaps_are_what_no_file_covers(covered: list[tuple[str, str]], missing: list[tuple[str, str]]) -> None:
    known = [(at(start), at(end)) for start, end in covered]
    assert gaps((at("2026-01-01"), at("2026-03-01")), known) == [
        (at(start), at(end)) for start, end in missing
    ]


def test_a_pull_looks_back_only_where_new_time_follows() -> None:
    available, look_back = (at("2026-01-01"), at("2026-04-02")), timedelta(days=35)

    def windows(covered: list[tuple[str, str]], fresh: list[tuple[str, str]]) -> list[tuple[str, str]]:
        known, new = ([(at(start), at(end)) for start, end in spans] for spans in (covered, fresh))
        return [
            (f"{start:%Y-%m-%d}", f"{end:%Y-%m-%d}")
            for start, end in windows_to_pull(available, known, new, look_back)
        ]

    assert windows([("2026-01-01", "2026-04-01")], []) == [("2026-02-25", "2026-04-02")]
    assert windows([("2026-01-01", "2026-04-02")], []) == []
    assert windows([("2026-02-01", "2026-04-02")], []) == [("2026-01-01", "2026-02-01")]
    assert windows([("2026-01-01", "2026-03-01")], []) == [
        ("2026-01-25", "2026-02-01"),
        ("2026-02-01", "2026-03-01"),
        ("2026-03-01", "2026-04-01"),
        ("2026-04-01", "2026-04-02"),
    ]
    # A pull of the same data that was cut short brought the first two months: it goes on with the third.
    assert windows([("2026-01-01", "2026-03-01")], [("2026-01-01", "2026-03-01")]) == [
        ("2026-03-01", "2026-04-02")
    ]


def test_long_spans_are_cut_where_months_end() -> None:
    assert by_months((at("2026-12-15"), at("2027-02-15"))) == [(at("2026-12-15"), at("2027-02-15"))]
    assert by_months((at("2026-12-15"), at("2027-02-16"))) == [
        (at("2026-12-15"), at("2027-01-01")),
        (at("2027-01-01"), at("2027-02-01")),
        (at("2027-02-01"), at("2027-02-16")),
    ]


# ---- a whole pull


def test_a_first_pull_lands_everything_that_stripe_has_with_what_made_it(
    settings: Settings, server: StripeServer
) -> None:
    done = pull_one(settings)
    assert (done.created_runs, len(done.files), done.left) == (4, 4, None)
    assert spans(settings) == [
        ("2026-08-20", "2026-09-01"),
        ("2026-09-01", "2026-10-01"),
        ("2026-10-01", "2026-11-01"),
        ("2026-11-01", "2026-11-20"),
    ]
    assert [row["balance_transaction_id"] for file in landed(settings) for row in rows(file)] == [
        "txn_1",
        "txn_2",
        "txn_3",
        "txn_4",
    ]
    file = landed(settings)[1]
    sidecar = json.loads(file.with_name(f".{file.name}.run.json").read_text(encoding="utf-8"))
    (run,) = [run for run in server.runs.all(ACTIVITY) if run.id == sidecar["id"]]
    assert run.window == (sidecar["parameters"]["interval_start"], sidecar["parameters"]["interval_end"])
    assert (sidecar["account"], sidecar["livemode"], sidecar["report_type"]) == ("acct_test", False, ACTIVITY)
    assert sidecar["sha256"] == hashlib.sha256(file.read_bytes()).hexdigest()
    assert {"charge_id", "payment_intent_id", "customer_facing_amount"} <= set(
        sidecar["parameters"]["columns"]
    )


def test_new_data_are_pulled_with_a_look_back_and_nothing_new_asks_for_nothing(
    settings: Settings, server: StripeServer
) -> None:
    pull_one(settings)
    again = pull_one(settings)
    assert (again.files, again.created_runs) == ([], 0)
    server.faults.available_until("2026-11-21")
    done = pull_one(settings)
    assert done.created_runs == 1
    assert spans(settings)[-2] == ("2026-10-16", "2026-11-21")  # 35 days before the 20th
    # A summary of a past span never changes: it is asked for once.
    pull_one(settings, "balance.summary.1")
    server.faults.available_until("2026-11-22")
    pull_one(settings, "balance.summary.1")
    assert spans(settings, "balance.summary.1")[-1] == ("2026-11-21", "2026-11-22")


def test_more_sessions_than_a_page_are_listed_and_nothing_but_what_is_needed(
    settings: Settings, server: StripeServer
) -> None:
    server.books.sessions[:] = [
        {"id": f"cs_{n}", "payment_intent": f"pi_{n}", "created": "2026-10-02 09:00:00"} for n in range(250)
    ]
    pull_one(settings, "checkout_sessions")
    found = [row for file in landed(settings, "checkout_sessions") for row in rows(file)]
    assert {row["id"]: row["payment_intent"] for row in found} == {f"cs_{n}": f"pi_{n}" for n in range(250)}
    assert len(found) == 250
    assert set(found[0]) == {
        "id",
        "payment_intent",
        "client_reference_id",
        "status",
        "payment_status",
        "created",
        "livemode",
    }


def test_a_file_that_was_lost_is_pulled_again(settings: Settings, server: StripeServer) -> None:
    pull_one(settings)
    landed(settings)[1].unlink()
    done = pull_one(settings)
    assert [row["balance_transaction_id"] for file in landed(settings) for row in rows(file)] == [
        "txn_1",
        "txn_2",
        "txn_3",
        "txn_4",
    ]
    assert done.created_runs == 1
    assert server.runs.windows(ACTIVITY)[-1] == server.runs.windows(ACTIVITY)[1]


def test_another_account_or_mode_starts_from_the_beginning(settings: Settings, server: StripeServer) -> None:
    pull_one(settings)
    server.options.account = "acct_other"
    assert pull_one(settings).created_runs == 4


def test_a_sidecar_that_is_not_ours_is_ignored(settings: Settings, server: StripeServer) -> None:
    pull_one(settings)
    for number, text in enumerate(("{torn", "[]", '{"parameters": {}}', '{"parameters": 1, "bytes": "x"}')):
        file = landed(settings)[number]
        file.with_name(f".{file.name}.run.json").write_text(text, encoding="utf-8")
    assert pull_one(settings).created_runs == 4


def test_what_stripe_knows_no_more_is_asked_for_again(settings: Settings, server: StripeServer) -> None:
    server.faults.permission_denied("/v1/files", 1)
    with pytest.raises(StripeRefusedError):
        pull_one(settings)
    pull_one(settings)
    assert [row["balance_transaction_id"] for file in landed(settings) for row in rows(file)] == [
        "txn_1",
        "txn_2",
        "txn_3",
        "txn_4",
    ]


def test_the_pinned_versions_are_those_that_can_be_loaded(tmp_path: Path) -> None:
    for stripe_report in PULLED_REPORTS:
        others = () if stripe_report is ACTIVITY_FAMILY else (ACTIVITY,)
        for version in stripe_report.versions:
            load_settings(
                _env_file=None,
                warehouse_home=tmp_path,
                stripe_report_types=(*others, f"{stripe_report.name}.{version}"),
            )
        beyond = f"{stripe_report.name}.{(stripe_report.versions or [0])[-1] + 1}"
        with pytest.raises(SettingsError, match="STRIPE_REPORT_TYPES"):
            load_settings(_env_file=None, warehouse_home=tmp_path, stripe_report_types=(*others, beyond))


def test_a_restricted_key_may_not_see_the_account(settings: Settings, server: StripeServer) -> None:
    server.options.account_readable = False
    assert len(pull_one(settings).files) == 4
    assert pull_one(settings).files == []


# ---- faults


REQUESTS = [(StripeApi, name) for name in ("create_run", "run", "download")]


@pytest.mark.soak
def test_killed_at_any_point_no_window_is_missing_and_no_run_is_created_twice(tmp_path: Path) -> None:
    options = Options(available_from="2026-09-15", available_until="2026-11-20", polls=1)
    step, steps = 0, 1
    while step < steps:
        step += 1
        # Stripe remembers idempotency keys for a day at least; every second time it has forgotten them.
        with running(books(), KEY, options) as server, pytest.MonkeyPatch.context() as patch:
            settings = settings_of(tmp_path / f"home{step}", server)
            count = killed_at(step, patch, *REQUESTS, (pull_module.Intents, "forget"))
            try:
                pull_one(settings)
            except Killed:
                patch.undo()
                if step % 2:
                    server.runs.forget_idempotency_keys()
                pull_one(settings)
            else:
                steps = 0
            windows = server.runs.windows(ACTIVITY)
            assert len(windows) == len(set(windows)), (
                f"killed at step {step} of {count()}: a run was created twice"
            )
            known = [one.span for one in pulled_files(Landing.of(settings), ACTIVITY, "acct_test", False)]
            assert gaps((at("2026-09-15"), at("2026-11-20")), known) == [], (
                f"killed at step {step} of {count()}: a window is missing"
            )
            found = [row["balance_transaction_id"] for file in landed(settings) for row in rows(file)]
            assert found == ["txn_2", "txn_3", "txn_4"]
            assert list((settings.home.root / "state" / "stripe").rglob("*.json")) == []
            assert not [file for file in settings.home.landing.rglob("*") if file.name.endswith(".partial")]
            if steps:
                steps = step + 1
    assert step > 30, "the pull has that many moments to die at"


def test_a_lost_answer_to_a_creation_is_no_second_run(settings: Settings, server: StripeServer) -> None:
    server.faults.server_error("/v1/reporting/report_runs", 9, method="POST", executed=True, remembered=True)
    with pytest.raises(StripeUnavailableError, match="HTTP 500"):
        pull_one(settings)
    server.faults.clear()
    server.runs.forget_idempotency_keys()
    done = pull_one(settings)
    windows = server.runs.windows(ACTIVITY)
    assert len(windows) == len(set(windows)) == 4
    assert (len(done.files), done.resumed_runs) == (4, 1)


def test_an_error_that_stripe_remembers_for_a_key_does_not_stay_for_ever(
    settings: Settings, server: StripeServer
) -> None:
    server.faults.server_error("/v1/reporting/report_runs", 3, method="POST", remembered=True)
    with pytest.raises(StripeUnavailableError):
        pull_one(settings)
    assert len(pull_one(settings).files) == 4


def test_too_many_requests_are_waited_out(settings: Settings, server: StripeServer) -> None:
    server.faults.rate_limit("/v1/reporting/report_types", 3)
    server.faults.rate_limit("/v1/reporting/report_runs", 2, method="POST", retry_after="0.15")
    assert len(pull_one(settings).files) == 4
    assert server.faults.waiting == 0
    first, second, *_ = [
        request.at for request in server.requests.to("/v1/reporting/report_runs", method="POST")
    ]
    assert second - first >= 0.15
    asked = [request.at for request in server.requests.to(f"/v1/reporting/report_types/{ACTIVITY}")]
    # Waits of 0.01, 0.02 and 0.04 seconds at the least: half of 0.02, doubled each time.
    assert [
        later - earlier >= wait
        for earlier, later, wait in zip(asked, asked[1:], (0.01, 0.02, 0.04), strict=False)
    ] == [True] * 3


def test_too_many_requests_for_ever_end_the_pull(settings: Settings, server: StripeServer) -> None:
    server.faults.rate_limit("/v1/reporting/report_types", None)  # type: ignore[arg-type]
    with pytest.raises(StripeUnavailableError, match="429"):
        pull_one(settings)


def test_a_report_that_fails_says_why_and_is_asked_for_again(
    settings: Settings, server: StripeServer
) -> None:
    server.faults.fail_run(ACTIVITY, "The report exceeded the size limit.")
    with pytest.raises(
        ReportFailedError,
        match=r"2026-08-20 00:00 to 2026-09-01 00:00 UTC.*The report exceeded the size limit",
    ):
        pull_one(settings)
    pull_one(settings)
    assert spans(settings)[0] == ("2026-08-20", "2026-09-01")
    assert (
        server.runs.windows(ACTIVITY).count(server.runs.windows(ACTIVITY)[0]) == 2
    )  # the failed one, and another


def test_a_report_that_is_not_ready_is_left_to_the_next_pull(tmp_path: Path, server: StripeServer) -> None:
    server.options.polls = 3
    impatient = settings_of(tmp_path / "home", server, stripe_deadline_seconds=0)
    done = pull_one(impatient)
    assert (done.files, done.left) == ([], "4 reports are not ready yet; the next run picks them up")
    assert pull_one(impatient).left == "4 reports are not ready yet; the next run picks them up"
    done = pull_one(impatient)
    assert (done.resumed_runs, done.created_runs, len(done.files)) == (4, 0, 4)
    assert len(server.runs.all(ACTIVITY)) == 4


def test_a_cut_download_is_fetched_again_and_never_landed(settings: Settings, server: StripeServer) -> None:
    server.faults.cut_download(2)
    pull_one(settings)
    assert [len(rows(file)) for file in landed(settings)] == [0, 1, 1, 2]
    server.faults.available_until("2026-11-21")
    server.faults.cut_download(99)
    with pytest.raises(StripeUnavailableError, match="could not be downloaded"):
        pull_one(settings)
    assert len(landed(settings)) == 4


def test_compressed_answers_and_stripes_own_addresses_are_understood(
    settings: Settings, server: StripeServer
) -> None:
    server.options.compressed_files = server.options.real_file_urls = True
    pull_one(settings)
    assert [len(rows(file)) for file in landed(settings)] == [0, 1, 1, 2]
    assert server.requests.to("/v1/files", status=200), "the key went to the host of the settings"


def test_a_read_budget_leaves_the_rest_to_the_next_pull(tmp_path: Path, server: StripeServer) -> None:
    thrifty = settings_of(tmp_path / "home", server, stripe_read_budget=7)
    pulls = 0
    while (done := pull_one(thrifty)).left:
        assert "STRIPE_READ_BUDGET" in done.left
        pulls += 1
        assert pulls < 10
    assert pulls > 0
    assert len(server.runs.all(ACTIVITY)) == 4
    assert len(landed(thrifty)) == 4


def test_a_wrong_key_is_reported_without_the_key(tmp_path: Path, server: StripeServer) -> None:
    wrong = load_settings(
        _env_file=None,
        warehouse_home=tmp_path / "home",
        stripe_api_key="rk_test_wrongsecret",
        stripe_api_base=server.url,
    )
    with pytest.raises(StripeRefusedError, match="HTTP 401") as caught:
        pull(wrong, StripeApi(wrong, FAST), ACTIVITY)
    assert "wrongsecret" not in str(caught.value)


def test_an_unreachable_stripe_is_reported(tmp_path: Path) -> None:
    nowhere = load_settings(
        _env_file=None, warehouse_home=tmp_path, stripe_api_key=KEY, stripe_api_base="http://127.0.0.1:9"
    )
    with pytest.raises(StripeUnavailableError, match="cannot be reached"):
        pull(nowhere, StripeApi(nowhere, FAST), ACTIVITY)


def test_an_unsupported_column_is_refused_with_stripes_words(
    settings: Settings, server: StripeServer
) -> None:
    poorer = tuple(
        (
            replace(kind, columns=tuple(name for name in kind.columns if name != "charge_id"))
            if hasattr(kind, "columns")
            else kind
        )
        for kind in server.options.report_types
    )
    server.options.report_types = poorer
    with pytest.raises(StripeRefusedError, match="charge_id"):
        pull_one(settings)
    # What was refused is not asked for again as it was: the next pull looks anew at what there is.
    waiting = (settings.home.root / "state" / "stripe").rglob("*.json")
    assert (
        sum(
            json.loads(file.read_text(encoding="utf-8"))["start"] == int(at(FROM).timestamp())
            for file in waiting
        )
        == 0
    )


def test_a_stripe_that_wants_a_second_between_span_and_data_gets_it(
    settings: Settings, server: StripeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The API's reference says so, its guide says that both ends are included."""
    create = StripeApi.create_run

    def strict(api: StripeApi, report_type: str, parameters: dict[str, Any], key: str) -> Any:
        if (
            not at(FROM).timestamp()
            < parameters["interval_start"]
            < parameters["interval_end"]
            < at(UNTIL).timestamp()
        ):
            raise StripeRefusedError(
                "Stripe refuses, HTTP 400: interval_start must be after the data begin", 400
            )
        return create(api, report_type, parameters, key)

    monkeypatch.setattr(StripeApi, "create_run", strict)
    pull_one(settings)
    assert [row["balance_transaction_id"] for file in landed(settings) for row in rows(file)] == [
        "txn_1",
        "txn_2",
        "txn_3",
        "txn_4",
    ]


def test_a_report_that_is_not_pinned_is_not_pulled(settings: Settings) -> None:
    fewer = settings.model_copy(update={"stripe_report_types": (ACTIVITY,)})
    pinned = {stripe_report.name: report_type_of(fewer, stripe_report) for stripe_report in PULLED_REPORTS}
    assert [name for name, report_type in pinned.items() if report_type] == [
        "balance_change_from_activity.itemized",
        "checkout_sessions",
    ]


# ---- whole runs

LEDGER = ledger_file(
    "october.jsonl",
    [
        deposit("d1", "2026-09-01T10:00:30Z", "10", metadata={"payment_intent": "pi_1"}),
        deposit("d2", "2026-10-02T10:00:30Z", "10", metadata={"charge": "ch_2"}),
        deposit("d3", "2026-11-09T10:00:30Z", "10", metadata={"checkout_session": "cs_3"}),
    ],
)
QUERIES = (
    (
        "select case_id, status, break_type, match_method, paid_amount, settled_net, refunded_amount,"
        " deposit_entry_ids, checkout_session_id from marts.fct_reconciliation order by case_id"
    ),
    "select payout_id, amount, status, items, items_net, is_reconciled from marts.fct_payouts",
    (
        "select sum(activity), sum(payouts), min(opening_balance), sum(itemized_activity),"
        " sum(itemized_payouts) from marts.fct_stripe_balances"
    ),
)


def published(home: Path) -> list[Any]:
    with duckdb.connect(str(home / "published" / "warehouse.duckdb"), read_only=True) as connection:
        return [connection.execute(query).fetchall() for query in QUERIES]


@pytest.mark.slow
def test_api_and_files_give_the_same_tables_and_nothing_private_stays(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    pulled, by_hand = tmp_path / "pulled", tmp_path / "by_hand"
    as_of = "2026-11-20T12:00:00Z"
    options = Options(available_from="2026-09-01", available_until=UNTIL, polls=0, bom=True, crlf=True)
    with running(books(), KEY, options) as server:
        land_files(pulled, [LEDGER])
        result = run_pipeline(pulled, as_of=as_of, stripe_api_key=KEY, stripe_api_base=server.url)
        assert result.exit_code == 0, result
        land_files(by_hand, [LEDGER])
        settings = settings_of(by_hand, server)
        for report_type in ALL:
            pull_one(settings, report_type)
    # What a person would have downloaded: the same reports under other names, without a sidecar.
    for number, sidecar in enumerate(sorted((by_hand / "landing" / "stripe").rglob(".*.run.json"))):
        data = sidecar.with_name(sidecar.name.removeprefix(".").removesuffix(".run.json"))
        parameters = json.loads(sidecar.read_text(encoding="utf-8"))["parameters"]
        first, last = (
            datetime.fromtimestamp(parameters[name], UTC) for name in ("interval_start", "interval_end")
        )
        data.rename(
            data.with_name(f"Report_{number}_{first:%Y-%m-%d}_to_{last - timedelta(days=1):%Y-%m-%d}_UTC.csv")
        )
        sidecar.unlink()
    publish_home(by_hand, as_of=as_of)
    cases, payouts, balances = published(pulled)
    assert published(by_hand) == [cases, payouts, balances]
    assert [case[:4] for case in cases] == [
        ("stripe:pi_1", "matched", None, "payment_intent"),
        ("stripe:pi_2", "break", "refund_not_clawed_back", "charge"),
        ("stripe:pi_3", "matched", None, "checkout_session"),
    ]
    assert [(payout[0], payout[3], payout[5]) for payout in payouts] == [("po_1", 1, True)]
    # 3 × 9.41 − 4.00; 9.41 was paid out.
    assert balances == [tuple(map(Decimal, ("24.23", "9.41", "100", "24.23", "9.41")))]
    for home in (pulled, by_hand):
        leaked = [
            path
            for path in home.rglob("*")
            if path.is_file() and any(word in path.read_bytes() for word in (PRIVATE.encode(), KEY.encode()))
        ]
        assert leaked == []
    assert KEY not in caplog.text
    assert KEY not in str(result)


@pytest.mark.slow
def test_a_run_whose_pull_is_refused_publishes_nothing_and_reports_that(
    tmp_path: Path, server: StripeServer
) -> None:
    result = run_pipeline(tmp_path, stripe_api_key="rk_test_other", stripe_api_base=server.url)
    assert result.exit_code == 1
    assert "HTTP 401" in result.output
    assert "rk_test_other" not in result.output
    assert not (tmp_path / "published").exists()


def evaluate(settings: Settings) -> Any:
    with dg.DagsterInstance.ephemeral() as instance:
        return stripe_data_sensor(settings)(dg.build_sensor_context(instance=instance))


def test_the_sensor_follows_what_stripe_has(settings: Settings, server: StripeServer, tmp_path: Path) -> None:
    request = evaluate(settings)
    assert isinstance(request, dg.RunRequest)
    assert request.run_key == "stripe-20261120T000000Z"
    pull_one(settings)
    assert isinstance(evaluate(settings), dg.SkipReason)
    server.faults.available_until("2026-11-21")
    assert evaluate(settings).run_key == "stripe-20261121T000000Z"
    assert "STRIPE_API_KEY is not set" in str(
        evaluate(load_settings(_env_file=None, warehouse_home=tmp_path))
    )
