"""The pull of bills, against the three admin APIs on loopback."""

import hashlib
import json
import logging
import multiprocessing
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from random import Random
from typing import Any, ClassVar

import dagster as dg
import duckdb
import pytest

from ingestion.bill_pull import apis as apis_module, client as client_module
from ingestion.bill_pull.apis import ANTHROPIC, APIS, OPENAI, OPENROUTER, BillApi
from ingestion.bill_pull.client import AdminClient, BillsRefusedError, BillsUnavailableError
from ingestion.bill_pull.pull import PulledBills, pull_bills
from ingestion.pulls import requesting, windows as windows_module
from ingestion.pulls.failures import failed_pulls
from ingestion.pulls.requesting import Pace
from orchestration.assets import bill_pull as bill_pull_module
from orchestration.assets.landing import bill_key
from orchestration.cli.status import status_lines
from paywall_warehouse.settings import Settings, load_settings
from tests.support.bill_server import (
    ANTHROPIC_KEY,
    OPENAI_KEY,
    OPENROUTER_KEY,
    Bills,
    BillServer,
    Options,
    activity,
    anthropic_cost,
    openai_cost,
    running,
)
from tests.support.builders import charge, deposit, land as land_files, ledger_file
from tests.support.harness import RunResult, kept_materializations, publish_home, run_pipeline
from tests.support.killed_pulls import Killed, killed_at
from tests.support.published_tables import Published

FAST = Pace(timeout=2, between_requests=0, first_backoff=0.02, longest_backoff=0.2)
# In the past, because a pull never asks for days that are not over by the clock.
TODAY = date(2025, 10, 20)
FIRST = date(2025, 10, 1)
NOWHERE = "http://127.0.0.1:9"
PATHS = {
    "openai_costs": "/v1/organization/costs",
    "anthropic_costs": "/v1/organizations/cost_report",
    "openrouter_activity": "/api/v1/activity",
}


def days(first: date, end: date) -> list[str]:
    return [(first + timedelta(days=number)).isoformat() for number in range((end - first).days)]


def bills(first: date = FIRST, end: date = TODAY) -> Bills:
    return Bills(
        openai={day: [openai_cost("0.003835980000000000000000000000")] for day in days(first, end)},
        anthropic={day: [anthropic_cost("123.45")] for day in days(first, end)},
        openrouter={day: [activity("0.015")] for day in days(first, end)},
    )


@pytest.fixture
def server() -> Iterator[BillServer]:
    with running(bills(), Options(today=TODAY, keys_from=date(2025, 1, 1))) as started:
        yield started


@pytest.fixture
def settings(tmp_path: Path, server: BillServer) -> Settings:
    return settings_of(tmp_path / "home", server.url)


def settings_of(home: Path, url: str, **more: Any) -> Settings:
    stated = {
        "openai_admin_key": OPENAI_KEY,
        "anthropic_admin_key": ANTHROPIC_KEY,
        "openrouter_management_key": OPENROUTER_KEY,
        "openai_api_base": url,
        "anthropic_api_base": url,
        "openrouter_api_base": url,
        "bills_first_day": FIRST,
    }
    return load_settings(_env_file=None, warehouse_home=home, **(stated | more))


def midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, 3, tzinfo=UTC)


def pull_one(settings: Settings, api: BillApi = OPENAI, today: date = TODAY, **more: Any) -> PulledBills:
    return pull_bills(settings, api, now=midnight(today), **({"pace": FAST} | more))


def landed(settings: Settings, api: BillApi = OPENAI) -> list[Path]:
    """The files in the order in which they landed."""
    found = (settings.home.landing / "bills" / api.format).glob("[!.]*")
    return sorted((file for file in found if file.is_file()), key=lambda file: file.stat().st_mtime_ns)


def pages(file: Path) -> list[dict[str, Any]]:
    """The pages of a file, with the digits of each number."""
    text, found = file.read_text(encoding="utf-8").strip(), []
    decoder = json.JSONDecoder(parse_float=str)
    while text:
        page, end = decoder.raw_decode(text)
        found.append(page)
        text = text[end:].strip()
    return found


def day_of(bucket: dict[str, Any]) -> str:
    """The day of a bucket of OpenAI or Anthropic, or of a row of OpenRouter."""
    if "start_time" in bucket:
        return datetime.fromtimestamp(bucket["start_time"], UTC).date().isoformat()
    return str(bucket.get("starting_at", bucket.get("date")))[:10]


