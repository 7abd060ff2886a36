"""Messages arrive once when an alert opens and once when it resolves, whatever receivers and kills do."""

import hashlib
import hmac
import os
import signal
import socketserver
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from orchestration.alert_delivery.deliver import deliver, notify_failed_run, send_test
from orchestration.alert_delivery.routes import Sender
from paywall_warehouse.settings import Settings
from tests.support.alert_homes import alert_home, at, publication
from tests.support.loopback.receiver_of_alerts import Receiver, alert_receiver
from warehouse.alerts.definitions import read_alerts, read_home
from warehouse.alerts.evaluate import evaluate_clock, evaluate_publication
from warehouse.alerts.findings import Finding
from warehouse.alerts.state import evaluated, read_state, write_state
from warehouse.runs import FAILED, PUBLISHED, Run, append_run

DAY = at(date(2026, 10, 22))
QUICK = Sender(timeout=0.5)
SECRET = "the-secret-of-the-signature"
HOOK = """
title: Acme
routes:
  pager: {type: webhook, url_env: ALERTS_URL, secret_env: ALERTS_SECRET}
rules:
  - {name: run_failed, type: run_failed}
"""


@pytest.fixture
def receiver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    with alert_receiver() as one:
        monkeypatch.setenv("ALERTS_URL", one.url)
        monkeypatch.setenv("ALERTS_SECRET", SECRET)
        yield one


def fail(settings: Settings, status: str = FAILED) -> None:
    append_run(settings.home, Run("run", DAY, DAY, DAY, status, 0, 0, "1", "failed checks: reject_ratio"))


def publish(settings: Settings) -> None:
    """Evaluate as a run does that publishes, without one."""
    run = Run("run", DAY, DAY, DAY, PUBLISHED, 0, 0, "1")
    with publication(DAY.date()) as connection:
        evaluate_publication(connection, settings, [run])
    append_run(settings.home, run)


def test_a_failed_run_and_its_end_arrive_once_each(tmp_path: Path, receiver: Receiver) -> None:
    settings = alert_home(tmp_path, HOOK)
    for _ in range(3):
        fail(settings)
        notify_failed_run(settings)
    for _ in range(3):
        publish(settings)
        deliver(settings, QUICK)
    assert receiver.events == [("alert.opened", "run_failed"), ("alert.resolved", "run_failed")]
    assert len(receiver.requests) == 2
    opened, resolved = (one.payload for one in receiver.requests)
    assert opened["title"] == "Acme"
    assert "failed checks: reject_ratio" in opened["alerts"][0]["summary"]
    assert opened["alerts"][0]["alert_id"] == resolved["alerts"][0]["alert_id"]
    (alert,) = read_state(settings.home).alerts
    assert alert.notified_at is not None
    assert alert.resolution_notified_at is not None


def test_the_body_is_signed_with_its_time(tmp_path: Path, receiver: Receiver) -> None:
    settings = alert_home(tmp_path, HOOK)
    fail(settings)
    notify_failed_run(settings)
    (request,) = receiver.requests
    signed = request.headers["x-paywall-warehouse-timestamp"].encode() + b"." + request.body
    expected = hmac.new(SECRET.encode(), signed, hashlib.sha256).hexdigest()
    assert request.headers["x-paywall-warehouse-signature"] == f"sha256={expected}"
    alert = request.payload["alerts"][0]
    assert request.key == f"{alert['alert_id']}-1-opened" == request.payload["key"]


