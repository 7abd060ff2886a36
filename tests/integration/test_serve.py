"""`paywall-warehouse serve` and `token` as commands: scopes, pull over HTTP, many readers at once."""

import asyncio
import io
import os
import re
import shutil
import signal
import statistics
import subprocess
import threading
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import duckdb
import pandas as pd
import polars as pl
import psutil
import pytest
import requests

from exports.client.mirror import pull
from exports.client.outcome import PullError
from paywall_warehouse.home import Home
from tests.support.command import COMMAND, command, environment
from tests.support.export_homes import contents, exported_copy, first_publication, like_c1
from tests.support.pull_api import all_rows, bearer, customers, publish
from tests.support.shared import in_soak

ROWS_OF_A_DAY = 4000
DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture(autouse=True)
def no_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("exports.client.source.FIRST_WAIT_SECONDS", 0)


@contextmanager
def serving(home: Path) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """The command on a free port: its address and its process."""
    process = subprocess.Popen(
        [COMMAND, "serve", "--port", "0"], env=environment(home), stderr=subprocess.PIPE, text=True
    )
    try:
        assert process.stderr is not None
        address = next(line for line in process.stderr if "/v1/catalog" in line).partition("/v1/catalog")[0]
        # Otherwise a full pipe would stop the access log.
        threading.Thread(target=process.stderr.read, daemon=True).start()
        wait_until_healthy(address)
        yield address, process
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=30)


def wait_until_healthy(address: str) -> None:
    for _ in range(300):
        try:
            assert requests.get(f"{address}/health", timeout=10).ok
            return
        except requests.ConnectionError:
            time.sleep(0.1)
    raise AssertionError("the server does not answer")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return customers(first_publication(tmp_path_factory), tmp_path_factory.mktemp("serve") / "home")


@pytest.fixture(scope="module")
def address(home: Path) -> Iterator[str]:
    with serving(home) as (address, _):
        yield address


@pytest.fixture(scope="module")
def token(home: Path) -> dict[str, str]:
    return bearer(home, "everything")


def text_of(token: dict[str, str]) -> str:
    return token["Authorization"].removeprefix("Bearer ")


# ---- pull


def test_pull_mirrors_over_http_and_fetches_changes_only(
    home: Path, address: str, token: dict[str, str], tmp_path: Path
) -> None:
    mirror = tmp_path / "mirror"
    arguments = ("pull", f"{address}/v1/exports", str(mirror), "--token-env", "PULL_TOKEN")
    first = command(home, *arguments, PULL_TOKEN=text_of(token))
    assert first.returncode == 0, first.stderr
    mirrored = {path: content for path, content in contents(mirror / "v1").items() if path != ".pull.lock"}
    assert mirrored == contents(home / "exports" / "v1")
    again = command(home, *arguments, PULL_TOKEN=text_of(token))
    assert {line.partition(": ")[2] for line in again.stdout.splitlines()} == {"unchanged"}


