"""The webhook receiver: what is acknowledged is on the disk and reaches the marts, and nobody else gets
in.
"""

import errno
import fcntl
import hashlib
import hmac
import http.client
import json
import os
import random
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest

from ingestion.receiver import segments
from ingestion.receiver.app import Receiver
from ingestion.receiver.limits import Limits
from ingestion.receiver.report import ReceiverState, read_state
from ingestion.receiver.segments import seal_open_segments
from ingestion.receiver.server import server_of
from paywall_warehouse.files import replace_text
from paywall_warehouse.settings import load_settings
from paywall_warehouse.web.server import listen
from tests.support.builders import delivered, event
from tests.support.command import command, environment, real_command
from tests.support.harness import publish_home
from tests.support.ingestion import load
from tests.support.warm_start import WarmCommand

SECRET = "whsec_0123456789abcdef"
NOON = "2026-10-01T12:00:00Z"


def signature(body: bytes, secret: str = SECRET) -> str:
    return hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


@dataclass(frozen=True)
class Answer:
    status: int
    body: dict[str, Any]
    headers: dict[str, str]


def post(port: int, body: bytes, *, path: str = "/", signed: str | None = None, **headers: str) -> Answer:
    """A delivery with a right signature, unless another is given; '' sends none."""
    signed = signature(body) if signed is None else signed
    sent = {"X-Paywalls-Signature": signed} if signed else {}
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request(
            "POST", path, body, sent | {name.replace("_", "-"): value for name, value in headers.items()}
        )
        answer = connection.getresponse()
        return Answer(answer.status, json.loads(answer.read()), dict(answer.getheaders()))
    finally:
        connection.close()


def usage(number: int, **more: Any) -> bytes:
    """A usage charge of 0.25 with an event and an activity of its own."""
    return json.dumps(
        event(
            f"evt_{number}",
            "usage.charge.created",
            NOON,
            walletUserId="w1",
            activityId=f"act_{number}",
            cost="0.25",
            **more,
        )
    ).encode()


def health(port: int) -> tuple[int, dict[str, Any]]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request("GET", "/health")
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())
    finally:
        connection.close()


def stored(landing: Path) -> list[bytes]:
    """The lines of all segments, sealed or not, in the order of their names."""
    files = sorted((landing / segments.FOLDER).rglob("*.jsonl*"))
    return [line for file in files for line in file.read_bytes().splitlines()]


def sealed(landing: Path) -> list[Path]:
    return sorted((landing / segments.FOLDER).rglob("*.jsonl"))


@contextmanager
def receiving(
    landing: Path,
    *,
    secret: str = SECRET,
    max_age: float = 86_400,
    state_file: Path | None = None,
    **limits: Any,
) -> Iterator[int]:
    """A receiver in this process; gives its port."""
    bounds = Limits(**({"segment_seconds": 3600, "stop_seconds": 5} | limits))
    server = server_of(Receiver(landing, secret, max_age, bounds, state_file), bounds)
    with listen("127.0.0.1", 0) as listener:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        while not server.started:
            assert thread.is_alive()
            time.sleep(0.005)
        try:
            yield listener.getsockname()[1]
        finally:
            server.should_exit = True
            thread.join(20)
            assert not thread.is_alive()


@pytest.fixture
def landing(tmp_path: Path) -> Path:
    return tmp_path / "home" / "landing"


@pytest.fixture
def port(landing: Path) -> Iterator[int]:
    with receiving(landing) as number:
        yield number


# ---- what is taken


def test_both_shapes_are_stored_as_they_came_before_they_are_acknowledged(landing: Path, port: int) -> None:
    flat = usage(1)
    # Written for people, with digits that no float holds.
    pretty = (
        json.dumps(delivered(json.loads(usage(2))), indent=2).replace('"0.25"', "0.100000000001").encode()
    )
    assert b"\n" in pretty
    for body in (flat, pretty):
        answer = post(port, body)
        assert (answer.status, answer.body) == (200, {"stored": True, "repeated": False})
        assert stored(landing)[-1] == body.replace(b"\n", b" ")
    assert json.loads(stored(landing)[1])["event"]["id"] == "evt_2"


