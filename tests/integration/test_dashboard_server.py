"""The dashboard's server: who gets in and who does not, and downloads that are what the command exports."""

import asyncio
import csv
import http.client
import io
import os
import re
import signal
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route, WebSocketRoute
from starlette.testclient import TestClient
from starlette.websockets import WebSocket, WebSocketDisconnect
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from dashboard.access import access_of
from dashboard.download_tables import TABLES
from dashboard.downloads import (
    UNDER_WAY,
    Downloads,
    WrongDownloadError,
    download_address,
    evidence_address,
)
from dashboard.filters import Filters
from exports.ad_hoc import SliceRequest
from orchestration.cli.export import write_to
from paywall_warehouse.settings import Settings, load_settings
from paywall_warehouse.web.guard import COOKIE, SECURITY_HEADERS, Guard, local_address
from paywall_warehouse.web.login import PAUSE_SECONDS, SESSION_SECONDS, WAITING, Sessions, TooManyError, Tries
from tests.support.command import COMMAND, command, environment
from tests.support.warm_start import WarmCommand

PASSWORD = "correct horse battery"
ALL_DAYS = Filters(date(2026, 10, 1), date(2026, 11, 1), "usd")
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
PAGE, STATIC, DOWNLOAD, HEALTH = (
    "/users?user=u1",
    "/static/js/index.js",
    "/download/ledger.csv?currency=usd",
    "/_stcore/health",
)
BROWSER = {"Accept": "text/html,*/*;q=0.8"}

# ---- who gets in


async def _said(_: Any) -> PlainTextResponse:
    return PlainTextResponse("numbers")


async def _stream(websocket: WebSocket) -> None:
    await websocket.accept()
    await websocket.send_text("numbers")
    await websocket.close()


class Recorded:
    """A pause that is not made."""

    def __init__(self) -> None:
        self.pauses: list[float] = []

    async def __call__(self, seconds: float) -> None:
        self.pauses.append(seconds)


def guarded(
    *,
    peer: str = "127.0.0.1",
    host: str = "localhost:8501",
    listens_on: str = "127.0.0.1",
    sessions: Sessions | None = None,
    **settings: Any,
) -> TestClient:
    """A browser before a door with something behind it; wrong passwords cost no time."""
    app = Starlette(
        routes=[
            WebSocketRoute("/_stcore/stream", _stream),
            Route("/{path:path}", _said, methods=["GET", "POST", "PUT"]),
        ]
    )
    password = settings.get("dashboard_password")
    tries = Tries(password, Recorded()) if password else None
    door = Guard(app, access_of(load_settings(_env_file=None, **settings), listens_on), tries, sessions)
    return TestClient(door, f"http://{host}", client=(peer, 50000), follow_redirects=False)


def streamed(client: TestClient, **headers: str) -> bool:
    """Whether the WebSocket opens."""
    try:
        with client.websocket_connect(
            f"ws://{client.base_url.netloc.decode()}/_stcore/stream", headers=headers
        ) as websocket:
            return websocket.receive_text() == "numbers"
    except WebSocketDisconnect:
        return False


def seen(client: TestClient, **headers: str) -> list[bool]:
    """Whether a page, a file, a download, health and the WebSocket are given."""
    answers = [client.get(path, headers=headers) for path in (PAGE, STATIC, DOWNLOAD, HEALTH)]
    assert all(answer.status_code == 200 or "numbers" not in answer.text for answer in answers)
    return [*(answer.status_code == 200 for answer in answers), streamed(client, **headers)]


def logged_in(client: TestClient, **headers: str) -> TestClient:
    answer = client.post(
        "/login",
        content=urlencode({"password": PASSWORD, "next": "/ledger?currency=usd"}),
        headers=FORM | headers,
    )
    assert (answer.status_code, answer.headers["location"]) == (303, "/ledger?currency=usd")
    return client


ALL, NONE, HEALTH_ONLY = [True] * 5, [False] * 5, [False, False, False, True, False]
PROXY = {
    "dashboard_trusted_header": "X-Forwarded-User",
    "dashboard_trusted_proxies": ("127.0.0.1", "::1", "10.0.3.0/24"),
    "dashboard_hosts": ("warehouse.example",),
}
KNOWN = {"X-Forwarded-User": "ann"}


def test_this_machine_gets_in_where_nothing_is_asked() -> None:
    for host in ("localhost:8501", "127.0.0.1:8501", "[::1]:8501", "LOCALHOST"):
        assert seen(guarded(host=host)) == ALL


def test_a_name_that_is_not_the_servers_gets_nothing() -> None:
    for host in ("evil.example:8501", "localhost.evil.example", "127.0.0.1.evil.example", "0.0.0.0:8501"):
        client = guarded(host=host)
        assert seen(client) == NONE
        assert client.get("/").text.startswith(
            "This dashboard asks for no password, and so answers only to the name"
        )
    for header in (
        "",
        "localhost@evil.example",
        "evil.example#localhost",
        "localhost:x",
        "[::1",
        "localhost, evil.example",
    ):
        assert seen(guarded(), Host=header) == NONE


def test_the_address_that_is_listened_on_is_a_name() -> None:
    assert seen(guarded(host="192.168.1.5:8501", listens_on="192.168.1.5")) == ALL
    assert seen(guarded(host="evil.example", listens_on="192.168.1.5")) == NONE
    assert seen(guarded(host="192.168.1.6", listens_on="192.168.1.5")) == NONE