def stated(settings: Settings, api: BillApi = OPENAI) -> list[list[str]]:
    """The days that each file states."""
    return [[day_of(one) for page in pages(file) for one in page["data"]] for file in landed(settings, api)]


def sidecar_of(file: Path) -> Path:
    return file.with_name(f".{file.name}.run.json")


# ---- a whole pull


def test_a_first_pull_lands_all_pages_as_they_are(settings: Settings, server: BillServer) -> None:
    done = pull_one(settings)
    # 19 days, seven a page.
    asked = server.requests.to(PATHS["openai_costs"])
    assert [request.params.get("page") for request in asked] == [None, "page_2025-10-08", "page_2025-10-15"]
    assert asked[0].params["group_by"] == ["line_item", "project_id", "api_key_id"]
    (file,) = landed(settings)
    assert done.files == [f"bills/openai_costs/{file.name}"]
    assert (done.days, done.requested) == (19, 19)
    assert stated(settings) == [days(FIRST, TODAY)]
    text = file.read_text(encoding="utf-8")
    assert text.count('"value": 0.003835980000000000000000000000') == 19
    assert [page["has_more"] for page in pages(file)] == [True, True, False]
    sidecar = json.loads(sidecar_of(file).read_text(encoding="utf-8"))
    assert sidecar["parameters"] == {"start": "2025-10-01", "end": "2025-10-20"}
    assert sidecar["available_until"] == "2025-10-20T00:00:00+00:00"
    assert (sidecar["pages"], sidecar["bytes"]) == (3, file.stat().st_size)
    assert sidecar["sha256"] == hashlib.sha256(file.read_bytes()).hexdigest()
    assert list(sidecar["days"]) == days(FIRST, TODAY)


def test_anthropic_is_asked_for_descriptions_and_workspaces(settings: Settings, server: BillServer) -> None:
    pull_one(settings, ANTHROPIC)
    asked = server.requests.to(PATHS["anthropic_costs"])
    assert [request.params.get("page") for request in asked] == [None, "page_2025-10-08", "page_2025-10-15"]
    assert asked[2].params["group_by"] == ["description", "workspace_id"]
    assert stated(settings, ANTHROPIC) == [days(FIRST, TODAY)]
    assert landed(settings, ANTHROPIC)[0].read_text(encoding="utf-8").count('"amount": "123.45"') == 19


def test_openrouter_is_asked_day_by_day(settings: Settings, server: BillServer) -> None:
    pull_one(settings, OPENROUTER)
    asked = server.requests.to(PATHS["openrouter_activity"])
    assert [request.params for request in asked] == [{"date": day} for day in days(FIRST, TODAY)]
    assert stated(settings, OPENROUTER) == [days(FIRST, TODAY)]


def test_days_that_are_not_over_are_left_to_a_later_run(settings: Settings, server: BillServer) -> None:
    server.bills.openai[TODAY.isoformat()] = [openai_cost("7")]
    pull_one(settings)
    assert TODAY.isoformat() not in stated(settings)[0]
    # A run that starts in the future by its AS_OF does not ask for days that are still to come.
    server.options.today = None
    done = pull_bills(settings, OPENAI, now=datetime(2099, 1, 1, tzinfo=UTC), pace=FAST)
    assert done.available_until is not None
    assert done.available_until.date() <= datetime.now(UTC).date()


@pytest.mark.parametrize("api", APIS, ids=lambda api: api.format)
def test_a_new_day_lands_with_a_look_back_and_nothing_new_lands_nothing(
    settings: Settings, server: BillServer, api: BillApi
) -> None:
    pull_one(settings, api)
    again = pull_one(settings, api)
    assert (again.files, again.days, again.requested) == ([], 0, 3)
    tomorrow = TODAY + timedelta(days=1)
    server.options.today = tomorrow
    getattr(server.bills, api.format.split("_")[0])[TODAY.isoformat()] = {
        OPENAI: [openai_cost("1.5")],
        ANTHROPIC: [anthropic_cost("150")],
        OPENROUTER: [activity("1.5")],
    }[api]
    done = pull_one(settings, api, tomorrow)
    assert (len(done.files), done.days, done.requested) == (1, 1, 4)
    assert stated(settings, api)[1] == ["2025-10-17", "2025-10-18", "2025-10-19", "2025-10-20"]
    assert pull_one(settings, api, tomorrow).files == []