@pytest.mark.parametrize("fault", ["error", "too many", "hang", "hang after taking", "cut", "redirect"])
def test_a_fault_is_tried_again_by_the_next_run_with_the_same_key(
    tmp_path: Path, receiver: Receiver, fault: str
) -> None:
    settings = alert_home(tmp_path, HOOK)
    faults = receiver.faults
    match fault:
        case "error":
            faults.server_error("/hooks", times=2)
        case "too many":
            faults.rate_limit("/hooks", times=2)
        case "hang":
            faults.hang("/hooks", times=2, seconds=3)
        case "hang after taking":
            faults.hang("/hooks", times=2, seconds=3, executed=True)
        case "cut":
            faults.cut("/hooks", times=2, keep=0)
        case "redirect":
            faults.server_error("/hooks", times=2, status=307)
    fail(settings)
    evaluate_clock(settings)
    assert deliver(settings, QUICK) == 0
    state = read_state(settings.home)
    assert state.alerts[0].notified_at is None
    assert "SECRET" not in state.failures["pager"].reason
    assert deliver(settings, QUICK) == 0
    assert deliver(settings, QUICK) == 1
    assert deliver(settings, QUICK) == 0
    assert len(receiver.requests) == 3
    assert len({one.key for one in receiver.requests}) == 1
    state = read_state(settings.home)
    assert (state.messages, state.failures) == ((), {})


def test_a_route_that_fails_holds_up_no_other(
    tmp_path: Path, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = HOOK.replace("rules:", "  broken: {type: slack, url_env: NOT_SET}\nrules:")
    settings = alert_home(tmp_path, text)
    fail(settings)
    notify_failed_run(settings)
    assert len(receiver.taken) == 1
    state = read_state(settings.home)
    assert state.failures["broken"].reason == "the environment variable NOT_SET is not set"
    assert state.messages[0].routes == ("broken",)
    monkeypatch.setenv("NOT_SET", receiver.url)
    assert deliver(settings, QUICK) == 1
    assert len(receiver.taken) == 2


def test_a_message_that_is_refused_holds_up_no_other(tmp_path: Path, receiver: Receiver) -> None:
    settings = alert_home(tmp_path, HOOK)
    alerts_file = read_home(settings.home)
    assert alerts_file is not None
    findings = [Finding("usd", "a"), Finding("eur", "b")]
    write_state(
        settings.home,
        evaluated(read_state(settings.home), alerts_file.rules, {"run_failed": findings}, {}, DAY),
    )
    receiver.faults.server_error("/hooks", status=400)
    assert deliver(settings, QUICK) == 1
    assert deliver(settings, QUICK) == 1
    assert len(receiver.requests) == 3


def test_a_budget_limits_how_long_a_run_waits(tmp_path: Path, receiver: Receiver) -> None:
    settings = alert_home(tmp_path, HOOK)
    fail(settings)
    receiver.faults.hang("/hooks", times=None, seconds=30)
    evaluate_clock(settings)
    assert deliver(settings, QUICK, budget=0) == 0
    assert receiver.requests == []


KILLED = """
import sys
from pathlib import Path
from orchestration.alert_delivery.deliver import deliver
from paywall_warehouse.settings import load_settings
print("ready", flush=True)
sys.stdin.readline()
deliver(load_settings(_env_file=None, warehouse_home=Path(sys.argv[1])))
"""


def test_a_process_killed_after_sending_sends_again_with_the_same_key(
    tmp_path: Path, receiver: Receiver
) -> None:
    settings = alert_home(tmp_path, HOOK)
    fail(settings)
    evaluate_clock(settings)
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(settings.home.root)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    )
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdout.readline()
    receiver.before_answer = lambda: os.kill(process.pid, signal.SIGKILL)
    process.stdin.write("\n")
    process.stdin.flush()
    assert process.wait(60) == -signal.SIGKILL
    receiver.before_answer = lambda: None
    assert deliver(settings, QUICK) == 1
    assert deliver(settings, QUICK) == 0
    assert len(receiver.requests) == 2
    assert len({one.key for one in receiver.requests}) == 1
    assert receiver.events == [("alert.opened", "run_failed")]


def test_processes_that_deliver_at_the_same_time_send_once(tmp_path: Path, receiver: Receiver) -> None:
    settings = alert_home(tmp_path, HOOK)
    fail(settings)
    evaluate_clock(settings)
    receiver.before_answer = lambda: time.sleep(0.2)
    with ThreadPoolExecutor(4) as threads:
        sent = list(threads.map(lambda _: deliver(settings, Sender()), range(4)))
    assert sorted(sent) == [0, 0, 0, 1]
    assert len(receiver.requests) == 1