@pytest.mark.parametrize("wildcard", ["0.0.0.0", "::"])
def test_on_all_addresses_any_address_is_a_name_and_others_have_to_be_stated(wildcard: str) -> None:
    """A page elsewhere that gives its own name this machine's address still names itself."""
    for host in ("192.168.1.5:8501", "[2001:db8::1]:8501", "localhost:8501"):
        assert seen(guarded(host=host, listens_on=wildcard)) == ALL
    client = guarded(host="warehouse.lan", listens_on=wildcard)
    assert seen(client) == NONE
    assert "DASHBOARD_HOSTS" in client.get("/").text
    assert (
        seen(
            guarded(
                host="Warehouse.lan:8501", listens_on=wildcard, dashboard_hosts="other.lan, warehouse.LAN"
            )
        )
        == ALL
    )


def test_a_password_opens_everything_and_nothing_is_open_without() -> None:
    client = guarded(host="warehouse.example", dashboard_password=PASSWORD)
    assert seen(client) == HEALTH_ONLY
    assert seen(logged_in(client)) == ALL


def test_the_proxys_header_opens_everything_from_the_proxy_only() -> None:
    for peer in ("127.0.0.1", "10.0.3.7", "::1", "::ffff:127.0.0.1"):
        assert seen(guarded(peer=peer, host="warehouse.example", **PROXY), **KNOWN) == ALL
    for peer in ("10.0.4.7", "192.168.1.5", "::2", "testclient", ""):
        assert seen(guarded(peer=peer, host="warehouse.example", **PROXY), **KNOWN) == HEALTH_ONLY
    client = guarded(**PROXY)
    for headers in (
        {},
        {"X-Forwarded-User": " "},
        {"X-Forwarded-For": "127.0.0.1"},
        {"X_Forwarded_User": "ann"},
    ):
        assert seen(client, **headers) == HEALTH_ONLY
    assert (
        client.get("/", headers=[("X-Forwarded-User", "ann"), ("X-Forwarded-User", "bob")]).status_code == 403
    )
    assert (
        client.get("/").text == "This dashboard can be reached only through the proxy that knows its users.\n"
    )
    assert client.get("/login").status_code == 403


def test_the_proxys_header_counts_for_the_servers_names_only() -> None:
    """A page elsewhere that gives its own name this machine's address could state the header: its requests
    come from this machine.
    """
    for host in ("localhost:8501", "127.0.0.1:8501", "warehouse.example", "WAREHOUSE.example:443"):
        assert seen(guarded(host=host, **PROXY), **KNOWN) == ALL
    for host in ("evil.example:8501", "warehouse.example.evil.example", "10.0.3.9"):
        client = guarded(host=host, **PROXY)
        assert seen(client, **KNOWN) == HEALTH_ONLY
        assert "DASHBOARD_HOSTS" in client.get("/", headers=KNOWN).text
    with_password = guarded(host="evil.example", dashboard_password=PASSWORD, **PROXY)
    assert with_password.get(STATIC, headers=KNOWN).status_code == 401
    assert with_password.get(PAGE, headers=KNOWN | BROWSER).headers["location"].startswith("/login?")


def test_of_both_either_is_enough() -> None:
    assert seen(guarded(dashboard_password=PASSWORD, **PROXY), **KNOWN) == ALL
    client = guarded(peer="10.9.9.9", dashboard_password=PASSWORD, **PROXY)
    assert seen(client, **KNOWN) == HEALTH_ONLY
    assert seen(logged_in(client)) == ALL


def test_a_page_of_another_origin_opens_no_websocket() -> None:
    client = guarded()
    assert streamed(client, Origin="http://localhost:8501")
    for origin in ("http://localhost:9999", "http://evil.example", "null", "https://localhost", ""):
        assert not streamed(client, Origin=origin)
    assert not streamed(logged_in(guarded(dashboard_password=PASSWORD)), Origin="http://localhost:9999")


OWN = "http://localhost:8501"


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Origin": OWN}, 200),
        ({"Origin": OWN, "Sec-Fetch-Site": "same-origin"}, 200),
        ({"Sec-Fetch-Site": "same-origin"}, 200),
        ({"Sec-Fetch-Site": "none"}, 200),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "http://localhost:9999"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": ""}, 403),
        ({"Origin": "file://localhost:8501"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
    ],
)
def test_a_page_of_another_origin_sends_nothing_but_plain_reads(headers: dict[str, str], status: int) -> None:
    client = guarded()
    assert client.post(PAGE, headers=headers).status_code == status
    assert client.put(PAGE, headers=headers).status_code == status
    assert client.get(PAGE, headers=headers).status_code == 200
    right = urlencode({"password": PASSWORD})
    logging_in = guarded(dashboard_password=PASSWORD).post("/login", content=right, headers=FORM | headers)
    assert logging_in.status_code == (303 if status == 200 else 403)


def test_two_origins_or_two_hosts_are_none() -> None:
    client = guarded()
    assert client.post(PAGE, headers=[("Origin", OWN), ("Origin", "http://evil.example")]).status_code == 403
    assert client.get(PAGE, headers=[("Host", "localhost"), ("Host", "evil.example")]).status_code == 403


def test_health_is_open_to_look_at_only() -> None:
    client = guarded(dashboard_password=PASSWORD)
    assert client.post(HEALTH).status_code == 401
    assert client.get("/_stcore/health/").status_code == 401
    assert client.get("/_stcore/metrics").status_code == 401