def test_a_restated_day_within_the_look_back_lands_again(settings: Settings, server: BillServer) -> None:
    pull_one(settings)
    # Another order of the results is no restatement.
    two = [openai_cost("0.1", "gpt-5, input_tokens"), openai_cost("0.2", "gpt-5, output_tokens")]
    server.bills.openai["2025-10-18"] = two
    assert pull_one(settings).days == 1
    server.bills.openai["2025-10-18"] = two[::-1]
    assert pull_one(settings).files == []
    # Before the look-back nothing is asked for.
    server.bills.openai["2025-10-16"] = [openai_cost("9")]
    assert pull_one(settings).files == []
    server.bills.openai["2025-10-18"] = [openai_cost("0.30")]
    pull_one(settings)
    last = [one for page in pages(landed(settings)[-1]) for one in page["data"]]
    assert {day_of(one): [result["amount"]["value"] for result in one["results"]] for one in last} == {
        "2025-10-17": ["0.003835980000000000000000000000"],
        "2025-10-18": ["0.30"],
        "2025-10-19": ["0.003835980000000000000000000000"],
    }


def test_a_day_that_was_restated_back_lands_as_another_file(settings: Settings, server: BillServer) -> None:
    pull_one(settings)
    first = server.bills.openai["2025-10-18"]
    contents = []
    for results in ([openai_cost("1")], first, [openai_cost("1")], first):
        server.bills.openai["2025-10-18"] = results
        assert pull_one(settings).days == 1
        contents.append(landed(settings)[-1].read_bytes())
    assert len(set(contents)) == 4, "content that has landed before would not be loaded again"
    assert [contents[number].strip() for number in (0, 1)] == [contents[number].strip() for number in (2, 3)]
    assert pull_one(settings).files == []


def test_after_an_outage_the_look_back_begins_where_the_pull_had_stopped(
    settings: Settings, server: BillServer
) -> None:
    stopped = TODAY - timedelta(days=10)
    pull_one(settings, today=stopped)
    server.bills.openai["2025-10-08"] = [openai_cost("8")]
    done = pull_one(settings)
    assert done.days == 11
    assert stated(settings)[-1] == days(date(2025, 10, 7), TODAY)


def test_a_file_that_was_lost_is_pulled_again(settings: Settings) -> None:
    pull_one(settings)
    landed(settings)[0].unlink()
    assert pull_one(settings).days == 19
    landed(settings)[0].write_bytes(b"cut")
    assert pull_one(settings).days == 19


def test_a_sidecar_that_is_not_ours_is_ignored(settings: Settings) -> None:
    pull_one(settings)
    (file,) = landed(settings)
    good = json.loads(sidecar_of(file).read_text(encoding="utf-8"))
    for text in ("{torn", "[]", '{"bytes": 1}', json.dumps(good | {"parameters": {"start": "soon"}})):
        sidecar_of(file).write_text(text, encoding="utf-8")
        assert pull_one(settings).days == 19


def test_the_files_of_other_accounts_are_not_those_of_the_key(settings: Settings) -> None:
    pull_one(settings)
    (file,) = landed(settings)
    account = file.parent / "other-org"
    account.mkdir()
    for one in (sidecar_of(file), file):
        one.rename(account / one.name)
    assert pull_one(settings).days == 19


def test_days_that_openai_does_not_group_by_key_are_grouped_without(
    settings: Settings, server: BillServer
) -> None:
    server.options.keys_from = TODAY
    pull_one(settings)
    assert stated(settings) == [days(FIRST, TODAY)]
    asked = server.requests.to(PATHS["openai_costs"])
    assert [len(request.params["group_by"]) for request in asked] == [3, 2, 2, 2]


# ---- days that are not stated


@pytest.mark.parametrize("api", [OPENAI, ANTHROPIC], ids=lambda api: api.format)
def test_a_day_that_is_stated_late_is_waited_for(
    settings: Settings, server: BillServer, api: BillApi
) -> None:
    server.options.lag_days = 2
    pull_one(settings, api)
    # Two days behind today, which they would state.
    assert stated(settings, api) == [days(FIRST, date(2025, 10, 19))]
    assert pull_one(settings, api).files == []
    server.options.lag_days = 0
    done = pull_one(settings, api)
    assert done.days == 1
    assert stated(settings, api)[-1][-1] == "2025-10-19"


