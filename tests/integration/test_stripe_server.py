"""The Stripe server for tests behaves, towards the real SDK, as Stripe's documentation says that Stripe
does.
"""

import csv
import io
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest
import stripe
import urllib3

from tests.support.loopback.form import decode_form
from tests.support.stripe_server import PRIVATE, Books, Options, StripeServer, running, unix_seconds
from tests.support.stripe_server.sample import sample_books

KEY = "rk_test_x"
ACTIVITY, PAYOUTS, ITEMS, SUMMARY = (
    "balance_change_from_activity.itemized.7",
    "payouts.itemized.5",
    "payout_reconciliation.itemized.7",
    "balance.summary.1",
)
OCTOBER = {"interval_start": unix_seconds("2026-10-01"), "interval_end": unix_seconds("2026-11-01")}


def transaction(number: int, created: str, net: str = "10.00", **more: str) -> dict[str, str]:
    row = {
        "balance_transaction_id": f"txn_{number}",
        "created_utc": created,
        "currency": "usd",
        "gross": net,
        "fee": "0.00",
        "net": net,
    }
    return row | {"reporting_category": "charge", "payment_intent_id": f"pi_{number}"} | more


def payout(number: int, effective_at: str, net: str) -> dict[str, str]:
    row = {
        "payout_id": f"po_{number}",
        "effective_at_utc": effective_at,
        "currency": "usd",
        "gross": net,
        "fee": "0.00",
        "net": net,
    }
    return row | {"reporting_category": "payout", "payout_status": "paid"}


def october_books() -> Books:
    return Books(
        activity=[
            transaction(1, "2026-09-30 23:59:59", "1.10"),
            transaction(2, "2026-10-01 00:00:00", "2.20"),
            transaction(3, "2026-10-31 23:59:59", "0.10"),
            transaction(4, "2026-11-01 00:00:00", "5.00"),
            transaction(5, "2026-10-05 12:00:00", "500", currency="jpy"),
        ],
        payouts=[payout(1, "2026-10-10", "-1.10"), payout(2, "2026-11-02", "-2.20")],
        payout_reconciliation=[
            transaction(
                1,
                "2026-09-30 23:59:59",
                automatic_payout_id="po_1",
                automatic_payout_effective_at_utc="2026-10-10 00:00:00",
            ),
            transaction(3, "2026-10-31 23:59:59"),
        ],
        sessions=[
            {"id": f"cs_{n}", "payment_intent": f"pi_{n}", "created": f"2026-10-{n:02d}"} for n in range(1, 8)
        ],
        opening_balances={"usd": "100.00"},
    )


@pytest.fixture
def server() -> Iterator[StripeServer]:
    with running(october_books(), KEY, Options(available_until="2026-11-20")) as started:
        yield started


@pytest.fixture
def client(server: StripeServer) -> stripe.StripeClient:
    return sdk(server)


def sdk(
    server: StripeServer, key: str = KEY, *, timeout: float = 10, retries: int = 0
) -> stripe.StripeClient:
    http = stripe.new_default_http_client(timeout=timeout)
    return stripe.StripeClient(
        key,
        base_addresses={"api": server.url, "files": server.url},
        max_network_retries=retries,
        http_client=http,
    )


def create(
    client: stripe.StripeClient, report_type: str = ACTIVITY, key: str | None = None, **parameters: Any
) -> Any:
    options = {"idempotency_key": key} if key else {}
    return client.v1.reporting.report_runs.create(
        {"report_type": report_type, "parameters": OCTOBER | parameters}, options
    )


def finished(client: stripe.StripeClient, run: Any) -> Any:
    while run.status == "pending":
        run = client.v1.reporting.report_runs.retrieve(run.id)
    return run


def download(url: str, key: str = KEY) -> tuple[int, bytes]:
    content, status, _ = stripe.new_default_http_client().request(
        "get", url, {"Authorization": f"Bearer {key}"}
    )
    return status, content


def report(
    client: stripe.StripeClient, report_type: str = ACTIVITY, **parameters: Any
) -> list[dict[str, str]]:
    _, content = download(finished(client, create(client, report_type, **parameters)).result.url)
    return list(csv.DictReader(io.StringIO(content.decode())))


# ---- report types and runs