# ---- the login


def test_a_browser_is_led_to_the_login_and_back() -> None:
    client = guarded(dashboard_password=PASSWORD)
    led = client.get(PAGE, headers=BROWSER)
    assert (led.status_code, led.headers["cache-control"]) == (303, "no-store")
    assert parse_qs(urlsplit(led.headers["location"]).query) == {"next": [PAGE]}
    page = client.get(led.headers["location"])
    assert page.status_code == 200
    assert 'value="/users?user=u1"' in page.text
    assert "<script" not in page.text
    assert client.get("/", headers=BROWSER).headers["location"] == "/login"
    assert client.get(STATIC).status_code == 401


@pytest.mark.parametrize(
    "wanted",
    [
        "https://evil.example",
        "//evil.example",
        "/\\evil.example",
        "\\\\evil.example",
        "/\t/evil.example",
        "/\n/evil.example",
        "javascript:alert(1)",
        "/ü",
        "evil.example",
        "",
        " /",
        "/login",
        "/logout?x=1",
        "/\r\nSet-Cookie: a=b",
        "///evil.example",
        "/\x00",
    ],
)
def test_the_login_leads_nowhere_else(wanted: str) -> None:
    assert local_address(wanted) == "/"
    client = guarded(dashboard_password=PASSWORD)
    answer = client.post("/login", content=urlencode({"password": PASSWORD, "next": wanted}), headers=FORM)
    assert answer.headers["location"] == "/"
    assert 'name="next" type="hidden" value="/"' in client.get("/login", params={"next": wanted}).text


def test_the_login_page_escapes_what_it_is_given() -> None:
    assert "<b>" not in guarded(dashboard_password=PASSWORD).get('/login?next=/"><b>&x=1').text


def test_the_cookie_is_for_this_server_alone_and_secure_behind_https() -> None:
    client = guarded(dashboard_password=PASSWORD)
    plain = client.post("/login", content=urlencode({"password": PASSWORD}), headers=FORM).headers[
        "set-cookie"
    ]
    assert re.fullmatch(
        rf"{COOKIE}=\d+\.\w{{32}}\.\w{{64}}; HttpOnly; Max-Age=43200; Path=/; SameSite=lax", plain
    )
    by_https = client.post(
        "/login", content=urlencode({"password": PASSWORD}), headers=FORM | {"X-Forwarded-Proto": "https"}
    )
    assert by_https.headers["set-cookie"].endswith("; Secure")


def test_a_forged_an_expired_and_a_logged_out_cookie_open_nothing() -> None:
    now = 1_000_000.0
    sessions = Sessions(lambda: now)
    client = guarded(dashboard_password=PASSWORD, sessions=sessions)
    cookie = sessions.new()
    end, name, signature = cookie.split(".")
    forged = [
        "",
        "x",
        "..",
        f"{int(end) + 1}.{name}.{signature}",
        f"{end}.{name}.{'0' * 64}",
        f"{end}.{name}",
        Sessions(lambda: now).new(),
        "é",
    ]
    for value in forged:
        assert not sessions.is_valid(value)
        assert (
            client.get(STATIC, headers=[(b"Cookie", f"{COOKIE}={value}".encode("latin-1"))]).status_code
            == 401
        )
    assert seen(client, Cookie=f"{COOKIE}={cookie}") == ALL
    now += SESSION_SECONDS
    assert seen(client, Cookie=f"{COOKIE}={cookie}") == HEALTH_ONLY

    cookie = sessions.new()
    assert seen(client, Cookie=f"other=1; {COOKIE}={cookie}") == ALL
    out = client.get("/logout", headers={"Cookie": f"{COOKIE}={cookie}"})
    assert (out.status_code, out.headers["location"]) == (303, "/login")
    assert "Max-Age=0" in out.headers["set-cookie"]
    assert seen(client, Cookie=f"{COOKIE}={cookie}") == HEALTH_ONLY


def test_a_wrong_password_is_reported_and_neither_it_nor_the_right_one_is_repeated(
    caplog: pytest.LogCaptureFixture,
) -> None:
    client = guarded(dashboard_password=PASSWORD)
    answer = client.post(
        "/login", content=urlencode({"password": "hunter2<b>", "next": "/users"}), headers=FORM
    )
    assert answer.status_code == 401
    assert '<p role="alert" id="fault">This is not the password.</p>' in answer.text
    assert "set-cookie" not in answer.headers
    assert caplog.messages == ["A wrong password was tried from 127.0.0.1."]
    assert "hunter2" not in answer.text
    assert PASSWORD not in answer.text
    for other in ("", PASSWORD[:-1], PASSWORD + " ", PASSWORD.upper(), "\ud800", "ü" * 2000):
        body = urlencode({"password": other}, errors="surrogatepass")
        assert client.post("/login", content=body, headers=FORM).status_code == 401


def test_what_is_no_form_of_the_login_is_refused() -> None:
    client = guarded(dashboard_password=PASSWORD)
    right = urlencode({"password": PASSWORD})
    assert client.post("/login", content=right, headers={"Content-Type": "text/plain"}).status_code == 400
    assert client.post("/login", content=right + "&x=" + "y" * 20_000, headers=FORM).status_code == 400
    assert client.post("/login", content=right + "&a=1" * 20, headers=FORM).status_code == 400
    assert client.post("/login", content=b"\xff" + right.encode(), headers=FORM).status_code == 400
    assert client.put("/login", content=right, headers=FORM).status_code == 405