def test_days_without_costs_that_are_left_out_are_not_asked_for_for_ever(
    settings: Settings, server: BillServer
) -> None:
    server.options.states_empty_days = False
    server.bills.openai = {"2025-10-02": [openai_cost("1")]}
    done = pull_one(settings)
    # The days up to the 16th ended three days before; the last three may still be stated.
    assert done.days == 16
    again = pull_one(settings)
    assert (again.files, again.requested) == ([], 3)
    later = date(2025, 10, 24)
    server.options.today = later
    done = pull_one(settings, today=later)
    # From three days before the 17th; the days up to the 20th are now complete.
    assert (done.days, done.requested) == (4, 10)
    assert pull_one(settings, today=later).requested == 3


def test_days_that_openrouter_no_longer_has_are_named(settings: Settings, server: BillServer) -> None:
    early = settings.model_copy(update={"bills_first_day": date(2025, 9, 1)})
    first = pull_one(early, OPENROUTER)
    # 30 days before 2025-10-20; a first pull does not complain about what came before.
    assert stated(early, OPENROUTER)[0][0] == "2025-10-01"
    assert (first.requested, first.warnings) == (30, [])
    later = date(2025, 11, 25)
    server.options.today = later
    done = pull_one(early, OPENROUTER, later)
    # 2025-10-26 is 30 days before.
    assert done.requested == 30
    assert done.warnings == [
        "OpenRouter no longer has 6 days from 2025-10-20 to 2025-10-25 that were not pulled in time. Download"
        " them by hand into landing/bills/openrouter_activity/"
    ]


# ---- faults


@pytest.mark.parametrize(
    ("api", "moments"),
    # Before and after each of two pages for each of two months, or of six for the days of OpenRouter; and of
    # a sidecar and a file for each month.
    [(OPENAI, 16), (ANTHROPIC, 16), (OPENROUTER, 20)],
    ids=lambda value: value.format if isinstance(value, BillApi) else "",
)
def test_killed_at_any_point_no_day_is_missing_or_doubled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, api: BillApi, moments: int
) -> None:
    # As a pull of many months with pages of a week.
    monkeypatch.setattr(windows_module, "LONGEST", timedelta(days=3))
    monkeypatch.setattr(apis_module, "DAYS_PER_PAGE", 2)
    first, today = date(2025, 9, 28), date(2025, 10, 4)
    step, steps = 0, 1
    with running(bills(first, today), Options(today=today, keys_from=first)) as server:
        while step < steps:
            step += 1
            settings = settings_of(tmp_path / f"home{step}", server.url, bills_first_day=first)
            with pytest.MonkeyPatch.context() as patch:
                count = killed_at(step, patch, (AdminClient, "get"))
                try:
                    pull_one(settings, api, today)
                except Killed:
                    steps = step + 1
                else:
                    steps = 0
            pull_one(settings, api, today)
            found = Counter(day for one in stated(settings, api) for day in one)
            assert found == Counter(days(first, today)), f"killed at step {step} of {count()}"
            assert len(landed(settings, api)) == 2
            assert pull_one(settings, api, today).files == []
            assert [one for one in settings.home.landing.rglob("*") if one.name.endswith(".partial")] == []
    assert step - 1 == moments, "the pull has that many moments to die at"


