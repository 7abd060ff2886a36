"""Dagster's UI behind its door: everything works for whoever opens it, and no page elsewhere operates it."""

import http.server
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from shutil import copytree
from typing import Any
from urllib.parse import urlencode

import dagster as dg
import psutil
import pytest
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load_target import EmptyWorkspaceTarget
from dagster_webserver.app import create_app_from_workspace_process_context
from playwright.sync_api import Browser
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from orchestration.instance import open_instance
from orchestration.web_ui.server import guarded
from paywall_warehouse.home import Home
from paywall_warehouse.settings import load_settings
from paywall_warehouse.web.guard import SECURITY_HEADERS
from tests.support.browser import TIMEOUT_MS
from tests.support.command import COMMAND, command, environment

OWN = "http://localhost:3000"
EVIL = "http://evil.example"
JSON = {"Content-Type": "application/json"}
# Something that is seen to have happened.
MUTATION = 'mutation { setConcurrencyLimit(concurrencyKey: "door", limit: 3) }'
QUERY = "{ version }"


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WorkspaceProcessContext]:
    """What Dagster's web server works with: an instance in files, and no code."""
    with (
        open_instance(Home(tmp_path_factory.mktemp("ui") / "home")) as instance,
        WorkspaceProcessContext(instance, EmptyWorkspaceTarget(), version="1.0") as workspace,
    ):
        yield workspace


@pytest.fixture
def instance(workspace: WorkspaceProcessContext) -> dg.DagsterInstance:
    workspace.instance.event_log_storage.delete_concurrency_limit("door")
    return workspace.instance


def opened(
    workspace: WorkspaceProcessContext, listens_on: str = "127.0.0.1", base: str = OWN, **settings: Any
) -> TestClient:
    """Dagster's own application behind the door."""
    app = create_app_from_workspace_process_context(workspace)
    door = guarded(load_settings(_env_file=None, **settings), app, listens_on)
    return TestClient(door, base, follow_redirects=False, raise_server_exceptions=False)


@pytest.fixture
def client(workspace: WorkspaceProcessContext) -> TestClient:
    return opened(workspace)


def happened(instance: dg.DagsterInstance) -> bool:
    """Whether the mutation ran."""
    return any(limit.name == "door" for limit in instance.event_log_storage.get_pool_limits())


# ---- plain requests


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Origin": OWN},
        {"Origin": OWN, "Sec-Fetch-Site": "same-origin"},
        {"Content-Type": "application/json; charset=utf-8"},
    ],
)
def test_its_own_pages_and_programs_may_change_things(
    instance: dg.DagsterInstance, client: TestClient, headers: dict[str, str]
) -> None:
    answer = client.post("/graphql", content=json.dumps({"query": MUTATION}), headers=JSON | headers)
    assert answer.json() == {"data": {"setConcurrencyLimit": True}}
    assert happened(instance)


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": EVIL},
        {"Origin": "null"},
        {"Origin": "http://localhost:9999"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Host": "evil.example:3000", "Origin": "http://evil.example:3000"},
        {"Host": "evil.example:3000"},
        {"Host": "192.168.1.5:3000"},
        {"Host": ""},
    ],
)
def test_pages_elsewhere_and_other_names_change_nothing(
    instance: dg.DagsterInstance, client: TestClient, headers: dict[str, str]
) -> None:
    body = json.dumps({"query": MUTATION})
    for path in (
        "/graphql",
        "/report_asset_materialization/raw/ledger_entries",
        "/report_asset_check/raw/ledger_entries",
    ):
        assert client.post(path, content=body, headers=JSON | headers).status_code == 403
    assert not happened(instance)


@pytest.mark.parametrize(
    "query",
    [
        {"query": MUTATION},
        [("query", QUERY), ("query", MUTATION)],
        [("query", MUTATION), ("query", QUERY)],
        {
            "query": f"query harmless {QUERY} {MUTATION.replace('mutation', 'mutation other')}",
            "operationName": "other",
        },
        {
            "query": f"query harmless {QUERY} {MUTATION.replace('mutation', 'mutation other')}",
            "operationName": "harmless",
        },
        {"query": f"# {QUERY}\n{MUTATION}"},
        {"query": 'subscription { pipelineRunLogs(runId: "x") { __typename } }'},
    ],
)
@pytest.mark.parametrize("path", ["/graphql", "/%67raphql"])
@pytest.mark.parametrize("accept", ["*/*", "text/html"])
def test_reading_changes_nothing(
    instance: dg.DagsterInstance, client: TestClient, query: Any, path: str, accept: str
) -> None:
    answer = client.get(f"{path}?{urlencode(query)}", headers={"Accept": accept})
    assert (answer.status_code, answer.text.partition(":")[0]) == (405, "GET reads only")
    assert not happened(instance)