def test_guesses_take_turns() -> None:
    """Two a second, over however many connections."""

    async def crowd() -> None:
        held = asyncio.Event()
        begun: list[float] = []

        async def pause(seconds: float) -> None:
            begun.append(seconds)
            await held.wait()

        tries = Tries(PASSWORD, pause)
        tasks = [asyncio.create_task(tries.is_right(f"guess {number}")) for number in range(20)]
        for _ in range(5):
            await asyncio.sleep(0)
        assert begun == [PAUSE_SECONDS] == [0.5]
        held.set()
        assert await asyncio.gather(*tasks) == [False] * 20
        assert begun == [0.5] * 20
        assert await tries.is_right(PASSWORD)

    asyncio.run(crowd())


async def after(guesses: int, address: str, *, wait_for: str) -> int:
    """After how many more pauses somebody gets in who knows the password, while others guess from `address`
    again and again.
    """
    pauses = 0

    async def pause(_: float) -> None:
        nonlocal pauses
        pauses += 1
        await asyncio.sleep(0)

    tries = Tries(PASSWORD, pause)

    async def guess_on() -> None:
        while True:
            with suppress(TooManyError):
                await tries.is_right("guess", address)
            await asyncio.sleep(0)

    guessing = [asyncio.create_task(guess_on()) for _ in range(guesses)]
    for _ in range(5):
        await asyncio.sleep(0)
    before = pauses
    assert await tries.is_right(PASSWORD, wait_for)
    waited = pauses - before
    for task in guessing:
        task.cancel()
    await asyncio.gather(*guessing, return_exceptions=True)
    return waited


def test_eight_who_guess_do_not_lock_out_the_ninth_who_knows_the_password() -> None:
    """Through a proxy all come from one address: the ninth waits for those before it, 4 s, and no longer."""
    assert asyncio.run(after(8, "127.0.0.1", wait_for="127.0.0.1")) <= 8


def test_a_crowd_at_one_address_delays_no_other_address() -> None:
    assert asyncio.run(after(3 * WAITING, "10.0.0.1", wait_for="10.0.0.2")) <= 2


def test_a_client_that_gives_up_waiting_delays_no_other() -> None:
    async def give_up() -> None:
        held = asyncio.Event()

        async def pause(_: float) -> None:
            await held.wait()

        tries = Tries(PASSWORD, pause)
        tasks = [asyncio.create_task(tries.is_right("guess")) for _ in range(3)]
        await asyncio.sleep(0)
        knows = asyncio.create_task(tries.is_right(PASSWORD))
        await asyncio.sleep(0)
        for task in tasks[1:]:
            task.cancel()
        tasks[0].cancel()
        assert await asyncio.wait_for(knows, 5)
        assert await asyncio.wait_for(tries.is_right(PASSWORD), 5)

    asyncio.run(give_up())


def test_more_tries_than_a_minute_allows_are_answered_with_retry_later() -> None:
    async def crowd() -> None:
        held = asyncio.Event()

        async def pause(_: float) -> None:
            await held.wait()

        tries = Tries(PASSWORD, pause)
        tasks = [asyncio.create_task(tries.is_right("guess", "10.0.0.1")) for _ in range(WAITING + 1)]
        for _ in range(5):
            await asyncio.sleep(0)
        with pytest.raises(TooManyError):
            await tries.is_right(PASSWORD, "10.0.0.1")
        held.set()
        assert await asyncio.gather(*tasks) == [False] * (WAITING + 1)

    asyncio.run(crowd())


def test_a_trusted_proxy_says_who_guesses(caplog: pytest.LogCaptureFixture) -> None:
    wrong = urlencode({"password": "no such password"})
    for peer, forwarded in (
        ("127.0.0.1", "10.9.9.9, 192.168.1.7"),
        ("10.1.1.1", "192.168.1.8"),
        ("127.0.0.1", "ann\x1b[31m"),
    ):
        guarded(peer=peer, dashboard_password=PASSWORD).post(
            "/login", content=wrong, headers=FORM | {"X-Forwarded-For": forwarded}
        )
    assert caplog.messages == [
        f"A wrong password was tried from {address}." for address in ("192.168.1.7", "10.1.1.1", "127.0.0.1")
    ]


def test_every_answer_has_the_security_headers() -> None:
    client = guarded(dashboard_password=PASSWORD)
    for answer in (
        client.get("/login"),
        client.get(STATIC),
        client.get(HEALTH),
        guarded().get(PAGE),
        guarded(host="evil.example").get(PAGE),
    ):
        assert {name: answer.headers[name] for name in SECURITY_HEADERS} == SECURITY_HEADERS


# ---- downloads


@pytest.fixture(scope="session")
def settings(published: Path) -> Settings:
    return load_settings(_env_file=None, warehouse_home=published)


def downloading(settings: Settings) -> TestClient:
    return TestClient(Starlette(routes=[Route("/download/{name}", Downloads(settings))]), "http://localhost")


@pytest.fixture
def client(settings: Settings) -> Iterator[TestClient]:
    """Downloads, after each of which nothing is left on the disk."""
    before = sorted(settings.home.tmp.iterdir())
    yield downloading(settings)
    assert sorted(settings.home.tmp.iterdir()) == before


def exported(settings: Settings, folder: Path, name: str, **request: Any) -> bytes:
    """What `paywall-warehouse export` writes."""
    file = folder / name
    write_to(settings, SliceRequest(name.partition(".")[0], **request), None, str(file), lambda _: None)
    return file.read_bytes()