@pytest.mark.parametrize("api", APIS, ids=lambda api: api.format)
def test_a_page_that_fails_lands_nothing_of_its_span(
    settings: Settings, server: BillServer, api: BillApi
) -> None:
    # The last page: the 19th for OpenRouter, the third for the others.
    before = 18 if api is OPENROUTER else 2
    get, count = AdminClient.get, [0]

    def failing(*arguments: Any) -> Any:
        count[0] += 1
        if count[0] > before:
            raise BillsUnavailableError("down")
        return get(*arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(AdminClient, "get", failing)
        with pytest.raises(BillsUnavailableError):
            pull_one(settings, api)
    assert landed(settings, api) == []
    assert [one for one in settings.home.tmp.rglob("*") if one.is_file()] == []
    assert pull_one(settings, api).days == 19


@pytest.mark.parametrize("api", APIS, ids=lambda api: api.format)
def test_too_many_requests_are_waited_out(settings: Settings, server: BillServer, api: BillApi) -> None:
    server.faults.rate_limit(PATHS[api.format], 3)
    server.faults.rate_limit(PATHS[api.format], 1, retry_after="0.15")
    assert pull_one(settings, api).days == 19
    assert server.faults.waiting == 0
    asked = [request.at for request in server.requests.to(PATHS[api.format])]
    # Half of 0.02 at the least, doubled each time; then as long as was asked for.
    assert [
        later - earlier >= wait
        for earlier, later, wait in zip(asked, asked[1:], (0.01, 0.02, 0.04, 0.15), strict=False)
    ] == [True] * 4


def test_faults_that_pass_are_waited_out(settings: Settings, server: BillServer) -> None:
    server.faults.server_error("/v1/", 1)
    server.faults.server_error("/v1/", 1, status=503)
    assert pull_one(settings).days == 19
    server.faults.cut("/v1/", 1)
    server.faults.cut("/v1/", 1, keep=0)
    assert pull_one(settings, ANTHROPIC).days == 19
    server.faults.hang("/api/", 1)
    quick = Pace(timeout=0.3, between_requests=0, first_backoff=0.02, longest_backoff=0.2)
    assert pull_one(settings, OPENROUTER, pace=quick).days == 19
    assert server.faults.waiting == 0


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("refused", "OpenAI cannot be reached"),
        ("hangs", "OpenAI cannot be reached"),
        ("drips", "OpenAI cannot be reached: ReadTimeout: the answer takes too long"),
        ("breaks off", "OpenAI cannot be reached: ConnectionError: the answer broke off"),
        ("500", "OpenAI answers HTTP 500"),
        ("429", "OpenAI asked .* times for fewer requests"),
        ("429, come back in a minute", "OpenAI asked 1 times for fewer requests"),
    ],
)
def test_the_deadline_ends_every_wait(
    tmp_path: Path, server: BillServer, monkeypatch: pytest.MonkeyPatch, fault: str, message: str
) -> None:
    monkeypatch.setattr(requesting, "LEAST_TIMEOUT", 0.2)
    # Without a deadline: as often as there is patience for.
    monkeypatch.setattr(requesting, "TRIES", 1000)
    monkeypatch.setattr(requesting, "RATE_LIMIT_TRIES", 1000)
    if fault == "hangs":
        server.faults.hang("/v1/", None)
    elif fault == "drips":
        server.faults.drip("/v1/", None)
    elif fault == "breaks off":
        server.faults.cut("/v1/", None)
    elif fault == "500":
        server.faults.server_error("/v1/", None)
    elif fault.startswith("429"):
        server.faults.rate_limit("/v1/", None, retry_after=60 if "minute" in fault else None)
    settings = settings_of(
        tmp_path, NOWHERE if fault == "refused" else server.url, bills_deadline_seconds=0.5
    )
    patient = Pace(timeout=30, between_requests=0, first_backoff=0.1, longest_backoff=60)
    begun = time.monotonic()
    with pytest.raises(BillsUnavailableError, match=message):
        pull_one(settings, pace=patient)
    # Beyond the deadline no more than a last short request; 3 s more for a machine that is busy.
    assert time.monotonic() - begun < 0.5 + 2 * 0.2 + 3
    assert landed(settings) == []


@pytest.mark.parametrize(
    ("api", "key", "words"),
    [
        (OPENAI, "openai_admin_key", "OPENAI_ADMIN_KEY must be an admin key (sk-admin-…)"),
        (ANTHROPIC, "anthropic_admin_key", "ANTHROPIC_ADMIN_KEY must be an admin key (sk-ant-admin…)"),
        (OPENROUTER, "openrouter_management_key", "OPENROUTER_MANAGEMENT_KEY must be a management key"),
    ],
    ids=lambda value: value.format if isinstance(value, BillApi) else "",
)
@pytest.mark.parametrize("status", [401, 403])
def test_a_refused_key_is_reported_without_it(
    tmp_path: Path, server: BillServer, api: BillApi, key: str, words: str, status: int
) -> None:
    more = {key: "sk-wrongsecret"} if status == 401 else {}
    if status == 403:
        server.faults.permission_denied("/")
    wrong = settings_of(tmp_path, server.url, **more)
    with pytest.raises(BillsRefusedError, match=f"{api.provider} refuses the key, HTTP {status}") as caught:
        pull_one(wrong, api)
    assert words in str(caught.value)
    assert not any(part in str(caught.value) for part in ("wrongsecret", "topsecret"))
    assert len(server.requests) == 1, "a refused request is not repeated"


# ---- hostile answers