def test_a_query_may_be_asked_by_get(client: TestClient) -> None:
    assert client.get("/graphql", params={"query": QUERY}).json() == {"data": {"version": "1.0"}}
    two = "query a { version } query b { version } fragment f on Query { version }"
    assert client.get("/graphql", params={"query": two, "operationName": "a"}).status_code in (200, 400)
    assert client.get("/graphql", headers={"Accept": "text/html"}).status_code == 200
    for broken in ("{", "mutation", "{a" * 10_000):
        assert client.get("/graphql", params={"query": broken}).status_code == 400


@pytest.mark.parametrize(
    "content_type",
    [
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "text/plain",
        "text/plain; application/json",
        "",
        "x",
    ],
)
def test_only_json_is_taken_for_a_query(
    instance: dg.DagsterInstance, client: TestClient, content_type: str
) -> None:
    """Of these content types a page may send any elsewhere without asking, and Dagster takes JSON wherever
    the name has the word.
    """
    headers = {"Content-Type": content_type} if content_type else {}
    for path, body in (
        ("/graphql", json.dumps({"query": MUTATION})),
        (f"/graphql?{urlencode({'query': MUTATION})}", ""),
    ):
        assert client.post(path, content=body, headers=headers).status_code == 415
    assert not happened(instance)


def test_several_queries_in_one_request_are_refused(instance: dg.DagsterInstance, client: TestClient) -> None:
    answer = client.post(
        "/graphql", content=f" {json.dumps([{'query': QUERY}, {'query': MUTATION}])}", headers=JSON
    )
    assert (answer.status_code, answer.text) == (400, "Send one query per request, as a JSON object.\n")
    assert not happened(instance)


def websocket_opens(client: TestClient, **headers: str) -> bool:
    try:
        with client.websocket_connect(
            f"ws://{client.base_url.netloc.decode()}/graphql", ["graphql-ws"], headers=headers
        ) as websocket:
            websocket.send_json({"type": "connection_init"})
            return bool(websocket.receive_json() == {"type": "connection_ack"})
    except WebSocketDisconnect:
        return False


def test_the_websocket_is_for_its_own_pages_and_for_programs(client: TestClient) -> None:
    assert websocket_opens(client)
    assert websocket_opens(client, Origin=OWN)
    for headers in (
        {"Origin": EVIL},
        {"Origin": "null"},
        {"Origin": "http://localhost:9999"},
        {"Host": "evil.example"},
    ):
        assert not websocket_opens(client, **headers)


def test_it_answers_to_its_own_names_and_to_those_that_are_stated(workspace: WorkspaceProcessContext) -> None:
    def status(listens_on: str, host: str, **settings: Any) -> int:
        return (
            opened(workspace, listens_on, f"http://{host}", **settings)
            .get("/graphql", params={"query": QUERY})
            .status_code
        )

    for host in ("localhost:3000", "127.0.0.1:3000", "[::1]:3000"):
        assert status("127.0.0.1", host) == 200
    assert status("127.0.0.1", "dagster.example") == 403
    assert status("127.0.0.1", "dagster.example", dagster_ui_hosts="other.example, Dagster.example") == 200
    assert status("0.0.0.0", "192.168.1.5:3000") == 200
    assert status("0.0.0.0", "dagster.example") == 403


def test_every_answer_has_the_security_headers(client: TestClient) -> None:
    for answer in (
        client.get("/graphql", params={"query": QUERY}),
        client.get("/x", headers={"Host": "evil.example"}),
    ):
        assert {name: answer.headers[name] for name in SECURITY_HEADERS} == SECURITY_HEADERS
    # Dagster's own page has rules of its own for scripts, and no frame shows it.
    page = client.get("/runs")
    assert page.headers["x-frame-options"] == "DENY"
    assert "nonce-" in page.headers["content-security-policy"]


# ---- the command