@pytest.mark.parametrize("encoding", ["csv", "csv.gz", "jsonl", "jsonl.gz", "parquet"])
def test_a_download_is_what_the_command_exports(
    client: TestClient, settings: Settings, tmp_path: Path, encoding: str
) -> None:
    days = {"since": "2026-10-01", "until": "2026-11-01"}
    charges = replace(ALL_DAYS, entry_types=("charge", "deposit"), currency="eur")
    columns = ["user_id", "occurred_at", "amount"]
    of_bob = {
        "columns": columns,
        "where": ["currency=eur", "entry_type in charge,deposit", "user_id==bob", "status in settled,failed"],
    }
    of_users = replace(ALL_DAYS, payer_types=("new",), paywalls=("pw", "other"), models=("m",))
    asked = [
        (download_address("ledger", encoding, ALL_DAYS), days | {"where": ["currency=usd"]}),
        (
            download_address(
                "ledger", encoding, charges, columns, user="=bob", entry_status=["settled", "failed"]
            ),
            days | of_bob,
        ),
        (download_address("users", encoding, ALL_DAYS), {"where": ["currency=usd"]}),
        (
            download_address("users", encoding, replace(ALL_DAYS, currency="eur"), search="BOB"),
            {"where": ["currency=eur", "user_id==bob"]},
        ),
        (download_address("user_days", encoding, of_users), days | {"where": ["currency=usd"]}),
    ]
    for address, request in asked:
        answer = client.get(address)
        assert answer.status_code == 200, answer.text
        name = f"{address.rpartition('/')[2].partition('.')[0]}.{encoding}"
        assert answer.content == exported(settings, tmp_path, name, **request), address
        assert len(answer.content) > 60


@pytest.mark.parametrize("dataset", TABLES)
def test_every_table_is_downloaded_in_every_format(client: TestClient, dataset: str) -> None:
    lists = replace(ALL_DAYS, paywalls=("pw",), models=("m",), payer_types=("new",), entry_types=("charge",))
    for encoding in ("csv", "csv.gz", "jsonl", "jsonl.gz", "parquet"):
        filters = lists if encoding == "csv" else ALL_DAYS
        assert client.get(download_address(dataset, encoding, filters)).status_code == 200


@pytest.mark.parametrize(
    ("dataset", "filters", "more", "rows"),
    [
        # alice in usd, =bob in eur; a matched payment of 20 usd on 1 October.
        ("daily_revenue", ALL_DAYS, {}, 2),
        ("daily_revenue", replace(ALL_DAYS, models=("another",)), {}, 0),
        ("daily_revenue", replace(ALL_DAYS, until=date(2026, 10, 3)), {"all_currencies": "true"}, 1),
        ("wallet_days", ALL_DAYS, {}, 2),
        ("wallet_days", ALL_DAYS, {"all_currencies": "true"}, 4),
        ("wallet_days", ALL_DAYS, {"all_currencies": "true", "user": "=bob"}, 2),
        ("usage_errors", ALL_DAYS, {}, 1),
        ("usage_errors", replace(ALL_DAYS, since=date(2026, 10, 3)), {}, 0),
        ("reconciliation", ALL_DAYS, {}, 1),
        ("reconciliation", replace(ALL_DAYS, currency="eur"), {"case_status": "matched"}, 0),
        ("reconciliation", ALL_DAYS, {"case_status": ["break"]}, 0),
        ("reconciliation", replace(ALL_DAYS, since=date(2026, 10, 2)), {"case_status": "matched"}, 1),
        (
            "reconciliation",
            replace(ALL_DAYS, since=date(2026, 10, 2)),
            {"case_status": "matched", "of_period": "true"},
            0,
        ),
        ("payouts", ALL_DAYS, {}, 1),
        ("payouts", replace(ALL_DAYS, currency="eur"), {}, 0),
        ("payouts", replace(ALL_DAYS, currency="eur"), {"all_currencies": "true"}, 1),
        ("runs", replace(ALL_DAYS, currency="chf"), {}, 1),
        ("loaded_files", ALL_DAYS, {}, 6),
        ("rejected_records", ALL_DAYS, {"reason": ["invalid_json"]}, 0),
    ],
)
def test_a_table_is_limited_as_its_page(
    client: TestClient, dataset: str, filters: Filters, more: dict[str, Any], rows: int
) -> None:
    answer = client.get(download_address(dataset, "jsonl", filters, **more))
    assert (answer.status_code, len(answer.text.splitlines())) == (200, rows)


def test_the_evidence_of_a_case_is_one_archive(client: TestClient) -> None:
    answer = client.get(evidence_address("stripe:pi_1"))
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/zip")
    assert answer.headers["content-disposition"] == 'attachment; filename="evidence-stripe-pi_1.zip"'
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        files = {
            name: list(csv.DictReader(io.StringIO(archive.read(name).decode())))
            for name in archive.namelist()
        }
    assert [row["case_id"] for row in files["reconciliation.csv"]] == ["stripe:pi_1"]
    assert [row["entry_id"] for row in files["ledger.csv"]] == ["d1"]
    assert [files["reconciliation_history.csv"], len(files["runs.csv"])] == [[], 1]