def test_an_interrupted_file_is_continued(
    home: Path, address: str, token: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from exports.client import transfer

    begun = []
    original = transfer._streamed

    def cut(filesystem: object, path: str, begin: int) -> object:
        source = original(filesystem, path, begin)
        if path.endswith(".parquet") and not begin and not begun:
            begun.append(path)
            first = source.read(100)
            return _Cut(first)
        if begin:
            begun.append(f"{path} from {begin}")
        return source

    monkeypatch.setattr(transfer, "_streamed", cut)
    pull(f"{address}/v1/exports", tmp_path, datasets=["ledger"], token=text_of(token))
    assert begun == [begun[0], f"{begun[0]} from 100"]
    mirrored, original_files = contents(tmp_path / "v1" / "ledger"), contents(home / "exports/v1/ledger")
    assert mirrored == original_files


class _Cut(io.BytesIO):
    """A connection that breaks after what it has received."""

    def read(self, size: int | None = -1) -> bytes:
        if not (piece := super().read(size)):
            raise ConnectionResetError("the network failed")
        return piece


def test_pull_mirrors_only_what_the_token_may_see(home: Path, address: str, tmp_path: Path) -> None:
    uri = f"{address}/v1/exports"
    text = text_of(bearer(home, "two", datasets=["users", "models"]))
    pulled = pull(uri, tmp_path / "two", token=text)
    assert [one.dataset for one in pulled] == ["users", "models"]
    with pytest.raises(PullError, match="it has: users, models"):
        pull(uri, tmp_path / "two", datasets=["ledger"], token=text)
    with pytest.raises(PullError, match="refuses it") as refused:
        pull(uri, tmp_path / "none", token="pwt_wrong")
    assert "pwt_wrong" not in str(refused.value)
    with pytest.raises(PullError, match="gets no token"):
        pull(str(home / "exports"), tmp_path / "none", token=text)
    unset = command(home, "pull", uri, str(tmp_path / "none"), "--token-env", "NOWHERE")
    assert (unset.returncode, "NOWHERE is not set" in unset.stderr) == (2, True)


# ---- readers


def test_common_clients_read_a_slice(home: Path, address: str, token: dict[str, str]) -> None:
    url = f"{address}/v1/datasets/ledger/rows?columns=entry_id,amount&format="
    wanted = [(row["entry_id"], row["amount"]) for row in all_rows(home, "ledger")]
    frame = pd.read_parquet(io.BytesIO(requests.get(url + "parquet", headers=token, timeout=30).content))
    assert list(frame.itertuples(index=False, name=None)) == wanted
    texts = pd.read_csv(url + "csv&where=user_id=acme", storage_options=token, dtype=str)
    # On four days, number 2: day + 2.5.
    assert texts["amount"].tolist() == [f"{day + 2}.500000000000" for day in range(1, 5)]
    request = urllib.request.Request(url + "parquet", headers=token)
    with urllib.request.urlopen(request) as response:
        assert pl.read_parquet(response.read()).rows() == wanted


RECIPES = re.findall(r"```python\n(.*?)```", (DOCS / "serve.md").read_text(encoding="utf-8"), re.DOTALL)


def test_the_recipes_run(
    home: Path,
    address: str,
    token: dict[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("URL", address)
    monkeypatch.setenv("TOKEN", text_of(token))
    ledger = all_rows(home, "ledger")
    revenue = sum(row["revenue"] for row in ledger if row["currency"] == "usd")
    printed = []
    for recipe in RECIPES:
        exec(compile(recipe, "docs/serve.md", "exec"), {})
        printed.append(capsys.readouterr().out)
    pandas, polars, pages, from_duckdb = printed
    assert all(f"{revenue.normalize():f}" in one for one in (pandas, polars, from_duckdb))
    assert pages == f"{len(ledger)}\n"


CURL = re.search(r"### curl\n\n```sh\n(.*?)```", (DOCS / "serve.md").read_text(encoding="utf-8"), re.DOTALL)


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
def test_the_recipes_for_curl_run(home: Path, address: str, token: dict[str, str], tmp_path: Path) -> None:
    assert CURL is not None
    environment = os.environ | {"URL": address, "TOKEN": text_of(token)}
    done = [
        subprocess.run(
            ["bash", "-ec", CURL[1]],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        for _ in range(2)
    ]
    ledger = all_rows(home, "ledger")
    large = sum(row["amount"] >= 1 for row in ledger)
    assert len(pl.read_parquet(tmp_path / "ledger.parquet")) == len(ledger)
    assert len((tmp_path / "users.csv").read_text(encoding="utf-8").splitlines()) == 1 + len(
        all_rows(home, "users")
    )
    for one in done:
        assert one.returncode == 0, one.stderr
        assert len(one.stdout.splitlines()) == 1 + large


@pytest.mark.soak
def test_the_recipe_for_dbt_runs(home: Path, address: str, token: dict[str, str], tmp_path: Path) -> None:
    """A source of dbt-duckdb as documented, read by a model of somebody else's project."""
    [source] = re.findall(
        r"```yaml\n(sources:.*?)```", (DOCS / "serve.md").read_text(encoding="utf-8"), re.DOTALL
    )
    parquet = requests.get(f"{address}/v1/datasets/ledger/rows?format=parquet", headers=token, timeout=30)
    (tmp_path / "ledger.parquet").write_bytes(parquet.content)
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "sources.yml").write_text(source, encoding="utf-8")
    (tmp_path / "models" / "totals.sql").write_text(
        "{{ config(materialized='table') }}"
        " select currency, sum(revenue) as revenue from {{ source('paywall', 'ledger') }} group by all"
    )
    (tmp_path / "dbt_project.yml").write_text("{name: acme, version: '1.0.0', profile: acme}")
    (tmp_path / "profiles.yml").write_text(
        "acme: {target: dev, outputs: {dev: {type: duckdb, path: own.duckdb}}}"
    )
    dbt = [str(Path(COMMAND).with_name("dbt")), "run", "--profiles-dir", "."]
    done = subprocess.run(dbt, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout
    with duckdb.connect(str(tmp_path / "own.duckdb"), read_only=True) as connection:
        totals = dict(connection.execute("from totals").fetchall())
    ledger = all_rows(home, "ledger")
    assert totals["usd"] == sum(row["revenue"] for row in ledger if row["currency"] == "usd")


async def _read_slices(
    urls: Sequence[str], header: Mapping[str, str], readers: int, slices: int
) -> list[float]:
    """Read slices of 4,000 rows over new connections, and return the seconds of each.

    By hand: with `requests`, 200 threads take more of the processors than the server.
    """
    seconds = []

    async def read(url: str) -> None:
        begin = time.monotonic()
        parts = urlsplit(url)
        source, target = await asyncio.open_connection(parts.hostname, parts.port, limit=1 << 20)
        lines = [f"GET {parts.path}?{parts.query} HTTP/1.1", "Host: localhost", "Connection: close"]
        lines += [f"{name}: {value}" for name, value in header.items()]
        target.write("\r\n".join([*lines, "", ""]).encode())
        head = (await source.readuntil(b"\r\n\r\n")).decode().lower()
        content = 0
        while piece := await source.read(1 << 20):
            content += len(piece)
        target.close()
        assert head.startswith("http/1.1 200 ")
        assert f"x-rows: {ROWS_OF_A_DAY}\r\n" in head
        assert f"content-length: {content}\r\n" in head
        seconds.append(time.monotonic() - begin)

    async def reader() -> None:
        for number in numbers:
            await read(urls[number % len(urls)])

    numbers = iter(range(slices))
    await asyncio.gather(*(reader() for _ in range(readers)))
    return seconds


@pytest.mark.soak
def test_a_million_entries_take_bounded_memory_and_a_day_little_time(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    home = exported_copy(first_publication(tmp_path_factory), tmp_path / "home")
    columns = (
        "exclude (n) replace ('e' || n as entry_id, 'acme:' || n % 1000 as user_id,"
        f" date '2026-01-01' + cast(n // {ROWS_OF_A_DAY} as integer) as entry_date)"
    )
    source = "marts.fct_ledger_entries, range(1000000) as numbers(n) where entry_id = 'c1'"
    publish(home, f"insert into marts.fct_ledger_entries select * {columns} from {source}")
    header = bearer(home, "everything")
    with serving(home) as (address, process):
        url = f"{address}/v1/datasets/ledger/rows"
        days = [f"from=2026-03-{day:02}&to=2026-03-{day + 1:02}" for day in range(1, 26)]
        alone = []
        for number in range(10):
            publish(home, like_c1(entry_id=f"'late-{number}'", user_id="'acme:0'"))
            alone += asyncio.run(_read_slices([f"{url}?{days[number]}"], header, readers=1, slices=3))
        assert statistics.median(alone) < 0.3
        seconds = []
        for number in range(3):
            with ThreadPoolExecutor(1) as night:
                # The publication of a night, beside readers of the days before.
                published = night.submit(
                    publish, home, like_c1(entry_id=f"'night-{number}'", user_id="'acme:0'")
                )
                seconds += asyncio.run(_read_slices([f"{url}?{day}" for day in days], header, 200, 2000))
                published.result()
        print(f"median of {len(seconds):,} slices for 200 readers: {statistics.median(seconds):.3f} s")
        whole = requests.get(f"{url}?format=jsonl", headers=header, timeout=300)
        assert whole.content.count(b"\n") == int(whole.headers["X-Rows"]) > 1_000_000
        assert psutil.Process(process.pid).memory_info().rss < 500 << 20


@pytest.mark.parametrize("readers", [20, *in_soak(200)])
def test_many_readers_at_once_get_whole_slices_beside_publications(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, readers: int
) -> None:
    home = exported_copy(first_publication(tmp_path_factory), tmp_path / "home")
    columns = "exclude (n) replace ('e' || n as entry_id, 'acme:' || n % 9 as user_id)"
    source = "marts.fct_ledger_entries, range(5000) as numbers(n) where entry_id = 'c1'"
    publish(home, f"insert into marts.fct_ledger_entries select * {columns} from {source}")
    header = bearer(home, "acme", where=["user_prefix=acme:"])
    # Every publication adds one row of the customer and takes none away.
    counts: list[int] = []

    with serving(home) as (address, process):

        def read(number: int) -> None:
            encoding = ("csv", "jsonl")[number % 2]
            url = f"{address}/v1/datasets/ledger/rows?columns=entry_id,user_id&format={encoding}"
            response = requests.get(url, headers=header, timeout=120)
            assert response.status_code == 200, response.text
            lines = response.content.count(b"\n") - (encoding == "csv")
            assert lines == int(response.headers["X-Rows"])
            counts.append(lines)

        with ThreadPoolExecutor(readers) as pool:
            reading = [pool.submit(read, number) for number in range(readers * 3)]
            for number in range(3):
                publish(home, like_c1(entry_id=f"'n{number}'", user_id="'acme:0'"))
                time.sleep(0.3)
            for one in reading:
                one.result()
        assert psutil.Process(process.pid).memory_info().rss < 500 << 20
    assert set(counts) <= {5000, 5001, 5002, 5003}
    assert list(Home(home).tmp.glob("serve-*")) == []


# ---- commands


def test_a_token_is_shown_once_listed_without_its_text_and_revoked(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    home = exported_copy(first_publication(tmp_path_factory), tmp_path / "home")
    added = command(home, "token", "add", "acme", "--where", "user_prefix=acme:", "--expires", "2999-12-31")
    assert added.returncode == 0, added.stderr
    assert "It may see: ledger, user_days, wallet_days, usage_errors, credit_days, users" in added.stderr
    text = added.stdout.strip()
    assert text.startswith("pwt_")
    listed = command(home, "token", "list").stdout
    assert "acme" in listed
    assert "user_prefix=acme:" in listed
    assert "2999-12-31" in listed
    assert text not in listed
    assert text.rpartition("_")[2] not in listed
    assert command(home, "token", "add", "acme").returncode == 2
    assert command(home, "token", "revoke", "acme").returncode == 0
    assert command(home, "token", "revoke", "acme").returncode == 2
    assert "There are no tokens" in command(home, "token", "list").stdout


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--dataset", "nothing"], "allowed: ledger, daily_revenue"),
        (["--columns", "amuont"], "none of the datasets has the column 'amuont'"),
        (["--columns", "a b"], "is no name of a column"),
        (["--where", "amount=1"], "has the text column 'amount'"),
        (["--where", "user_id"], "allowed: column=value"),
        (["--where", "user_prefix="], "every user would be visible"),
        (["--where", "currency=usd", "--where", "currency=eur"], "stated twice"),
        (["--dataset", "models", "--where", "user_prefix=a"], "would see nothing"),
        (["--expires", "2020-01-01"], "not one in the past"),
        (["--expires", "tomorrow"], "allowed: the last day"),
    ],
)
def test_a_scope_with_a_mistake_is_refused(home: Path, options: list[str], words: str) -> None:
    refused = command(home, "token", "add", "wrong", *options)
    assert (refused.returncode, refused.stdout) == (2, "")
    assert words in refused.stderr


def test_tokens_survive_writers_at_the_same_time_and_a_killed_one(home: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: bearer(home, f"at-once-{number}"), range(16)))
    partial = Home(home).tokens_file.with_name(".tokens.json.1.partial")
    partial.write_text("{")
    listed = command(home, "token", "list").stdout
    assert all(f"at-once-{number} " in listed for number in range(16))
    os.unlink(partial)
