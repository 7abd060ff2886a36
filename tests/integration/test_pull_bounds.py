"""A source that is endless, slow, or larger than it says is left at its bounds, and the mirror stays
whole.
"""

import http.server
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from exports.client import transfer
from exports.client.mirror import pull
from exports.client.outcome import PullError
from tests.support.export_homes import contents, first_publication, manifest_of

LEDGER = "ledger/parquet/date=2026-10-03/part-00000.parquet"
Answer = Callable[["Server"], None]


class Server(http.server.SimpleHTTPRequestHandler):
    """Serves a folder, and for some paths what a test has thought of."""

    protocol_version = "HTTP/1.1"

    def __init__(self, *arguments: Any, answers: dict[str, Answer], **more: Any) -> None:
        self.answers = answers
        super().__init__(*arguments, **more)

    def do_GET(self) -> None:
        answer = next((answer for path, answer in self.answers.items() if self.path == f"/v1/{path}"), None)
        try:
            answer(self) if answer else super().do_GET()
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    def own_file(self) -> bytes:
        return Path(self.translate_path(self.path)).read_bytes()

    def begin(self, **headers: object) -> None:
        self.send_response(200)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), str(value))
        self.end_headers()

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture
def source(tmp_path_factory: pytest.TempPathFactory, tmp_path: Path) -> Path:
    home = first_publication(tmp_path_factory)
    return Path(shutil.copytree(home / "exports", tmp_path / "source"))


@pytest.fixture(autouse=True)
def no_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transfer, "STALL_SECONDS", 0.5)
    monkeypatch.setattr(transfer, "CHECK_SECONDS", 0.05)
    # Otherwise this limit ends a stall first where a slow machine takes 0.1 s to begin.
    monkeypatch.setattr(transfer, "SLOWEST_BYTES_A_SECOND", 1)
    monkeypatch.setattr("exports.client.source.FIRST_WAIT_SECONDS", 0)
    monkeypatch.setattr("exports.client.mirror.SECONDS_BETWEEN_ROUNDS", 0)


@contextmanager
def served(folder: Path, answers: dict[str, Answer]) -> Iterator[str]:
    with http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), partial(Server, directory=str(folder), answers=answers)
    ) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def mirrored(folder: Path) -> dict[str, bytes]:
    return {path: content for path, content in contents(folder).items() if path != "v1/.pull.lock"}


def longer(server: Server) -> None:
    content = server.own_file() + b"more"
    server.begin(Content_Length=len(content))
    server.wfile.write(content)


def endless(server: Server) -> None:
    server.begin(Transfer_Encoding="chunked")
    piece = bytes(1 << 16)
    while True:
        server.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))


def silent(server: Server) -> None:
    server.begin(Content_Length=len(server.own_file()))
    time.sleep(20)


def stalling(server: Server) -> None:
    content = server.own_file()
    server.begin(Content_Length=len(content))
    server.wfile.write(content[:100])
    time.sleep(20)


def dripping(server: Server) -> None:
    content = server.own_file()
    server.begin(Content_Length=len(content))
    for place in range(len(content)):
        server.wfile.write(content[place : place + 1])
        time.sleep(0.1)


class ByteClock:
    """Says that two seconds pass with every piece that arrives and none between, so that no data is late."""

    now = 0.0

    def monotonic(self) -> float:
        if threading.current_thread().name == "transfer":
            self.now += 2
        return self.now


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (longer, "has more than {bytes:,} bytes. The export is damaged: "),
        (endless, "has more than {bytes:,} bytes. The export is damaged: "),
        (silent, "cannot be read: no data for "),
        (stalling, "cannot be read: no data for "),
        (dripping, "cannot be read: only "),
    ],
)
def test_a_file_of_a_hostile_server_is_left_at_its_bounds_and_the_mirror_stays(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: Answer, words: str
) -> None:
    mirror = tmp_path / "mirror"
    with served(source, {}) as uri:
        pull(uri, mirror, datasets=["ledger"])
    before = mirrored(mirror)
    (mirror / "v1" / LEDGER).unlink()
    [file] = [
        one
        for day in manifest_of(source, "ledger")["partitions"]
        for one in day["files"]
        if LEDGER.endswith(f"/{one['path']}")
    ]
    begin = time.monotonic()
    if answer is dripping:
        # On a busy machine half a second may pass between two bytes.
        monkeypatch.setattr(transfer, "time", ByteClock())
    with served(source, {LEDGER: answer}) as uri, pytest.raises(PullError) as error:
        pull(uri, mirror, datasets=["ledger"])
    assert str(error.value).startswith(f"{uri}/v1/{LEDGER} {words.format(**file)}")
    assert time.monotonic() - begin < 15
    # Nothing but that file is missing, and what has come of it is not longer than it may be.
    kept = mirrored(mirror)
    assert {path: content for path, content in kept.items() if not path.endswith(".partial")} == {
        path: content for path, content in before.items() if path != f"v1/{LEDGER}"
    }
    assert all(len(content) <= file["bytes"] for path, content in kept.items() if path.endswith(".partial"))
    with served(source, {}) as uri:
        pull(uri, mirror, datasets=["ledger"])
    assert mirrored(mirror) == before


def test_a_stall_that_passes_is_waited_out_and_what_had_come_is_kept(source: Path, tmp_path: Path) -> None:
    asked: list[str | None] = []

    def once(server: Server) -> None:
        asked.append(server.headers["Range"])
        content = server.own_file()
        if len(asked) == 1:
            stalling(server)
        else:
            server.send_response(206)
            server.send_header("Content-Range", f"bytes 100-{len(content) - 1}/{len(content)}")
            server.send_header("Content-Length", str(len(content) - 100))
            server.end_headers()
            server.wfile.write(content[100:])

    with served(source, {LEDGER: once}) as uri:
        pull(uri, tmp_path / "mirror", datasets=["ledger"])
    assert asked == [None, "bytes=100-"]
    assert (tmp_path / "mirror/v1" / LEDGER).read_bytes() == (source / "v1" / LEDGER).read_bytes()


@pytest.mark.parametrize(
    ("path", "limit"), [("catalog.json", "CATALOG_BYTES"), ("ledger/manifest.json", "MANIFEST_BYTES")]
)
@pytest.mark.parametrize("answer", [endless, stalling])
def test_a_catalog_or_manifest_without_end_is_refused(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str, limit: str, answer: Answer
) -> None:
    mirror = tmp_path / "mirror"
    pull(str(source), mirror)
    before = mirrored(mirror)
    monkeypatch.setattr(f"exports.client.source.{limit}", 200_000)
    what = path.rpartition("/")[2].removesuffix(".json")
    words = (
        f"has more than 200,000 bytes, which no {what} has"
        if answer is endless
        else "cannot be read: no data for "
    )
    with served(source, {path: answer}) as uri, pytest.raises(PullError) as error:
        pull(uri, mirror)
    assert str(error.value).startswith(f"{uri}/v1/{path} {words}")
    assert mirrored(mirror) == before


@pytest.mark.parametrize("path", ["catalog.json", "ledger/manifest.json", LEDGER])
@pytest.mark.parametrize("kind", ["pipe", "device"])
def test_what_is_no_regular_file_is_never_opened(source: Path, tmp_path: Path, path: str, kind: str) -> None:
    place = source / "v1" / path
    place.unlink()
    os.mkfifo(place) if kind == "pipe" else place.symlink_to("/dev/zero")
    with pytest.raises(PullError, match=rf"^{place} is no regular file"):
        pull(str(source), tmp_path / "mirror")
    assert not [name for name in mirrored(tmp_path / "mirror") if name.endswith(".partial")]