@pytest.mark.parametrize(
    ("query", "status", "words"),
    [
        ("", 400, "The parameter 'case' is required"),
        ("case=", 400, "The parameter 'case' is required"),
        ("case=stripe:pi_1&case=x", 400, "'case' occurs more than once"),
        ("case=stripe:pi_1&user=x", 400, "The parameter 'user' is not known. Allowed: case"),
        ("case=../../etc/passwd", 404, "Nothing is published under this id"),
        ("case=x' or 'a'='a", 404, "Nothing is published under this id"),
    ],
)
def test_there_is_no_other_evidence(client: TestClient, query: str, status: int, words: str) -> None:
    answer = client.get(f"/download/evidence.zip?{query}")
    assert answer.status_code == status
    assert words in answer.text


def test_a_value_that_cannot_be_is_refused_with_those_that_can(client: TestClient) -> None:
    for query, words in (
        ("case_status=open", "cannot be 'open'. Allowed: break, pending, matched"),
        ("break_type=x", "cannot be 'x'. Allowed: processor_only, ledger_only"),
        ("all_currencies=yes", "cannot be 'yes'. Allowed: true"),
        ("of_period=true&of_period=true", "occurs more than once"),
        ("user=u", "The parameter 'user' is not known"),
    ):
        answer = client.get(f"/download/reconciliation.csv?{GOOD}&{query}")
        assert answer.status_code == 400
        assert words in answer.text


def test_the_file_has_a_telling_name(client: TestClient) -> None:
    def name_of(*parts: Any, **more: str) -> str:
        return re.fullmatch(
            r'attachment; filename="([ -~]+)"',
            client.get(download_address(*parts, **more)).headers["content-disposition"],
        )[1]  # type: ignore[index]

    assert name_of("ledger", "csv", ALL_DAYS) == "ledger-2026-10-01-to-2026-10-31-usd.csv"
    assert (
        name_of("ledger", "jsonl.gz", ALL_DAYS, user='=bob"\r\n/../é')
        == "ledger-2026-10-01-to-2026-10-31-bob-usd.jsonl.gz"
    )
    assert name_of("users", "parquet", replace(ALL_DAYS, currency='u"s/d')) == "users-u-s-d.parquet"
    assert (
        name_of("user_days", "csv", replace(ALL_DAYS, until=date(2026, 10, 2)))
        == "user-days-2026-10-01-to-2026-10-01-usd.csv"
    )


def test_a_cell_that_a_spreadsheet_would_run_is_prefixed(client: TestClient) -> None:
    address = download_address("users", "csv", replace(ALL_DAYS, currency="eur"), ["user_id", "currency"])
    assert list(csv.reader(io.StringIO(client.get(address).text))) == [
        ["user_id", "currency"],
        ["'=bob", "eur"],
    ]


def test_nothing_of_a_value_is_more_than_text(client: TestClient) -> None:
    def rows(**more: str) -> int:
        answer = client.get(download_address("users", "jsonl", ALL_DAYS, **more))
        assert answer.status_code == 200
        return len(answer.text.splitlines())

    everyone = rows()
    assert everyone >= 1
    for text in (
        "%",
        "_",
        "' or '1'='1",
        "u%1",
        "*",
        ".",
        "\\",
        "\x00",
        "'; drop table marts.rpt_users; --",
        "\u202e",
    ):
        assert rows(search=text) == 0
    hostile = replace(ALL_DAYS, currency="usd' or true --")
    assert client.get(download_address("ledger", "jsonl", hostile)).content == b""
    assert client.get(download_address("ledger", "jsonl", ALL_DAYS, user="u1' or 'a'='a")).content == b""


GOOD = "from=2026-10-01&to=2026-11-01&currency=usd"


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("", "from, to and currency are required"),
        ("from=2026-10-01&to=2026-11-01", "currency are required"),
        ("from=yesterday&to=2026-11-01&currency=usd", "The period is not valid"),
        ("from=2026-13-01&to=2026-11-01&currency=usd", "The period is not valid"),
        ("from=0001-01-01&to=0001-01-01&currency=usd", "The period is empty"),
        ("from=2026-11-02&to=2026-11-01&currency=usd", "The period is empty"),
        (f"{GOOD}&from=2026-10-02", "'from' occurs more than once"),
        (f"{GOOD}&column=amount&column=password", "column: there is no column 'password'; allowed: entry_id"),
        (f"{GOOD}&column=amount)%20from%20raw.x--", "there is no column 'amount) from raw.x--'"),
        (f"{GOOD}&column=amount&column=amount", "a column is named twice"),
        (f"{GOOD}&column=", "there is no column ''"),
        (f"{GOOD}&where=1%3D1", "The parameter 'where' is not known"),
        (f"{GOOD}&search=x", "The parameter 'search' is not known"),
        (f"{GOOD}{'&model=m' * 1000}", "more than 1000 values"),
        (f"{GOOD}&user=%ff", "not valid UTF-8"),
    ],
)
def test_an_invalid_request_is_refused_with_a_reason(client: TestClient, query: str, words: str) -> None:
    answer = client.get(f"/download/ledger.csv?{query}")
    assert (answer.status_code, answer.headers["content-type"]) == (400, "text/plain; charset=utf-8")
    assert words in answer.text
    assert "Traceback" not in answer.text