def test_a_report_type_has_its_window_and_default_columns(client: stripe.StripeClient) -> None:
    report_type = client.v1.reporting.report_types.retrieve(ACTIVITY)
    assert (report_type.data_available_start, report_type.data_available_end) == (
        unix_seconds("2020-01-01"),
        unix_seconds("2026-11-20"),
    )
    assert report_type.default_columns[:3] == ["balance_transaction_id", "created", "available_on"]
    assert (report_type.version, report_type.livemode) == (7, False)
    assert {one.id for one in client.v1.reporting.report_types.list().auto_paging_iter()} == {
        ACTIVITY,
        PAYOUTS,
        ITEMS,
        SUMMARY,
    }


def test_a_run_is_pending_until_it_was_polled_often_enough(
    server: StripeServer, client: stripe.StripeClient
) -> None:
    server.options.polls = 2
    run = create(client)
    seen = [client.v1.reporting.report_runs.retrieve(run.id) for _ in range(3)]
    assert [run.status, *(one.status for one in seen)] == ["pending", "pending", "pending", "succeeded"]
    assert (seen[0].result, seen[0].succeeded_at) == (None, None)
    file = seen[-1].result
    assert (file.type, file.url) == ("csv", f"{server.url}/v1/files/{file.id}/contents")
    assert client.v1.files.retrieve(file.id).size == file.size == len(download(file.url)[1])
    assert seen[-1].succeeded_at >= run.created


def test_a_run_can_fail_or_never_end(server: StripeServer, client: stripe.StripeClient) -> None:
    server.faults.fail_run(ACTIVITY, "The report is too large.")
    server.faults.stall_run(ACTIVITY)
    failed, stalled = create(client), create(client)
    failed = finished(client, failed)
    assert (failed.status, failed.error, failed.result) == ("failed", "The report is too large.", None)
    assert {client.v1.reporting.report_runs.retrieve(stalled.id).status for _ in range(5)} == {"pending"}
    assert finished(client, create(client)).status == "succeeded"
    assert server.faults.waiting == 0


@pytest.mark.parametrize(
    ("parameters", "param"),
    [
        ({"interval_end": OCTOBER["interval_start"]}, "parameters.interval_start"),
        ({"interval_end": unix_seconds("2026-11-20 00:00:01")}, "parameters.interval_end"),
        ({"interval_start": unix_seconds("2019-12-31")}, "parameters.interval_start"),
        ({"columns": ["net", "nett"]}, "parameters[columns]"),
        ({"timezone": "Mars/Base"}, "parameters[timezone]"),
        ({"interval_end": "soon"}, "parameters[interval_end]"),
        ({"colour": "red"}, "parameters[colour]"),
    ],
)
def test_a_run_with_a_wrong_parameter_is_not_created(
    server: StripeServer, client: stripe.StripeClient, parameters: dict[str, Any], param: str
) -> None:
    with pytest.raises(stripe.InvalidRequestError) as error:
        create(client, **parameters)
    assert (error.value.http_status, error.value.param, server.runs.all()) == (400, param, [])


def test_an_unknown_report_type_or_run_is_404(client: stripe.StripeClient) -> None:
    for call in (
        lambda: create(client, "balance.summary.99"),
        lambda: client.v1.reporting.report_types.retrieve("balance.summary.99"),
        lambda: client.v1.reporting.report_runs.retrieve("frr_no"),
        lambda: client.v1.files.retrieve("file_no"),
    ):
        with pytest.raises(stripe.InvalidRequestError) as error:
            call()
        assert (error.value.http_status, error.value.code) == (404, "resource_missing")


def test_data_that_is_not_there_yet_cannot_be_asked_for(
    server: StripeServer, client: stripe.StripeClient
) -> None:
    server.faults.available_until("2026-10-20", ACTIVITY)
    assert client.v1.reporting.report_types.retrieve(ACTIVITY).data_available_end == unix_seconds(
        "2026-10-20"
    )
    with pytest.raises(stripe.InvalidRequestError, match="only available through 2026-10-20 00:00:00 UTC"):
        create(client)
    create(client, interval_end=unix_seconds("2026-10-20"))
    create(client, PAYOUTS)
    server.faults.available_until(None, ACTIVITY)
    create(client)