class Ui:
    """`paywall-warehouse ui` at work."""

    def __init__(self, process: "subprocess.Popen[str]", address: str) -> None:
        self.process, self.address = process, address

    @property
    def port(self) -> str:
        return self.address.rpartition(":")[2]

    def ask(self, query: str) -> Any:
        """The answer to a query, once the server has started."""
        request = urllib.request.Request(
            f"{self.address}/graphql", json.dumps({"query": query}).encode(), JSON
        )
        with urllib.request.urlopen(request, timeout=180) as answer:
            return json.load(answer)["data"]

    def last_run(self) -> dict[str, str]:
        results = self.ask("{ runsOrError(limit: 1) { ... on Runs { results { runId status } } } }")[
            "runsOrError"
        ]["results"]
        return dict(results[0]) if results else {}

    def has_limit(self) -> bool:
        limits = self.ask("{ instance { concurrencyLimits { concurrencyKey } } }")["instance"][
            "concurrencyLimits"
        ]
        return any(limit["concurrencyKey"] == "door" for limit in limits)

    def end(self, by: signal.Signals) -> tuple[int, list[psutil.Process]]:
        """Its exit code, and which of its processes are left."""
        children = psutil.Process(self.process.pid).children(recursive=True)
        assert len(children) >= 3  # the daemon, the code server, and the process that this starts
        self.process.send_signal(by)
        code = self.process.wait(90)
        return code, psutil.wait_procs(children, timeout=20)[1]


@contextmanager
def serving_ui(home: Path, cwd: Path, *arguments: str) -> Iterator[Ui]:
    log = cwd / "ui.log"
    with log.open("w", encoding="utf-8") as said:
        process = subprocess.Popen(
            [COMMAND, "ui", "--port", "0", *arguments],
            env=environment(home),
            cwd=cwd,
            stdout=said,
            stderr=said,
            text=True,
            start_new_session=True,
            # As a shell starts what it puts into the background.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN),  # noqa: PLW1509
        )
    try:
        deadline = time.monotonic() + 120
        while not (
            lines := [
                line for line in log.read_text(encoding="utf-8").splitlines() if line.startswith("http://")
            ]
        ):
            assert process.poll() is None, log.read_text(encoding="utf-8")
            assert time.monotonic() < deadline
            time.sleep(0.1)
        yield Ui(process, lines[0].split()[0])
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


# What a page elsewhere can make a browser send, of which each would set the limit.
PAGE = """<!doctype html><title>elsewhere</title><body><script>
const target = %(target)s, mutation = %(mutation)s, body = JSON.stringify({query: mutation});
const get = `${target}/graphql?${new URLSearchParams({query: mutation})}`;
const send = (mode, type, body) =>
    fetch(`${target}/graphql`, {method: 'POST', mode, headers: {'Content-Type': type}, body});
const socket = () => new Promise((resolve) => {
    const opened = new WebSocket(target.replace('http', 'ws') + '/graphql', 'graphql-ws');
    opened.onopen = () => { window.opened = true; resolve(); };
    opened.onerror = opened.onclose = resolve;
});
const framed = () => new Promise((resolve) => {
    document.body.insertAdjacentHTML('beforeend', '<iframe name="inside"></iframe>');
    const form = document.createElement('form');
    Object.assign(form, {method: 'POST', action: get, target: 'inside'});
    document.body.append(form);
    form.submit();
    setTimeout(resolve, 1000);
});
window.done = Promise.allSettled([
    fetch(get), fetch(get, {mode: 'no-cors'}),
    new Promise((resolve) => { const image = new Image(); image.onerror = resolve; image.src = get; }),
    send('no-cors', 'text/plain', body), send('no-cors', 'text/plain; application/json', body),
    send('no-cors', 'application/x-www-form-urlencoded', 'query=' + mutation),
    send('cors', 'application/json', body),
    Promise.resolve(navigator.sendBeacon(get, body)), socket(), framed(),
]);
</script>"""


@contextmanager
def page_elsewhere(target: str) -> Iterator[str]:
    """A web page on another port that tries everything; its address."""
    page = (PAGE % {"target": json.dumps(target), "mutation": json.dumps(MUTATION)}).encode()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(page)

        def log_message(self, *_: Any) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}/"
        server.shutdown()


@pytest.mark.slow
def test_the_command_serves_the_assets_and_leaves_no_process(tmp_path: Path) -> None:
    with serving_ui(tmp_path / "home", tmp_path) as ui:
        assert "fct_ledger_entries" in json.dumps(ui.ask("{ assetNodes { assetKey { path } } }"))
        assert ui.end(signal.SIGTERM) == (0, [])
    assert "Traceback" not in (tmp_path / "ui.log").read_text(encoding="utf-8")