@pytest.mark.parametrize(
    "name",
    [
        "ledger.xlsx",
        "ledger",
        "raw.csv",
        "settings.csv",
        "ops.runs.csv",
        "evidence.csv",
        "evidence.zip.gz",
        "ledger.parquet.gz",
        "..%2fstate.csv",
        "ledger.csv.gz.gz",
        "Ledger.csv",
    ],
)
def test_there_are_no_other_downloads(client: TestClient, name: str) -> None:
    answer = client.get(f"/download/{name}?{GOOD}")
    assert answer.status_code == 404
    assert client.post(f"/download/ledger.csv?{GOOD}").status_code == 405


def test_the_helper_for_links_refuses_what_the_server_would() -> None:
    with pytest.raises(WrongDownloadError, match="'search' is not known"):
        download_address("ledger", "csv", ALL_DAYS, search="x")
    with pytest.raises(LookupError):
        download_address("settings", "csv", ALL_DAYS)
    assert (
        download_address("ledger", "csv", ALL_DAYS, user="", entry_status=[])
        == f"/download/ledger.csv?{GOOD}"
    )
    assert (
        download_address("ledger", "csv", ALL_DAYS, user="a&b=ü #?")
        == f"/download/ledger.csv?{GOOD}&user=a%26b%3D%C3%BC+%23%3F"
    )


def test_before_the_first_publication_a_download_reports_it(tmp_path: Path) -> None:
    answer = downloading(load_settings(_env_file=None, warehouse_home=tmp_path)).get(
        f"/download/ledger.csv?{GOOD}"
    )
    assert (answer.status_code, answer.text) == (
        503,
        "There is no published warehouse that can be read. Publish one with `paywall-warehouse run`.\n",
    )
    assert list(tmp_path.iterdir()) == []


def test_a_home_that_can_only_be_read_is_enough(published: Path, tmp_path: Path) -> None:
    (tmp_path / "published").symlink_to(published / "published")
    readable = load_settings(_env_file=None, warehouse_home=tmp_path)
    assert readable.dashboard_temporary != readable.home.tmp
    assert downloading(readable).get(download_address("ledger", "csv", ALL_DAYS)).status_code == 200
    assert [path.name for path in tmp_path.iterdir()] == ["published"]


def test_only_so_many_downloads_are_under_way_and_the_file_goes_with_the_client(settings: Settings) -> None:
    """Clients that do not read: their files are there until they go, and later ones are asked to come
    again.
    """
    downloads = Downloads(settings)
    held, begun = asyncio.Event, 0
    before = sorted(settings.home.tmp.iterdir())

    async def ask(send: Any) -> None:
        scope = {
            "type": "http",
            "method": "GET",
            "path_params": {"name": "ledger.csv"},
            "query_string": GOOD.encode(),
            "headers": [],
        }
        await downloads(scope, asyncio.Event().wait, send)  # type: ignore[arg-type]

    async def crowd() -> None:
        nonlocal begun
        stuck = held()

        async def stop(_: Any) -> None:
            nonlocal begun
            begun += 1
            await stuck.wait()

        tasks = [asyncio.create_task(ask(stop)) for _ in range(UNDER_WAY)]
        while begun < UNDER_WAY:
            await asyncio.sleep(0.01)
        assert len(sorted(settings.home.tmp.iterdir())) == len(before) + UNDER_WAY
        answers: list[Any] = []

        async def take(message: Any) -> None:
            answers.append(message)

        await ask(take)
        assert answers[0]["status"] == 503
        for task in tasks[1:]:
            task.cancel()
        await asyncio.gather(*tasks[1:], return_exceptions=True)
        stuck.set()
        await tasks[0]
        await ask(take)
        assert answers[2]["status"] == 200

    asyncio.run(crowd())
    assert sorted(settings.home.tmp.iterdir()) == before


# ---- the whole server

SCRIPT = """
import streamlit as st
st.title("A page")
if "fail" in st.query_params:
    password = "correct " + "horse battery"
    raise RuntimeError("\\x1b[31mlogged in as %s, with %s" % (st.query_params["fail"], password))
"""
# Of somebody who tried Streamlit once.
CARELESS = """
[client]
showErrorDetails = "full"
[browser]
gatherUsageStats = true
[server]
baseUrlPath = "elsewhere"
enableAgentApi = true
"""
# As the command does, it skips the shutdown of Python, which aborts if a thread writes to stderr just then.
SERVER = """
import logging, os, sys
from pathlib import Path
from dashboard.server import application
from paywall_warehouse.settings import load_settings
from paywall_warehouse.web.server import listen, server_of
logging.basicConfig(level=logging.WARNING)
with listen("127.0.0.1", 0) as listener:
    print(listener.getsockname()[1], file=sys.stderr, flush=True)
    server_of(application(load_settings(), "127.0.0.1", Path(sys.argv[1]))).run(sockets=[listener])
os._exit(0)
"""