def test_the_same_idempotency_key_gives_the_same_run(
    server: StripeServer, client: stripe.StripeClient
) -> None:
    first = create(client, key="window-1", columns=["net"])
    finished(client, first)
    again = create(client, key="window-1", columns=["net"])
    assert (again.id, again.status, len(server.runs.all())) == (first.id, "pending", 1)
    assert again.last_response.headers["Idempotent-Replayed"] == "true"
    with pytest.raises(stripe.IdempotencyError) as error:
        create(client, key="window-1", columns=["gross"])
    assert error.value.http_status == 400
    server.runs.forget_idempotency_keys()
    assert create(client, key="window-1", columns=["net"]).id != first.id
    assert server.runs.windows(ACTIVITY) == [tuple(OCTOBER.values())] * 2


def test_both_spellings_of_a_list_are_read() -> None:
    expected = {
        "parameters": {"columns": ["created", "payment_metadata[user]"], "interval_start": "1"},
        "created": {"gte": "2"},
    }
    rest = "&parameters[interval_start]=1&created%5Bgte%5D=2"
    assert (
        decode_form("parameters[columns][]=created&parameters[columns][]=payment_metadata%5Buser%5D" + rest)
        == expected
    )
    assert (
        decode_form("parameters[columns][0]=created&parameters[columns][1]=payment_metadata%5Buser%5D" + rest)
        == expected
    )


# ---- what the files hold


def test_an_interval_includes_its_start_and_not_its_end(client: stripe.StripeClient) -> None:
    assert [row["balance_transaction_id"] for row in report(client)] == ["txn_2", "txn_3", "txn_5"]
    assert [row["balance_transaction_id"] for row in report(client, currency="jpy")] == ["txn_5"]
    assert [row["payout_id"] for row in report(client, PAYOUTS)] == ["po_1"]
    assert [row["automatic_payout_id"] for row in report(client, ITEMS)] == ["po_1"]


def test_columns_come_as_requested(server: StripeServer, client: stripe.StripeClient) -> None:
    server.books.activity[1]["payment_metadata[user]"] = "ann"
    columns = [
        "net",
        "created",
        "created_utc",
        "payment_metadata[user]",
        "refund_metadata[why]",
        "customer_email",
    ]
    first = report(client, columns=columns, timezone="Asia/Tokyo")[0]
    assert list(first) == columns
    assert list(first.values()) == ["2.20", "2026-10-01 09:00:00", "2026-10-01 00:00:00", "ann", "", PRIVATE]


def test_an_empty_interval_gives_a_header_only(client: stripe.StripeClient) -> None:
    columns = ["net", "fee"]
    run = create(client, interval_end=OCTOBER["interval_start"] + 1, currency="jpy", columns=columns)
    assert download(finished(client, run).result.url) == (200, b"net,fee\n")


def test_a_file_may_have_a_byte_order_mark_and_windows_line_ends(
    server: StripeServer, client: stripe.StripeClient
) -> None:
    server.options.bom = server.options.crlf = True
    _, content = download(finished(client, create(client, columns=["net"])).result.url)
    assert content == b"\xef\xbb\xbfnet\r\n2.20\r\n0.10\r\n500\r\n"


def test_the_balance_summary_is_exact_and_closes(client: stripe.StripeClient) -> None:
    rows = [(row["currency"], row["category"], row["net_amount"]) for row in report(client, SUMMARY)]
    assert rows == [
        ("jpy", "starting_balance", "0"),
        ("jpy", "activity", "500"),
        ("jpy", "payouts", "0"),
        ("jpy", "ending_balance", "500"),
        ("usd", "starting_balance", "101.10"),
        ("usd", "activity", "2.30"),
        ("usd", "payouts", "-1.10"),
        ("usd", "ending_balance", "102.30"),
    ]


def test_the_balance_summary_can_be_split(server: StripeServer, client: stripe.StripeClient) -> None:
    server.options.balance_details = True
    rows = {row["category"]: row["net_amount"] for row in report(client, SUMMARY, currency="usd")}
    assert (rows["activity_gross"], rows["activity_fee"], rows["payouts_gross"], len(rows)) == (
        "2.30",
        "0.00",
        "-1.10",
        8,
    )


def test_a_file_shows_the_books_as_they_were_when_its_run_was_created(
    server: StripeServer, client: stripe.StripeClient
) -> None:
    run = create(client, currency="jpy", columns=["net"])
    server.books.activity[-1]["net"] = "501"
    assert download(finished(client, run).result.url)[1] == b"net\n500\n"
    assert report(client, currency="jpy", columns=["net"]) == [{"net": "501"}]