@pytest.mark.soak
@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_ui_works_in_a_browser_and_no_page_elsewhere_operates_it(
    first_run: tuple[Path, subprocess.CompletedProcess[str]], tmp_path: Path, browser: Browser
) -> None:
    home = Path(copytree(first_run[0], tmp_path / "home"))
    (tmp_path / "elsewhere").mkdir()
    with serving_ui(home, tmp_path / "elsewhere") as ui:
        names = json.dumps(ui.ask("{ assetNodes { assetKey { path } } }"))
        assert "fct_ledger_entries" in names
        page = browser.new_page(viewport={"width": 1600, "height": 1000})
        page.set_default_timeout(2 * TIMEOUT_MS)
        complaints: list[str] = []
        page.on(
            "console", lambda message: complaints.append(message.text) if message.type == "error" else None
        )
        page.on(
            "request",
            lambda request: (
                None
                if request.url.startswith((ui.address, "data:", "blob:"))
                else complaints.append(request.url)
            ),
        )
        received: list[str] = []
        page.on(
            "websocket", lambda socket: socket.on("framereceived", lambda frame: received.append(str(frame)))
        )

        page.goto(f"{ui.address}/asset-groups")
        page.get_by_text("published").first.wait_for()
        page.get_by_text("intermediate").first.wait_for()

        before = ui.last_run()
        page.goto(f"{ui.address}/locations/__repository__@paywall_warehouse/jobs/export")
        page.get_by_role("button", name="Materialize all").first.click()
        deadline = time.monotonic() + 180
        while (run := ui.last_run()) == before:
            assert time.monotonic() < deadline
            page.wait_for_timeout(200)
        page.goto(f"{ui.address}/runs/{run['runId']}")
        page.get_by_text("RUN_SUCCESS").first.wait_for(timeout=240_000)
        assert any('"pipelineRunLogs"' in frame and run["runId"] in frame for frame in received)
        assert complaints == []

        with page_elsewhere(ui.address) as address:
            elsewhere = browser.new_page()
            elsewhere.goto(address)
            outcomes = elsewhere.evaluate("window.done.then((all) => all.length)")
            assert (outcomes, elsewhere.evaluate("window.opened")) == (10, None)
        assert not ui.has_limit()
        # What it tried does what it says where it may be sent.
        assert ui.ask(MUTATION) == {"setConcurrencyLimit": True}
        assert ui.has_limit()

        page.close()
        assert ui.end(signal.SIGTERM) == (0, [])
    assert "Traceback" not in (tmp_path / "elsewhere" / "ui.log").read_text(encoding="utf-8")


@pytest.mark.soak
@pytest.mark.slow
def test_ctrl_c_ends_it_also_while_it_starts(tmp_path: Path) -> None:
    with serving_ui(tmp_path / "home", tmp_path) as ui:
        deadline = time.monotonic() + 120
        while len(psutil.Process(ui.process.pid).children(recursive=True)) < 1:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        children = psutil.Process(ui.process.pid).children(recursive=True)
        ui.process.send_signal(signal.SIGINT)
        assert ui.process.wait(90) == 0, (tmp_path / "ui.log").read_text(encoding="utf-8")
        assert psutil.wait_procs(children, timeout=30)[1] == []


LEAVES_CHILDREN = """
import subprocess, sys
from orchestration.web_ui import children

children.END_SECONDS = 1
stubborn = '''
import signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("ready", flush=True)
time.sleep(60)
'''
with children.no_child_survives():
    obedient = subprocess.Popen(["sleep", "60"])
    other = subprocess.Popen([sys.executable, "-c", stubborn], stdout=subprocess.PIPE)
    other.stdout.readline()
    print(obedient.pid, other.pid, flush=True)
    raise KeyboardInterrupt
"""


def test_an_interrupted_command_leaves_no_child_behind_not_even_one_that_ignores_sigterm() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", LEAVES_CHILDREN], check=False, capture_output=True, text=True, timeout=60
    )
    assert "KeyboardInterrupt" in ended.stderr
    children = [int(number) for number in ended.stdout.split()]
    assert len(children) == 2
    # Killed at once; the system may take a moment to drop them.
    running = [psutil.Process(child) for child in children if psutil.pid_exists(child)]
    assert psutil.wait_procs(running, timeout=10)[1] == []


@pytest.mark.soak
def test_the_command_reports_the_end_of_the_daemon(tmp_path: Path) -> None:
    with serving_ui(tmp_path / "home", tmp_path) as ui:
        ui.ask(QUERY)
        [daemon] = [
            one for one in psutil.Process(ui.process.pid).children() if "dagster._daemon" in one.cmdline()
        ]
        daemon.kill()
        assert ui.process.wait(90) == 1
    assert "ended by itself" in (tmp_path / "ui.log").read_text(encoding="utf-8")


@pytest.mark.slow
def test_a_port_that_is_taken_is_named_before_anything_starts(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = command(tmp_path / "home", "ui", "--port", str(port))
    assert done.returncode == 2
    assert done.stderr.startswith(f"http://127.0.0.1:{port} cannot be listened on: Address already in use")