def test_a_delivery_is_on_the_disk_when_it_is_acknowledged(
    landing: Path, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    fsync = os.fsync

    def noted(descriptor: int) -> None:
        fsync(descriptor)
        done.append(os.readlink(f"/proc/self/fd/{descriptor}"))

    monkeypatch.setattr(os, "fsync", noted)
    assert post(port, usage(1)).status == 200
    [segment] = (landing / segments.FOLDER).rglob("*.part")
    # The file, and the names that lead to it.
    assert {str(segment), str(segment.parent), str(segment.parent.parent)} <= set(done)


def test_any_path_is_taken_because_a_proxy_may_leave_any(port: int) -> None:
    for number, path in enumerate(
        ("/hooks/paywalls?x=1", "http://h/hook", "*", "/a%0Ab", "//", "/health/", "/health")
    ):
        assert post(port, usage(number), path=path).status == 200
    assert post(port, usage(9), Content_Encoding="Identity").status == 200


def test_headers_are_bounded_also_where_they_arrive_in_one_piece(port: int) -> None:
    assert post(port, usage(1), X_More="a" * 30_000).status == 200
    assert post(port, usage(2), X_More="a" * 33_000).status == 400


def test_what_is_signed_and_no_event_is_kept_and_rejected_by_the_load_with_its_text(
    landing: Path, port: int
) -> None:
    bodies = [
        b"not json",
        b'{"id": \x00}',
        b"\xff\xfe",
        b'[{"id": "evt_1"}]',
        b'{"deep": ' + b"[" * 100_000,
        b'{"id": "evt_9", "new": 1}',
    ]
    for body in bodies:
        assert post(port, body).status == 200
    assert stored(landing) == bodies
    loaded = load(load_settings(_env_file=None, warehouse_home=landing.parent), "events")
    assert (loaded.records, loaded.rejected) == (6, 6)


# ---- who is let in


@pytest.mark.parametrize(
    "signed",
    [
        "",
        "0" * 64,
        "ä" * 64,
        signature(usage(1), "another secret"),
        signature(usage(2)),
        signature(usage(1))[:-1],
        hmac.new(b"", usage(1), hashlib.sha256).hexdigest(),
    ],
)
def test_a_signature_that_is_not_of_this_body_and_secret_is_refused(
    landing: Path, port: int, signed: str
) -> None:
    answer = post(port, usage(1), signed=signed)
    assert answer.status == 401
    assert SECRET not in json.dumps(answer.body)
    assert stored(landing) == []


@pytest.mark.parametrize(
    "secret", [SECRET, f"whsec_of_another_paywall,{SECRET}", f" {SECRET} , other", "one, with a comma"]
)
def test_each_secret_signs(landing: Path, secret: str) -> None:
    with receiving(landing, secret=secret) as port:
        signed = signature(usage(1), SECRET if SECRET in secret else secret)
        assert post(port, usage(1), signed=signed).status == 200
        assert (
            post(
                port,
                usage(2),
                signed=f"sha256={signature(usage(2), SECRET if SECRET in secret else secret)}".upper(),
            ).status
            == 200
        )
        assert post(port, usage(3), signed=signature(usage(3), "whsec_nobody")).status == 401


@pytest.mark.parametrize(
    ("max_age", "age", "status"),
    [
        (300, 299, 200),
        (300, 310, 401),
        (300, -310, 401),
        (0, 10**8, 200),
        (86_400, 8_000, 200),
        (86_400, 90_000, 401),
    ],
)
def test_the_age_that_a_delivery_states_is_bounded_as_set(
    landing: Path, max_age: float, age: float, status: int
) -> None:
    made_at = datetime.now(UTC) - timedelta(seconds=age)
    with receiving(landing, max_age=max_age) as port:
        stamps = (made_at.isoformat(), made_at.strftime("%Y-%m-%dT%H:%M:%S.123Z"))
        assert [post(port, usage(1), X_Paywalls_Timestamp=stamp).status for stamp in stamps] == [
            status,
            status,
        ]


def test_a_missing_or_unreadable_time_refuses_nothing_because_it_is_not_signed(port: int) -> None:
    assert [
        post(port, usage(n), X_Paywalls_Timestamp=stamp).status
        for n, stamp in enumerate(("", "yesterday", "1e99"))
    ] == [200] * 3
    assert post(port, usage(3)).status == 200


# ---- repetitions


def test_a_repeated_event_is_acknowledged_and_stored_once(landing: Path, port: int) -> None:
    first = event("evt_1", "usage.charge.created", NOON, walletUserId="w1", activityId="act_1", cost="1")
    bodies = [first, first | {"attempts": 2}, first | {"attempts": 3, "status": "error"}]
    answers = [post(port, json.dumps(body).encode()) for body in bodies]
    assert [(answer.status, answer.body["repeated"]) for answer in answers] == [
        (200, False),
        (200, True),
        (200, True),
    ]
    assert len(stored(landing)) == 1


def test_an_event_that_says_something_else_under_a_known_id_is_kept_in_another_segment(
    landing: Path, port: int
) -> None:
    posted = [usage(1), usage(1, model="gpt-4.1"), usage(1), usage(2)]
    assert [post(port, body).body["repeated"] for body in posted] == [False, False, False, False]
    seal_open_segments(landing)
    contents = [[json.loads(line) for line in file.read_bytes().splitlines()] for file in sealed(landing)]
    assert [[body["id"] for body in content] for content in contents] == [
        ["evt_1"],
        ["evt_1"],
        ["evt_1", "evt_2"],
    ]


def test_bodies_without_an_id_are_stored_each_time(landing: Path, port: int) -> None:
    assert [post(port, b'{"type": "x"}').body["repeated"] for _ in range(2)] == [False, False]
    assert len(stored(landing)) == 2


@pytest.mark.parametrize(
    "refused",
    [
        b"\xef\xbb\xbf" + usage(1),
        usage(1)[:-1] + b', "status": "pending"}',
        usage(1)[:-1] + b', "x": NaN}',
        usage(1)[:-1] + b', "x": "\\ud800"}',
    ],
)
def test_a_copy_that_a_load_refuses_hides_no_good_one(landing: Path, port: int, refused: bytes) -> None:
    assert [post(port, body).body["repeated"] for body in (usage(0), refused, usage(1))] == [
        False,
        False,
        False,
    ]
    loaded = load(load_settings(_env_file=None, warehouse_home=landing.parent), "events")
    assert (loaded.accepted, loaded.rejected) == (2, 1)


# ---- limits


def test_bodies_that_are_too_large_compressed_or_empty_are_refused_with_a_reason(
    landing: Path, port: int
) -> None:
    assert post(port, b" " * ((1 << 20) + 1)).status == 413
    assert post(port, usage(1), Content_Encoding="gzip").status == 415
    assert post(port, b" \r\n").status == 400
    assert stored(landing) == []
    largest = usage(1) + b" " * ((1 << 20) - len(usage(1)))
    assert post(port, largest).status == 200
    assert load(load_settings(_env_file=None, warehouse_home=landing.parent), "events").accepted == 1


def test_bodies_that_do_not_fit_together_are_answered_with_retry_later(landing: Path) -> None:
    with receiving(landing, held_bytes=1000) as port, socket.create_connection(("127.0.0.1", port)) as slow:
        slow.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2000\r\n\r\n" + b" " * 900)
        until(lambda: health(port)[1]["held_bytes"] == 900)
        answer = post(port, usage(1))
        assert (answer.status, answer.headers["retry-after"]) == (429, "30")
        slow.close()
        until(lambda: health(port)[1]["held_bytes"] == 0)
        assert post(port, usage(1)).status == 200


def test_a_client_that_is_too_slow_is_cut_off_and_delays_no_other(landing: Path) -> None:
    with receiving(landing, request_seconds=0.3) as port:
        with (
            socket.create_connection(("127.0.0.1", port)) as headers,
            socket.create_connection(("127.0.0.1", port)) as body,
        ):
            headers.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nX-Slow: ")
            body.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n1")
            assert post(port, usage(1)).status == 200
            assert body.recv(1000).startswith(b"HTTP/1.1 408 ")
            assert headers.recv(1000) == b""
        assert post(port, usage(2)).status == 200


def test_a_connection_that_is_kept_may_pause_between_its_requests(landing: Path) -> None:
    with receiving(landing, request_seconds=0.2) as port:
        connection = http.client.HTTPConnection("127.0.0.1", port)
        for number in range(2):
            connection.request("POST", "/", usage(number), {"X-Paywalls-Signature": signature(usage(number))})
            assert connection.getresponse().read()
            time.sleep(0.3)
        connection.close()


def test_a_client_that_reads_no_answers_is_cut_off(landing: Path) -> None:
    with receiving(landing, request_seconds=0.5) as port, socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        client.connect(("127.0.0.1", port))
        client.settimeout(0.5)
        until(lambda: _is_reset(client), 60)


def _is_reset(client: socket.socket) -> bool:
    """Whether the receiver has ended the connection; else it gets more to answer."""
    try:
        client.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n" * 100)
    except TimeoutError:
        return False
    except ConnectionError:
        return True
    return False


def test_headers_without_end_are_not_collected(landing: Path, port: int) -> None:
    with socket.create_connection(("127.0.0.1", port)) as client:
        client.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nX-Long: " + b"x" * 40_000)
        assert client.recv(1000).startswith(b"HTTP/1.1 400 ")


def test_more_connections_than_allowed_are_asked_to_retry_and_then_cut_off(landing: Path) -> None:
    with receiving(landing, connections=2, cut_off_connections=4) as port:
        idle = [socket.create_connection(("127.0.0.1", port)) for _ in range(2)]
        until(lambda: _posted(port) == 503)
        idle += [socket.create_connection(("127.0.0.1", port)) for _ in range(8)]
        until(lambda: _posted(port) is None)
        for connection in idle:
            connection.close()
        until(lambda: _posted(port) == 200)


def _posted(port: int) -> int | None:
    try:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        connection.request("POST", "/", usage(1), {"X-Paywalls-Signature": signature(usage(1))})
        return connection.getresponse().status
    except (ConnectionError, http.client.HTTPException):
        return None
    finally:
        connection.close()


def until(holds: Callable[[], bool], seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.01)


# ---- the state that the dashboard reads


@pytest.fixture
def state_file(tmp_path: Path) -> Path:
    return tmp_path / "home" / "state" / "receiver.json"


def state_of(file: Path) -> ReceiverState:
    state = read_state(file)
    assert state is not None
    return state


def test_the_state_counts_deliveries_and_refusals_by_reason(landing: Path, state_file: Path) -> None:
    began = datetime.now(UTC) - timedelta(seconds=1)
    old = (datetime.now(UTC) - timedelta(days=2)).isoformat()
    with receiving(landing, state_file=state_file, body_bytes=1000) as port:
        until(state_file.exists)
        assert state_of(state_file).stopped_at is None
        for number in (1, 2, 2):
            assert post(port, usage(number)).status == 200
        for signed in ("0" * 64, signature(usage(1), "another secret"), "<script>"):
            assert post(port, usage(3), signed=signed).status == 401
        assert post(port, usage(3), signed="").status == 401
        assert post(port, usage(3), X_Paywalls_Timestamp=old).status == 401
        assert post(port, b"").status == 400
        assert post(port, b"x" * 1001).status == 413
        assert post(port, usage(3), Content_Encoding="gzip").status == 415
        assert post(port, usage(3), X_More="a" * 33_000).status == 400
        assert health(port)[1]["refused"] == 9
    state = state_of(state_file)
    assert (state.stored, state.repeated, state.failed, state.can_write) == (2, 1, 0, True)
    assert {reason: one.count for reason, one in state.refused.items()} == {
        "wrong_signature": 3,
        "unsigned": 1,
        "too_old": 1,
        "empty": 1,
        "too_large": 1,
        "compressed": 1,
        "long_headers": 1,
    }
    assert state.last_event_type == "paywall.usage.charge.created"
    times = (
        state.started_at,
        state.last_delivery_at,
        state.stopped_at,
        *(o.last_at for o in state.refused.values()),
    )
    assert all(at is not None and began <= at <= datetime.now(UTC) for at in times)


def test_the_state_has_neither_secrets_nor_anything_of_a_refused_request(
    landing: Path, state_file: Path
) -> None:
    with receiving(landing, state_file=state_file) as port:
        post(
            port,
            b'{"id": "evt_of_an_attacker"}',
            path="/path-of-an-attacker",
            signed="beef" * 16,
            X_Mine="header",
        )
        post(port, usage(1))
    text = state_file.read_text(encoding="utf-8")
    for word in ("attacker", "beef", "header", "evt_1", "act_1", "w1", SECRET, "127.0.0.1"):
        assert word not in text
    assert state_file.stat().st_size < 1000


def test_the_type_of_an_event_is_cut_and_made_printable(landing: Path, state_file: Path) -> None:
    with receiving(landing, state_file=state_file) as port:
        body = json.dumps({"id": "evt_1", "type": "\x1b[31m" + "x" * 10_000}).encode()
        assert post(port, body).status == 200
    shown = state_of(state_file).last_event_type
    assert shown is not None
    assert shown.startswith("\\x1b[31mxxx")
    assert len(shown) < 120


def test_a_flood_of_refusals_does_not_make_the_state_be_written_more_often(
    landing: Path, state_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[str] = []

    def noted(path: Path, text: str) -> None:
        written.append(text)
        replace_text(path, text)

    monkeypatch.setattr("ingestion.receiver.report.replace_text", noted)
    with receiving(landing, state_file=state_file) as port:
        for _ in range(50):
            assert post(port, usage(1), signed="0" * 64).status == 401
        assert len(written) == 1
    assert len(written) == 2
    assert state_of(state_file).refused["wrong_signature"].count == 50


def test_the_last_delivery_survives_a_restart_and_counts_begin_again(landing: Path, state_file: Path) -> None:
    with receiving(landing, state_file=state_file) as port:
        post(port, usage(1))
        post(port, usage(1), signed="")
    delivered_at = state_of(state_file).last_delivery_at
    with receiving(landing, state_file=state_file):
        until(lambda: state_of(state_file).stopped_at is None)
    state = state_of(state_file)
    assert (state.stored, state.refused, state.last_delivery_at) == (0, {}, delivered_at)
    assert state.last_event_type == "paywall.usage.charge.created"


@pytest.mark.parametrize(
    "content", ["", "{", "[]", "{}", "null", "1e999", "[" * 100_000, '{"started_at": 1}']
)
def test_a_damaged_state_is_an_error_to_a_reader_and_none_to_a_receiver(
    landing: Path, state_file: Path, content: str
) -> None:
    state_file.parent.mkdir(parents=True)
    state_file.write_text(content, encoding="utf-8")
    with pytest.raises(ValueError, match=r"receiver\.json"):
        read_state(state_file)
    with receiving(landing, state_file=state_file) as port:
        assert post(port, usage(1)).status == 200
    assert state_of(state_file).stored == 1


def test_a_state_that_cannot_be_written_refuses_no_delivery(landing: Path, state_file: Path) -> None:
    state_file.mkdir(parents=True)  # a folder cannot be replaced by a file
    with receiving(landing, state_file=state_file) as port:
        assert post(port, usage(1)).status == 200


# ---- faults


def test_what_cannot_be_written_is_not_acknowledged_and_comes_again(
    landing: Path, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert post(port, usage(1)).status == 200
    with monkeypatch.context() as broken:
        broken.setattr(segments.os, "fsync", _disk_is_full)
        answer = post(port, usage(2))
        assert (answer.status, answer.headers["retry-after"]) == (503, "30")
        assert health(port)[0] == 503
    # By itself: a proxy that heeds it sends nothing meanwhile.
    until(lambda: health(port)[0] == 200)
    assert post(port, usage(2)).body == {"stored": True, "repeated": False}
    assert health(port) == (
        200,
        {"status": "ok", "held_bytes": 0, "stored": 2, "repeated": 0, "refused": 0, "failed": 1},
    )
    seal_open_segments(landing)
    lines = [line for file in sealed(landing) for line in file.read_bytes().splitlines()]
    assert set(lines) == {usage(1), usage(2)}


def _disk_is_full(_: int) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def test_half_a_line_is_cut_off_before_the_segment_is_sealed(landing: Path) -> None:
    folder = landing / segments.FOLDER / "2026-10-01"
    folder.mkdir(parents=True)
    (folder / "torn.jsonl.part").write_bytes(usage(1) + b"\n" + usage(2)[:-5])
    (folder / "long.jsonl.part").write_bytes(usage(3) + b"\n" + b"x" * 200_000)
    (folder / "nothing.jsonl.part").write_bytes(b"x" * 200_000)
    (folder / "empty.jsonl.part").touch()
    assert [file.name for file in seal_open_segments(landing)] == ["long.jsonl", "torn.jsonl"]
    assert (folder / "torn.jsonl").read_bytes() == usage(1) + b"\n"
    assert (folder / "long.jsonl").read_bytes() == usage(3) + b"\n"
    assert sorted(file.name for file in folder.iterdir()) == ["long.jsonl", "torn.jsonl"]


def test_what_only_looks_like_a_segment_ends_no_run_and_no_receiver(landing: Path, tmp_path: Path) -> None:
    folder = landing / segments.FOLDER / "2026-10-01"
    (folder / "folder.jsonl.part").mkdir(parents=True)
    os.mkfifo(folder / "pipe.jsonl.part")
    (folder / "nowhere.jsonl.part").symlink_to("nothing")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "theirs.jsonl.part").write_bytes(usage(9) + b"\n")
    (folder / "link.jsonl.part").symlink_to(elsewhere / "theirs.jsonl.part")
    folder.with_name("linked").symlink_to(elsewhere)
    (folder / "twice.jsonl").write_bytes(usage(1) + b"\n")
    (folder / "twice.jsonl.part").write_bytes(usage(2) + b"\n")
    (folder / "good.jsonl.part").write_bytes(usage(3) + b"\n")
    warnings: list[str] = []
    assert [file.name for file in seal_open_segments(landing, warnings.append)] == ["good.jsonl"]
    assert [warning.split(" cannot be sealed")[0].rpartition("/")[2] for warning in warnings] == [
        *(f"{name}.jsonl.part" for name in ("folder", "link", "nowhere", "pipe", "twice")),
        "theirs.jsonl.part",
    ]
    assert (folder / "twice.jsonl").read_bytes() == usage(1) + b"\n", (
        "acknowledged deliveries are never written over"
    )
    assert (elsewhere / "theirs.jsonl.part").exists()
    result = load(
        load_settings(_env_file=None, warehouse_home=tmp_path / "home", landing_uri=str(landing)), "events"
    )
    assert len([warning for warning in result.warnings if "cannot be sealed" in warning]) == 6


def test_a_segment_is_not_sealed_while_it_is_written(landing: Path) -> None:
    part = landing / segments.FOLDER / "2026-10-01" / "busy.jsonl.part"
    part.parent.mkdir(parents=True)
    with part.open("wb") as writer, ThreadPoolExecutor(1) as pool:
        fcntl.flock(writer, fcntl.LOCK_EX)
        writer.write(usage(1)[:10])
        writer.flush()
        sealing = pool.submit(seal_open_segments, landing)
        time.sleep(0.1)
        assert not sealing.done()
        writer.write(usage(1)[10:] + b"\n")
        writer.flush()
        fcntl.flock(writer, fcntl.LOCK_UN)
        [file] = sealing.result(5)
    assert file.read_bytes() == usage(1) + b"\n"


# ---- sealing


def test_segments_are_sealed_by_size_by_age_and_when_the_receiver_stops(landing: Path) -> None:
    size = len(usage(1)) + 1
    with receiving(landing, segment_bytes=2 * size) as port:
        for number in range(5):
            assert post(port, usage(number)).status == 200
        assert [file.stat().st_size for file in sealed(landing)] == [2 * size, 2 * size]
    assert [file.stat().st_size for file in sealed(landing)] == [2 * size, 2 * size, size]
    with receiving(landing, segment_seconds=0.1) as port:
        assert post(port, usage(6)).status == 200
        until(lambda: len(sealed(landing)) == 4)
        time.sleep(1.2)
        assert len(stored(landing)) == 6
    assert not list(landing.rglob("*.part"))


def test_a_stream_without_a_pause_is_sealed_by_age_too(landing: Path) -> None:
    with receiving(landing, segment_seconds=0.2) as port:
        senders = [threading.Thread(target=_deliver_for, args=(port, 1.0, start)) for start in range(4)]
        for sender in senders:
            sender.start()
        until(lambda: len(sealed(landing)) >= 2, 5)
        assert any(sender.is_alive() for sender in senders)
        for sender in senders:
            sender.join()


def _deliver_for(port: int, seconds: float, start: int) -> None:
    end, number = time.monotonic() + seconds, start
    while time.monotonic() < end:
        post(port, usage(number))
        number += 4


def test_a_load_takes_what_is_acknowledged_until_then_and_the_receiver_goes_on(
    landing: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with receiving(landing, segment_seconds=1) as port:
        _load_between_deliveries(landing, port)
        time.sleep(2.2)
    assert "sealed" not in caplog.text


def _load_between_deliveries(landing: Path, port: int) -> None:
    settings = load_settings(_env_file=None, warehouse_home=landing.parent)
    for number in range(3):
        assert post(port, usage(number)).status == 200
        assert load(settings, "events").accepted == 1
    assert load(settings, "events").files == 0
    # The warehouse recognises repeated events of other segments by their id.
    assert post(port, usage(0)).body["repeated"] is False


def test_segments_are_private(landing: Path, port: int) -> None:
    post(port, usage(1))
    [part] = (landing / segments.FOLDER).rglob("*.part")
    assert part.stat().st_mode & 0o077 == 0


# ---- the command


@contextmanager
def receiver_command(
    home: Path, *arguments: str, **variables: str
) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """`paywall-warehouse receive` as a process of its own session; gives its port too."""
    process = WarmCommand(
        ["receive", "--port", "0", *arguments],
        cwd=home.parent,
        env=environment(home, PAYWALLS_WEBHOOK_SECRET=SECRET, **variables),
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        said = process.stderr.readline() if process.stderr else ""
        assert said.startswith("Deliveries to http://127.0.0.1:"), said
        yield process, int(said.split(":")[2].split(" ")[0])
    finally:
        process.kill()
        process.communicate()


class Senders:
    """Threads that deliver until the receiver is gone, and note what was acknowledged."""

    def __init__(self, port: int, threads: int = 8, first: int = 0) -> None:
        self._port = port
        self.acknowledged: set[int] = set()
        self._threads = [
            threading.Thread(target=self._send, args=(first + start, threads)) for start in range(threads)
        ]
        for thread in self._threads:
            thread.start()

    def _send(self, start: int, step: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=10)
        number = start
        try:
            while True:
                body = usage(number)
                connection.request("POST", "/", body, {"X-Paywalls-Signature": signature(body)})
                answer = connection.getresponse()
                answer.read()
                if answer.status == 200:
                    self.acknowledged.add(number)
                number += step
        except (OSError, http.client.HTTPException):
            connection.close()

    def join(self) -> None:
        for thread in self._threads:
            thread.join(30)
            assert not thread.is_alive()


def test_a_killed_receiver_leaves_a_state_that_can_be_read(tmp_path: Path) -> None:
    home = tmp_path / "home"
    file = home / "state" / "receiver.json"
    with receiver_command(home) as (process, port):
        until(file.exists)
        assert post(port, usage(1)).status == 200
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    # The kill came before the second write, so that the delivery is on the disk and not in the counts.
    state = state_of(file)
    assert (state.stopped_at, state.stored, len(stored(home / "landing"))) == (None, 0, 1)
    file.with_name(".receiver.json.1.partial").write_text(
        "{", encoding="utf-8"
    )  # and in the middle of a write
    with receiver_command(home) as (process, port):
        assert post(port, usage(2)).status == 200
        process.terminate()
        process.wait(20)
    state = state_of(file)
    assert (state.stored, state.stopped_at is not None) == (1, True)


@pytest.mark.slow
def test_every_acknowledged_event_is_in_the_marts_after_the_receiver_was_killed(tmp_path: Path) -> None:
    home = tmp_path / "home"
    acknowledged: set[int] = set()
    with receiver_command(home) as (process, port):
        senders = Senders(port)
        until(lambda: len(senders.acknowledged) > 300, 30)
        os.killpg(process.pid, signal.SIGKILL)
        senders.join()
        acknowledged |= senders.acknowledged
    # Nobody has started another receiver: the run finds what the dead one left.
    publish_home(home, as_of="2026-10-02")
    with duckdb.connect(str(home / "published" / "warehouse.duckdb"), read_only=True) as db:
        found = {
            number
            for (number,) in db.execute(
                "select split_part(entry_id, '_', 2)::int from marts.fct_ledger_entries"
            ).fetchall()
        }
        rejected = db.execute("select count(*) from ops.rejected_records").fetchone()
    assert acknowledged <= found
    assert rejected == (0,)


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_no_kill_at_any_moment_loses_an_acknowledged_event(tmp_path: Path) -> None:
    """`RECEIVER_KILLS` of them, each at a random moment of a burst, with loads in between that seal what is
    being written.
    """
    home, kills, chance = tmp_path / "home", int(os.environ.get("RECEIVER_KILLS", "100")), random.Random(6)
    settings = load_settings(_env_file=None, warehouse_home=home)
    acknowledged: set[int] = set()
    for kill in range(kills):
        with receiver_command(home) as (process, port):
            senders = Senders(port, first=kill * 1_000_000)
            until(lambda senders=senders: bool(senders.acknowledged), 30)  # type: ignore[misc]
            time.sleep(chance.uniform(0, 0.5))
            if kill % 5 == 4:
                load(settings, "events")
                time.sleep(chance.uniform(0, 0.1))
            os.killpg(process.pid, signal.SIGKILL)
            senders.join()
            acknowledged |= senders.acknowledged
    load(settings, "events")
    with duckdb.connect() as db:
        files = f"{home}/lake/webhook_events/*/*.parquet"
        found = [
            number
            for (number,) in db.execute(f"select split_part(event_id, '_', 2)::int from '{files}'").fetchall()
        ]
    print(
        f"{kills} kills, {len(acknowledged):,} events acknowledged, {len(acknowledged - set(found))} lost,"
        f" {len(found):,} stored"
    )
    assert acknowledged <= set(found)
    assert not list((home / "lake" / "rejects").glob("*/*"))


@pytest.mark.slow
def test_a_receiver_that_is_stopped_answers_what_is_under_way_and_seals(tmp_path: Path) -> None:
    home = tmp_path / "home"
    with receiver_command(home) as (process, port):
        senders = Senders(port)
        until(lambda: len(senders.acknowledged) > 100, 30)
        process.send_signal(signal.SIGTERM)
        senders.join()
        # The latter where uvicorn passes the signal on before it is done with it.
        assert process.wait(20) in (0, -signal.SIGTERM)
        output = process.stderr.read() if process.stderr else ""
    assert SECRET not in output
    assert "Traceback" not in output
    assert not list(home.rglob("*.part"))
    found = {int(json.loads(line)["id"].removeprefix("evt_")) for line in stored(home / "landing")}
    assert senders.acknowledged <= found


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"PAYWALLS_WEBHOOK_SECRET": ""}, "PAYWALLS_WEBHOOK_SECRET is not set"),
        ({"LANDING_URI": "memory://landing"}, "LANDING_URI 'memory://landing' is not a local folder"),
        ({"WEBHOOK_MAX_AGE_SECONDS": "-1"}, "WEBHOOK_MAX_AGE_SECONDS '-1' is not allowed"),
    ],
)
def test_a_receiver_that_cannot_work_says_why(tmp_path: Path, variables: dict[str, str], words: str) -> None:
    done = command(tmp_path / "home", "receive", **({"PAYWALLS_WEBHOOK_SECRET": SECRET} | variables))
    assert done.returncode == 2
    assert words in done.stderr
    assert SECRET not in done.stderr + done.stdout


def test_a_port_that_is_taken_is_named(tmp_path: Path, port: int) -> None:
    done = real_command(tmp_path / "home", "receive", "--port", str(port), PAYWALLS_WEBHOOK_SECRET=SECRET)
    assert (
        done.returncode,
        f"http://127.0.0.1:{port} cannot be listened on: Address already in use" in done.stderr,
    ) == (2, True)