def test_a_download_can_be_streamed_and_is_compressed_on_request(
    server: StripeServer, client: stripe.StripeClient
) -> None:
    server.options.compressed_files = True
    url = finished(client, create(client, columns=["net"])).result.url
    stream, status, headers = stripe.new_default_http_client().request_stream(
        "get", url, {"Authorization": f"Bearer {KEY}"}
    )
    assert (status, headers["Content-Encoding"]) == (200, "gzip")
    assert stream.read(decode_content=True) == b"net\n2.20\n0.10\n500\n"
    assert download(url) == (200, b"net\n2.20\n0.10\n500\n")


def test_file_urls_may_point_to_stripe_as_the_real_ones_do(
    server: StripeServer, client: stripe.StripeClient
) -> None:
    server.options.real_file_urls = True
    file = finished(client, create(client)).result
    assert file.url == f"https://files.stripe.com/v1/files/{file.id}/contents"
    assert download(f"{server.url}/v1/files/{file.id}/contents")[0] == 200


# ---- lists


def test_sessions_are_paged_newest_first(server: StripeServer, client: stripe.StripeClient) -> None:
    sessions = client.v1.checkout.sessions.list({"limit": 3})
    assert ([one.id for one in sessions.data], sessions.has_more) == (["cs_7", "cs_6", "cs_5"], True)
    assert [one.id for one in sessions.auto_paging_iter()] == [f"cs_{n}" for n in range(7, 0, -1)]
    assert [request.params.get("starting_after") for request in server.requests.to("/v1/checkout")] == [
        None,
        "cs_5",
        "cs_2",
    ]
    assert PRIVATE in sessions.data[0].customer_email
    assert PRIVATE in sessions.data[0].customer_details.email


def test_lists_can_be_limited_in_time(client: stripe.StripeClient) -> None:
    window = {"gte": unix_seconds("2026-10-03"), "lt": unix_seconds("2026-10-05")}
    assert [one.id for one in client.v1.checkout.sessions.list({"created": window}).data] == ["cs_4", "cs_3"]


@pytest.mark.parametrize(
    "params", [{"limit": 0}, {"limit": 101}, {"starting_after": "cs_no"}, {"colour": "red"}]
)
def test_a_list_with_a_wrong_parameter_is_refused(
    client: stripe.StripeClient, params: dict[str, Any]
) -> None:
    with pytest.raises(stripe.InvalidRequestError) as error:
        client.v1.checkout.sessions.list(params)  # type: ignore[arg-type]
    assert error.value.http_status == 400


def test_runs_are_listed_newest_first(server: StripeServer, client: stripe.StripeClient) -> None:
    now = server.options.clock()
    server.options.clock = lambda: now + len(server.runs.all())
    ids = [create(client).id for _ in range(5)]
    runs = client.v1.reporting.report_runs
    assert [one.id for one in runs.list({"limit": 2}).auto_paging_iter()] == ids[::-1]
    assert [one.id for one in runs.list({"created": {"gte": now + 3}}).data] == ids[:2:-1]
    assert runs.list({"limit": 1}).data[0].parameters.interval_start == OCTOBER["interval_start"]


# ---- keys


def test_only_the_key_opens_the_account(server: StripeServer, client: stripe.StripeClient) -> None:
    assert client.v1.accounts.retrieve_current().id == "acct_test"
    for key in ("rk_test_wrong", "sk_test_x"):
        with pytest.raises(stripe.AuthenticationError) as error:
            sdk(server, key).v1.accounts.retrieve_current()
        assert (error.value.http_status, key in str(error.value)) == (401, False)
    url = finished(client, create(client)).result.url
    http = stripe.new_default_http_client()
    assert download(url, "rk_test_wrong")[0] == 401
    assert http.request("get", url, {})[1] == 401
    assert http.request("get", url, {"Authorization": "Basic cmtfdGVzdF94Og=="})[1] == 200
    assert KEY not in repr(list(server.requests))


def test_a_restricted_key_may_not_read_the_account(server: StripeServer, client: stripe.StripeClient) -> None:
    server.options.account_readable = False
    with pytest.raises(stripe.PermissionError):
        client.v1.accounts.retrieve_current()
    assert create(client).status == "pending"