def test_a_publication_that_is_killed_before_it_sends_is_sent_by_the_next(
    tmp_path: Path, receiver: Receiver
) -> None:
    settings = alert_home(tmp_path, HOOK)
    fail(settings)
    notify_failed_run(settings)
    # The first run is killed after it has written the message down, the second one published nothing new.
    publish(settings)
    publish(settings)
    deliver(settings, QUICK)
    assert receiver.events == [("alert.opened", "run_failed"), ("alert.resolved", "run_failed")]
    assert len(receiver.requests) == 2


def test_without_a_file_nothing_is_evaluated_written_or_sent(tmp_path: Path) -> None:
    settings = alert_home(tmp_path, HOOK)
    settings.home.alerts_file.unlink()
    fail(settings)
    notify_failed_run(settings)
    with publication(DAY.date()) as connection:
        evaluate_publication(connection, settings, [])
        assert connection.execute("select count(*) from ops.alerts").fetchall() == [(0,)]
    assert not settings.home.alerts_state_file.exists()
    assert list(settings.home.root.glob(".alerts*")) == []


def test_a_file_that_is_wrong_fails_no_publication(tmp_path: Path) -> None:
    settings = alert_home(tmp_path, "rules: 5")
    publish(settings)
    notify_failed_run(settings)


def test_a_rule_that_cannot_be_evaluated_is_shown_and_keeps_its_alerts(tmp_path: Path) -> None:
    settings = alert_home(tmp_path, "rules: [{name: checks, type: checks}]")
    with publication(DAY.date()) as connection:
        connection.execute("insert into ops.invariants values ('a_check', 'usd', 0, 1, false, 'run', 'warn')")
        evaluate_publication(connection, settings, [])
        connection.execute("drop table ops.invariants")
        evaluate_publication(connection, settings, [])
        rows = connection.execute("select rule, scope, resolved_at from ops.alerts").fetchall()
    assert rows == [("checks", "a_check usd", None)]
    assert "invariants" in read_state(settings.home).problems["checks"]


IDS = """
routes: {{team: {{type: webhook, url_env: ALERTS_URL, secret_env: ALERTS_SECRET}}}}
rules:
  - {{name: low, type: balances, below: 1, with_ids: {ids}}}
  - {{name: breaks, type: breaks, of: payments, with_ids: {ids}}}
"""


@pytest.mark.parametrize("ids", [False, True])
def test_ids_leave_only_if_the_rule_says_so(tmp_path: Path, receiver: Receiver, ids: bool) -> None:
    settings = alert_home(tmp_path, IDS.format(ids=str(ids).lower()))
    file = settings.home.published_file
    file.parent.mkdir(parents=True)
    with publication(DAY.date()) as connection:
        connection.execute("insert into marts.rpt_users values ('user-alice', 'usd', 0.5)")
        connection.execute("insert into marts.fct_wallet_days values ('user-alice', 'usd', '2026-10-01')")
        connection.execute(
            """insert into marts.fct_reconciliation values ('deposit:topup-user-alice', 'stripe',
            'ledger_only', 1, 'break', 20, null, 'usd', null, 5, '2026-10-20')"""
        )
        evaluate_publication(connection, settings, [])
        connection.execute(f"attach '{file}' as published")
        connection.execute("copy from database memory to published")
        connection.execute("detach published")
    deliver(settings, QUICK)
    assert len(receiver.taken) == 2
    named = [b"user-alice" in one.body for one in receiver.taken]
    assert named == [ids, ids]
    balances = next(one for one in receiver.taken if one.payload["rule"] == "low")
    assert balances.payload.get("users") == (["user-alice"] if ids else None)