def answering(content: bytes, status: int = 200, **headers: str) -> Any:
    """A server that gives one answer to every request, and keeps the headers of the requests."""

    class Handler(BaseHTTPRequestHandler):
        asked: ClassVar[list[dict[str, str]]] = []

        def do_GET(self) -> None:
            self.asked.append(dict(self.headers))
            self.send_response(status)
            for name, value in ({"Content-Length": str(len(content))} | headers).items():
                self.send_header(name.replace("_", "-"), value)
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: Any) -> None:
            """Keep the output of the tests clean."""

    return Handler


@pytest.fixture
def serve() -> Iterator[Callable[..., str]]:
    started: list[HTTPServer] = []

    def start(handler: Any) -> str:
        server = HTTPServer(("127.0.0.1", 0), handler)
        started.append(server)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{server.server_port}"

    yield start
    for server in started:
        server.shutdown()
        server.server_close()


def openai_page(*first_days: str, **more: Any) -> bytes:
    buckets = [
        {"start_time": int(start.timestamp()), "end_time": int(start.timestamp()) + 86400, "results": []}
        for start in (datetime.fromisoformat(f"{day}T00:00:00+00:00") for day in first_days)
    ]
    return json.dumps({"data": buckets, "has_more": False, "next_page": None} | more).encode()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"[]", "TypeError"),
        (b'{"data": {}}', '"data" is not a list'),
        (b'{"data": [1]}', "TypeError"),
        (b'{"has_more": false}', "KeyError"),
        (openai_page("2025-10-01", "2025-10-01"), "2025-10-01 is stated twice"),
        (openai_page("2025-10-01", has_more=True), 'it has no "next_page"'),
        # The cursor is ignored, so the first page comes again and again.
        (openai_page("2025-10-01", has_more=True, next_page="a"), "2025-10-01 is stated twice"),
        (openai_page(has_more=True, next_page="a"), "it names the same next page twice"),
        (openai_page("2025-10-01").replace(b"00,", b"01,"), "is not a UTC day"),
        (openai_page("2025-10-01").replace(b"[]", b"1"), '"results" is not a list'),
        (b'{"data": [{"start_time": 1e30, "end_time": 1, "results": []}]}', "TypeError"),
    ],
)
def test_a_page_that_is_not_as_documented_lands_nothing(
    tmp_path: Path, serve: Callable[..., str], content: bytes, words: str
) -> None:
    settings = settings_of(tmp_path, serve(answering(content)))
    with pytest.raises(
        BillsRefusedError, match="OpenAI answers with a page that is not as documented"
    ) as caught:
        pull_one(settings)
    assert words in str(caught.value)
    assert landed(settings) == []


def test_an_openrouter_that_ignores_the_date_lands_nothing(tmp_path: Path, serve: Callable[..., str]) -> None:
    page = json.dumps({"data": [{"date": day, "usage": 1} for day in days(FIRST, TODAY)]}).encode()
    settings = settings_of(tmp_path, serve(answering(page)))
    with pytest.raises(BillsRefusedError, match="it states 2025-10-02, which was not requested"):
        pull_one(settings, OPENROUTER)
    assert landed(settings, OPENROUTER) == []


@pytest.mark.parametrize(
    "content", [b"<html>", b"\xff\xfe{", b"[" * 100_000, b""], ids=["html", "not utf-8", "deep", "empty"]
)
def test_an_answer_that_is_not_json_may_be_another_one_at_the_next_try(
    tmp_path: Path, serve: Callable[..., str], content: bytes
) -> None:
    handler = answering(content)
    settings = settings_of(tmp_path, serve(handler))
    with pytest.raises(BillsUnavailableError, match="OpenAI answers HTTP 200: its answer is not JSON"):
        pull_one(settings)
    assert len(handler.asked) == 3


def test_an_answer_without_end_is_left(
    tmp_path: Path, serve: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client_module, "MAX_PAGE_BYTES", 100_000)
    settings = settings_of(tmp_path, serve(answering(b" " * 200_000)))
    with pytest.raises(BillsRefusedError, match="more than 100,000 bytes, which no page has"):
        pull_one(settings)


@pytest.mark.parametrize("api", APIS, ids=lambda api: api.format)
def test_the_key_follows_no_redirect(tmp_path: Path, serve: Callable[..., str], api: BillApi) -> None:
    elsewhere = answering(b"{}")
    handler = answering(b"", 302, Location=f"{serve(elsewhere)}/stolen")
    settings = settings_of(tmp_path, serve(handler))
    with pytest.raises(BillsRefusedError, match="refuses, HTTP 302"):
        pull_one(settings, api)
    assert elsewhere.asked == []