def test_an_unknown_address_is_named(client: stripe.StripeClient) -> None:
    with pytest.raises(stripe.InvalidRequestError, match="Unrecognized request URL"):
        client.v1.charges.list()


# ---- faults


def test_the_sdk_does_not_retry_429_unless_the_server_asks_for_it(server: StripeServer) -> None:
    patient = sdk(server, retries=2)
    server.faults.rate_limit("/v1/account", retry_after=7)
    with pytest.raises(stripe.RateLimitError) as error:
        patient.v1.accounts.retrieve_current()
    assert error.value.headers["retry-after"] == "7"
    server.faults.rate_limit("/v1/account", should_retry=True)
    assert patient.v1.accounts.retrieve_current().id == "acct_test"
    assert [request.status for request in server.requests] == [429, 429, 200]


def test_the_sdk_retries_500_with_the_same_idempotency_key(server: StripeServer) -> None:
    server.faults.server_error("/v1/reporting", method="POST", executed=True)
    create(sdk(server, retries=1))
    posts = server.requests.to("/v1/reporting/report_runs", method="POST")
    assert [post.status for post in posts] == [500, 200]
    assert posts[0].idempotency_key == posts[1].idempotency_key
    assert len(server.runs.all()) == 1


def test_an_error_can_be_remembered_for_its_idempotency_key(
    server: StripeServer, client: stripe.StripeClient
) -> None:
    server.faults.server_error("/v1/reporting", method="POST", remembered=True)
    for _ in range(2):
        with pytest.raises(stripe.APIError):
            create(client, key="k")
    assert create(client, key="another").status == "pending"
    server.runs.forget_idempotency_keys()
    assert create(client, key="k").status == "pending"


def test_an_answer_can_come_too_late(server: StripeServer) -> None:
    server.faults.hang("/v1/reporting", method="POST", executed=True)
    with pytest.raises(stripe.APIConnectionError, match="timed out"):
        create(sdk(server, timeout=0.3), key="k")
    assert (server.requests.to("/v1/reporting")[0].status, len(server.runs.all())) == (0, 1)
    assert create(sdk(server), key="k").id == server.runs.all()[0].id


def test_a_cut_download_is_noticed(server: StripeServer, client: stripe.StripeClient) -> None:
    file = finished(client, create(client)).result
    server.faults.cut_download(3, keep=10)
    with pytest.raises(stripe.APIConnectionError, match="IncompleteRead"):
        download(file.url)
    for size in (
        None,
        4,
    ):  # a stream has no SDK around it any more: urllib3 reports what breaks, also in small pieces
        stream, status, _ = stripe.new_default_http_client().request_stream(
            "get", file.url, {"Authorization": f"Bearer {KEY}"}
        )
        assert status == 200
        with pytest.raises(urllib3.exceptions.ProtocolError, match="IncompleteRead"):
            list(iter(partial(stream.read, size), b""))
    assert len(download(file.url)[1]) == file.size
    assert server.runs.all()[0].downloads == 4


def test_a_rule_meets_only_the_requests_it_names(server: StripeServer, client: stripe.StripeClient) -> None:
    server.faults.server_error("/v1/checkout", None)
    server.faults.permission_denied("/v1/account")
    for _ in range(2):
        with pytest.raises(stripe.APIError):
            client.v1.checkout.sessions.list()
    with pytest.raises(stripe.PermissionError):
        client.v1.accounts.retrieve_current()
    assert (client.v1.accounts.retrieve_current().id, server.faults.waiting) == ("acct_test", 1)
    server.faults.clear()
    assert len(client.v1.checkout.sessions.list().data) == 7


# ---- by hand


def test_the_sample_account_closes() -> None:
    with running(sample_books(), KEY) as server:
        client = sdk(server)
        end = client.v1.reporting.report_types.retrieve(SUMMARY).data_available_end
        window = {"interval_start": end - 15 * 24 * 60 * 60, "interval_end": end}
        rows = {
            (row["currency"], row["category"]): row["net_amount"] for row in report(client, SUMMARY, **window)
        }
        assert rows["usd", "starting_balance"] == "100.00"
        assert len(report(client, **window)) == 21
        assert len(report(client, ITEMS, **window)) == 8