def test_test_messages_are_marked_and_change_nothing(tmp_path: Path, receiver: Receiver) -> None:
    settings = alert_home(tmp_path, HOOK)
    alerts_file = read_home(settings.home)
    assert alerts_file is not None
    (trial,) = send_test(alerts_file, alerts_file.rules[0], QUICK)
    assert (trial.route, trial.reason) == ("pager", None)
    assert receiver.requests[0].payload["type"] == "alert.test"
    assert not settings.home.alerts_state_file.exists()
    receiver.faults.server_error("/hooks", status=503)
    (trial,) = send_test(alerts_file, None, QUICK)
    assert trial.reason == "the answer was HTTP 503"


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("http://hooks.example.com/T0/SECRET", "ALERTS_URL begins with http://; use https://, or state"),
        ("ftp://x/SECRET", "ALERTS_URL is not a URL that begins with https://"),
        ("SECRET", "ALERTS_URL is not a URL that begins with https://"),
        ("https://[SECRET", "ALERTS_URL is not a URL that begins with https://"),
        ("http://127.0.0.1:1/SECRET", "there is no connection to the host"),
    ],
)
def test_reasons_name_the_variable_and_never_the_url(
    monkeypatch: pytest.MonkeyPatch, url: str, reason: str
) -> None:
    monkeypatch.setenv("ALERTS_URL", url)
    alerts_file = read_alerts("routes: {team: {type: slack, url_env: ALERTS_URL}}", "alerts.yml")
    (trial,) = send_test(alerts_file, None, QUICK)
    assert trial.reason is not None
    assert trial.reason.startswith(reason)
    assert "SECRET" not in trial.reason


def test_texts_cannot_mention_people_in_slack(tmp_path: Path, receiver: Receiver) -> None:
    text = "routes: {team: {type: slack, url_env: ALERTS_URL}}\nrules: [{name: r, type: run_failed}]"
    settings = alert_home(tmp_path, text)
    alerts_file = read_home(settings.home)
    assert alerts_file is not None
    finding = Finding("<!channel> & co", "<!channel> & co is low.")
    write_state(
        settings.home,
        evaluated(read_state(settings.home), alerts_file.rules, {"r": [finding]}, {}, DAY),
    )
    deliver(settings, QUICK)
    assert "&lt;!channel&gt; &amp; co is low." in receiver.taken[0].payload["text"]


class _Mailbox(socketserver.StreamRequestHandler):
    """A mail server that takes one mail a connection."""

    def handle(self) -> None:
        lines: list[str] = self.server.lines  # type: ignore[attr-defined]
        self.wfile.write(b"220 mail\r\n")
        is_data = False
        for raw in self.rfile:
            line = raw.decode().rstrip("\r\n")
            lines.append(line)
            if is_data:
                is_data = line != "."
                self.wfile.write(b"" if is_data else b"250 taken\r\n")
            elif line.upper() == "DATA":
                is_data = True
                self.wfile.write(b"354 go on\r\n")
            else:
                self.wfile.write(b"221 bye\r\n" if line.lower() == "quit" else b"250 ok\r\n")
            if line.lower() == "quit":
                return


@contextmanager
def mail_server() -> Iterator[tuple[int, list[str]]]:
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), _Mailbox) as server:
        server.lines = []  # type: ignore[attr-defined]
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        try:
            yield server.server_address[1], server.lines  # type: ignore[attr-defined]
        finally:
            server.shutdown()
            thread.join()


MAIL = """
routes:
  finance: {{type: smtp, host: 127.0.0.1, port: {port}, security: {security}, from: w@example.com,
    to: [a@example.com, b@example.com]}}
rules: [{{name: run_failed, type: run_failed}}]
"""


def test_mails_have_a_message_id_made_of_the_key(tmp_path: Path) -> None:
    with mail_server() as (port, lines):
        settings = alert_home(tmp_path, MAIL.format(port=port, security="none"))
        fail(settings)
        notify_failed_run(settings)
    (alert,) = read_state(settings.home).alerts
    assert alert.notified_at is not None
    assert f"Message-ID: <{alert.alert_id}-1-opened@example.com>" in lines
    assert "Subject: [paywall-warehouse] run_failed opened" in lines
    assert any(line.startswith("rcpt TO:<b@example.com>") for line in lines)


def test_a_mail_server_without_starttls_gets_no_mail(tmp_path: Path) -> None:
    with mail_server() as (port, lines):
        settings = alert_home(tmp_path, MAIL.format(port=port, security="starttls"))
        fail(settings)
        notify_failed_run(settings)
    assert "data" not in [line.lower() for line in lines]
    state: Any = read_state(settings.home)
    assert state.failures["finance"].reason.startswith("the mail server does not support")