class Running:
    """A server of its own process, and what it wrote to stderr."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self.process, self.lines = process, list[str]()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.lines.append(line)

    def wait_for(self, words: str) -> str:
        end = time.monotonic() + 30
        while time.monotonic() < end:
            for line in self.lines:
                if words in line:
                    return line
            assert self.process.poll() is None, self.lines
            time.sleep(0.02)
        raise AssertionError(self.lines)

    def end(self, by: signal.Signals) -> int:
        self.process.send_signal(by)
        code = self.process.wait(20)
        self._reader.join(5)
        return code


@contextmanager
def running(arguments: list[str], home: Path, **variables: str) -> Iterator[Running]:
    process = subprocess.Popen(
        arguments,
        env=environment(home, **variables),
        cwd=home.parent,
        stderr=subprocess.PIPE,
        text=True,
        # As a shell starts what it puts into the background.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN),  # noqa: PLW1509
    )
    with ended(process) as server:
        yield server


@contextmanager
def ended(process: "subprocess.Popen[str]") -> Iterator[Running]:
    try:
        yield Running(process)
    finally:
        process.kill()
        process.wait()


def get(port: int, path: str, **headers: str) -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.read().decode("utf-8", "replace")
    finally:
        connection.close()


def page_of(port: int, query: str, **headers: str) -> bytes:
    """Everything that the server sends for a page."""
    said = b""
    with connect(
        f"ws://127.0.0.1:{port}/_stcore/stream",
        subprotocols=["streamlit"],
        origin=f"http://127.0.0.1:{port}",
        additional_headers=headers,
    ) as websocket:
        asked = BackMsg()
        asked.rerun_script.query_string = query
        websocket.send(asked.SerializeToString())
        while True:
            content = websocket.recv(timeout=30)
            assert isinstance(content, bytes)
            said += content
            message = ForwardMsg()
            message.ParseFromString(content)
            if message.WhichOneof("type") == "script_finished":
                return said


def test_the_server_guards_streamlit_and_its_errors_hold_no_secret(published: Path, tmp_path: Path) -> None:
    script = tmp_path / "page.py"
    script.write_text(SCRIPT, encoding="utf-8")
    (tmp_path / ".streamlit").mkdir()
    (tmp_path / ".streamlit" / "config.toml").write_text(CARELESS, encoding="utf-8")
    variables = {"DASHBOARD_PASSWORD": PASSWORD, "PYTHONPATH": os.getcwd(), "HOME": str(tmp_path)}
    with running([sys.executable, "-c", SERVER, str(script)], published, **variables) as server:
        server.wait_for("\n")
        port = int(server.lines[0])
        assert get(port, HEALTH) == (200, "ok")
        for path in (
            "/",
            "/static/",
            "/_stcore/host-config",
            "/_stcore/metrics",
            "/_stcore/agent/openapi.json",
            "/component/x/index.html",
        ):
            assert get(port, path)[0] == 401
        with pytest.raises(InvalidStatus, match="403"):
            page_of(port, "")
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        connection.request("POST", "/login", urlencode({"password": PASSWORD}), FORM)
        cookie = connection.getresponse().headers["Set-Cookie"].partition(";")[0]
        connection.close()
        status, page = get(port, "/any/page", Cookie=cookie)
        assert status == 200
        assert get(port, re.findall(r'src="\.?(/static/[^"]+\.js)"', page)[0], Cookie=cookie)[0] == 200
        assert get(port, download_address("ledger", "csv", ALL_DAYS), Cookie=cookie)[0] == 200
        assert b"A page" in page_of(port, "", Cookie=cookie)
        failed = page_of(port, "fail=ann", Cookie=cookie)
        assert b"This page could not be displayed." in failed
        assert b"RuntimeError" not in failed
        assert get(port, "/elsewhere/_stcore/health")[0] == 401
        assert b"horse" not in failed
        server.wait_for("RuntimeError: \\x1b[31mlogged in as ann, with ***")
        assert server.end(signal.SIGTERM) in (0, -signal.SIGTERM)
        assert sum("Traceback" in line for line in server.lines) == 1
        assert PASSWORD not in "".join(server.lines)


def test_the_command_starts_with_nothing_published_makes_no_home_and_ends_at_ctrl_c(tmp_path: Path) -> None:
    home = tmp_path / "home"
    with running([COMMAND, "dashboard", "--port", "0"], home) as server:
        line = server.wait_for("http://127.0.0.1:")
        port = int(re.findall(r":(\d+) shows", line)[0])
        assert line == f"http://127.0.0.1:{port} shows {home}/published/warehouse.duckdb  (Ctrl-C ends it)\n"
        taken = command(home, "dashboard", "--port", str(port))
        assert taken.returncode == 2
        assert taken.stderr.startswith(
            f"http://127.0.0.1:{port} cannot be listened on: Address already in use"
        )
        assert taken.stderr.endswith("Choose another --port or --host.\n")
        assert get(port, "/")[0] == 200
        assert get(port, "/", Host="evil.example")[0] == 403
        assert get(port, f"/download/ledger.csv?{GOOD}")[0] == 503
        with connect(f"ws://localhost:{port}/_stcore/stream", subprotocols=["streamlit"]):
            assert server.end(signal.SIGINT) == 0
        assert "".join(server.lines[1:]).count("\n") == 1, server.lines
    assert not home.exists()


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        (
            {},
            (
                "Warning: listening on 0.0.0.0, which other machines may reach. The dashboard has no"
                " password: everyone who can reach it"
            ),
        ),
        ({"DASHBOARD_PASSWORD": PASSWORD}, "It asks for the password, but nothing is encrypted"),
    ],
)
def test_who_lets_others_in_is_warned(tmp_path: Path, variables: dict[str, str], words: str) -> None:
    process = WarmCommand(
        ["dashboard", "--port", "0", "--host", "0.0.0.0"],
        env=environment(tmp_path / "home", **variables),
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        text=True,
    )
    with ended(process) as server:
        server.wait_for(words)


def test_an_address_of_another_machine_is_refused(tmp_path: Path) -> None:
    done = command(tmp_path / "home", "dashboard", "--host", "192.0.2.1")
    assert done.returncode == 2
    assert done.stderr.startswith("http://192.0.2.1:8501 cannot be listened on: ")