def test_a_netrc_does_not_replace_the_key(
    tmp_path: Path, serve: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login me password mine\n", encoding="utf-8")
    monkeypatch.setenv("NETRC", str(netrc))
    handler = answering(openai_page("2025-10-01"))
    pull_one(settings_of(tmp_path / "home", serve(handler)))
    assert handler.asked[0]["Authorization"] == f"Bearer {OPENAI_KEY}"


def test_an_error_shows_its_message_and_nothing_else_of_the_answer(
    tmp_path: Path, serve: Callable[..., str]
) -> None:
    content = json.dumps(
        {"error": {"message": f"no {OPENAI_KEY}\nhere" + "x" * 500, "who": "ann@example.com"}}
    ).encode()
    settings = settings_of(tmp_path, serve(answering(content, 400)))
    with pytest.raises(BillsRefusedError) as caught:
        pull_one(settings)
    assert str(caught.value).startswith("OpenAI refuses, HTTP 400: no *** herexxx")
    assert len(str(caught.value)) < 250
    assert "ann@example.com" not in str(caught.value)


# ---- whole runs

LEDGER = ledger_file("october.jsonl", [deposit("d1", "2026-09-01T10:00:30Z", "10")])


def run(home: Path, url: str, **more: Any) -> RunResult:
    return run_pipeline(
        home,
        openai_admin_key=OPENAI_KEY,
        anthropic_admin_key=ANTHROPIC_KEY,
        openrouter_management_key=OPENROUTER_KEY,
        openai_api_base=url,
        anthropic_api_base=url,
        openrouter_api_base=url,
        bills_first_day=datetime.now(UTC).date() - timedelta(days=9),
        **more,
    )


def query(home: Path, sql: str) -> list[Any]:
    with duckdb.connect(str(home / "published" / "warehouse.duckdb"), read_only=True) as connection:
        return connection.execute(sql).fetchall()


@pytest.mark.slow
@pytest.mark.timeout(0)
def test_a_run_pulls_and_goes_on_without_what_it_cannot_pull(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    today = datetime.now(UTC).date()
    land_files(tmp_path, [LEDGER])
    with (
        running(bills(today - timedelta(days=9), today)) as server,
        kept_materializations() as instance,
    ):
        server.faults.server_error(PATHS["anthropic_costs"], None)
        result = run(tmp_path, server.url, bills_deadline_seconds=1, instance=instance)
        assert result.exit_code == 0, result
        metadata = {
            api: event.asset_materialization.metadata
            for api in APIS
            if (event := instance.get_latest_materialization_event(bill_key(api))) is not None
            and event.asset_materialization is not None
        }
        assert metadata[OPENAI]["new or changed days"].value == 9
        assert metadata[OPENROUTER]["new files"].value == 1
        assert "HTTP 500" in str(metadata[ANTHROPIC]["pull failed"].value)
        assert query(tmp_path, "select source from ops.failed_pulls") == [("bills/anthropic_costs",)]
        assert "bills/anthropic_costs could not be pulled" in result.output
        settings = settings_of(tmp_path, server.url)
        assert "bills/anthropic_costs could not be pulled on" in "\n".join(status_lines(settings))

        server.faults.clear()
        result = run(tmp_path, server.url)
        assert result.exit_code == 0, result
        assert "could not be pulled" not in result.output
        assert failed_pulls(settings.home) == []
        assert [len(landed(settings, api)) for api in APIS] == [1, 1, 1]
    keys = (OPENAI_KEY, ANTHROPIC_KEY, OPENROUTER_KEY)
    found = [
        path
        for path in tmp_path.rglob("*")
        if path.is_file() and any(key.encode() in path.read_bytes() for key in keys)
    ]
    assert found == []
    assert not any(key in caplog.text or key in str(result) for key in keys)


def test_without_a_key_nothing_is_requested_and_an_old_failure_is_forgotten(tmp_path: Path) -> None:
    settings = settings_of(tmp_path, NOWHERE, bills_deadline_seconds=0)
    land_files(tmp_path, [LEDGER])
    metadata = bill_pull_module.bill_pull(settings, OPENAI, print, print)
    assert "OpenAI cannot be reached" in metadata["pull failed"]
    assert [failure.source for failure in failed_pulls(settings.home)] == ["bills/openai_costs"]
    without = load_settings(_env_file=None, warehouse_home=tmp_path, openai_api_base=NOWHERE)
    assert bill_pull_module.bill_pull(without, OPENAI, print, print) == {
        "new files": 0,
        "new or changed days": 0,
        "requested days": 0,
        "pull": "OPENAI_ADMIN_KEY is not set: only files in the landing area are loaded",
    }
    assert failed_pulls(settings.home) == []


def test_bills_alone_are_nothing_to_publish(tmp_path: Path) -> None:
    settings = settings_of(tmp_path, NOWHERE, bills_deadline_seconds=0)
    with pytest.raises(dg.Failure, match="Nothing else has landed"):
        bill_pull_module.bill_pull(settings, OPENAI, print, print)


def test_a_pull_is_tried_again_until_the_deadline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Waits of 5, 15, 45 and 135 s: within 30 s there is time for two of them."""
    now, asked = [100.0], []

    def down(*_: Any, deadline: float, **__: Any) -> Any:
        asked.append((now[0], deadline))
        raise BillsUnavailableError("down")

    monkeypatch.setattr(bill_pull_module, "pull_bills", down)
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    monkeypatch.setattr(time, "sleep", lambda seconds: now.__setitem__(0, now[0] + seconds))
    land_files(tmp_path, [LEDGER])
    settings = settings_of(tmp_path, NOWHERE, bills_deadline_seconds=30)
    bill_pull_module.pull_bills_or_go_on(settings, OPENAI, print, print)
    assert asked == [(100, 130), (105, 130), (120, 130)]


def test_a_pull_that_is_killed_at_any_moment_is_taken_up_again(
    settings: Settings, server: BillServer
) -> None:
    """Real processes and SIGKILL, at moments that nobody chose."""
    chance = Random(7)
    for _ in range(25):
        process = multiprocessing.get_context("fork").Process(
            target=lambda: [pull_one(settings, api) for api in APIS]
        )
        process.start()
        time.sleep(chance.uniform(0, 0.15))
        process.kill()
        process.join()
    for api in APIS:
        pull_one(settings, api)
        stated = Counter(
            day_of(bucket)
            for file in landed(settings, api)
            for page in pages(file)
            for bucket in page["data"]
        )
        # Days of the look-back may be in a file that was killed before it was known, and again in the next.
        assert stated.keys() == set(days(FIRST, TODAY))
        assert pull_one(settings, api).files == []


# ---- pulled and landed bills


def land_by_hand(pulled: Settings, home: Path) -> None:
    """Land what was pulled as a person may: other names and shapes, and the days in another order."""
    for api in APIS:
        rows = [row for file in landed(pulled, api) for page in pages(file) for row in page["data"]]
        folder = home / "landing" / "bills" / api.format
        folder.mkdir(parents=True)
        half = len(rows) // 2
        (folder / "later.json").write_text(json.dumps({"data": rows[half:]}), encoding="utf-8")
        lines = "".join(f"{json.dumps(row)}\n" for row in reversed(rows[:half]))
        (folder / "earlier.jsonl").write_text(lines, encoding="utf-8")


@pytest.mark.soak
def test_pulled_and_landed_bills_give_the_same_tables(tmp_path: Path, settings: Settings) -> None:
    by_hand = tmp_path / "by hand"
    for api in APIS:
        pull_one(settings, api)
    land_by_hand(settings, by_hand)
    stated = {"model": "openai/gpt-5-nano", "prompt_tokens": 1000, "provider_cost": "0.00383598"}
    charges = [charge(f"on {day}", f"{day}T12:00:00Z", **stated) for day in days(FIRST, TODAY)]
    found = []
    for home in (settings.home.root, by_hand):
        land_files(home, [ledger_file("a.jsonl", charges)])
        publish_home(home, as_of="2025-10-25T00:00:00Z")
        published = Published(home)
        lines = published.rows("(select * exclude (bill_line_id, path, line) from marts.fct_bill_lines)")
        cases, months, profit = (
            published.rows(f"marts.{mart}")
            for mart in ("fct_cost_reconciliation", "rpt_cost_reconciliation_months", "rpt_profit_at_bill")
        )
        # 19 days of three providers. Of OpenAI's, the ledger says the same.
        assert (len(lines), [row["status"] for row in cases].count("matched")) == (57, 19)
        found.append([sorted(map(repr, rows)) for rows in (lines, cases, months, profit)])
    assert found[0] == found[1]
