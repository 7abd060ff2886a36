"""The pull API: what a token gets is a filter of the table, over any paging, while publications happen."""

import itertools
import json
import logging
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st
from starlette.testclient import TestClient

from exports.datasets import DATASETS
from exports.server.limits import Limits
from exports.server.openapi import openapi_document
from exports.server.tokens import revoke_token
from paywall_warehouse.home import Home
from tests.support.export_homes import first_publication, like_c1
from tests.support.pull_api import (
    Wanted,
    all_rows,
    api,
    as_texts,
    bearer,
    customers,
    expected,
    publish,
    read,
)
from tests.support.shared import once

# `make soak` tries 200.
EXAMPLES = int(os.environ.get("API_EXAMPLES", "25"))

ROWS = "/v1/datasets/ledger/rows"
FORMATS = ("csv", "jsonl", "parquet")
NUMBER = itertools.count()


@dataclass
class Served:
    """A home, a client of its API, and the header of a token without limits."""

    home: Path
    client: TestClient
    everything: dict[str, str]

    def get(self, path: str, token: dict[str, str] | None = None, **headers: str) -> Any:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.client.get(path, headers={**(self.everything if token is None else token), **named})

    def token(self, **scope: Any) -> dict[str, str]:
        return bearer(self.home, f"token{next(NUMBER)}", **scope)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    home = customers(first_publication(tmp_path_factory), tmp_path_factory.mktemp("served") / "home")
    with api(home) as client:
        yield Served(home, client, bearer(home, "everything"))


@pytest.fixture
def own(tmp_path_factory: pytest.TempPathFactory, tmp_path: Path) -> Iterator[Served]:
    """A home of one test, which may publish as it likes."""
    made = once(
        tmp_path_factory,
        "customers",
        lambda home: customers(first_publication(tmp_path_factory), home / "home") and None,
    )
    home = Path(shutil.copytree(made / "home", tmp_path / "home"))
    with api(home) as client:
        yield Served(home, client, bearer(home, "everything"))


def pages(served: Served, first: str, token: dict[str, str]) -> Iterator[Any]:
    """The responses from a first page on, to the last one or the first error."""
    path: str | None = first
    while path:
        response = served.get(path, token)
        yield response
        path = response.links.get("next", {}).get("url")


# ---- rows


DATASET_NAMES = (
    "ledger",
    "ledger",
    "ledger",
    "user_days",
    "wallet_days",
    "users",
    "models",
    "balance_rollforward",
    "focus",
    "focus",
)
PUBLICATIONS = (
    like_c1(entry_id="'late-{n}'", user_id="'acme:1'", entry_date="date '2026-10-02'"),
    like_c1(entry_id="'zz-{n}'", user_id="'acme:2'", entry_date="date '2026-10-04'"),
    "update marts.fct_ledger_entries set amount = amount + 1"
    " where entry_id like 'acme%' and hash(entry_id) % 5 = {n} % 5",
    "delete from marts.fct_ledger_entries where entry_id like 'late-%'",
    "update marts.fct_user_days set revenue = revenue + 1",
    "update ops.build_state set built_through = built_through",
)


@st.composite
def scopes(draw: st.DrawFn) -> dict[str, Any]:
    """A token's scope and a request within it."""
    dataset = draw(st.sampled_from(DATASET_NAMES))
    by_user = dataset in ("ledger", "user_days", "wallet_days", "users", "focus")
    prefixes = st.sampled_from([None, *("acme", "acme:", "=", "nobody", "zeta_%", "alice")])
    return {
        "dataset": dataset,
        "prefix": draw(prefixes) if by_user else None,
        "currency": draw(st.sampled_from([None, "usd", "eur"])),
        "seed": draw(st.randoms(use_true_random=False)),
        "limit": draw(st.sampled_from([None, 1, 2, 3, 7, 100])),
        "format": draw(st.sampled_from(FORMATS)),
        "since": draw(st.none() | st.integers(1, 5)),
        "length": draw(st.none() | st.integers(0, 4)),
        "published": draw(st.lists(st.sampled_from(PUBLICATIONS), max_size=4)),
        "asks_columns": draw(st.booleans()),
        "has_columns": draw(st.booleans()),
    }


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(scopes())
def test_a_token_gets_a_filter_of_the_table_over_any_paging_while_publications_happen(
    served: Served, scope: dict[str, Any]
) -> None:
    dataset, chosen = DATASETS[scope["dataset"]], scope["seed"]
    every = list(all_rows(served.home, dataset.name)[0])
    limited = scope["prefix"] is not None or scope["currency"] is not None
    columns = [name for name in every if not (limited and name == "revenue_share")]
    visible = chosen.sample(columns, chosen.randint(1, len(columns))) if scope["has_columns"] else columns
    requested = chosen.sample(visible, chosen.randint(1, len(visible))) if scope["asks_columns"] else None
    since = until = None
    if dataset.day in visible:
        since = date(2026, 10, scope["since"]) if scope["since"] else None
        until = (since or date(2026, 10, 2)) + timedelta(scope["length"]) if scope["length"] else None
    where = [f"user_prefix={scope['prefix']}"] if scope["prefix"] else []
    currency = "BillingCurrency" if dataset.name == "focus" else "currency"
    stated = scope["currency"] and (
        scope["currency"].upper() if dataset.name == "focus" else scope["currency"]
    )
    where += [f"{currency}={stated}"] if stated else []
    token = served.token(datasets=[dataset.name], columns=",".join(visible), where=where)
    wanted = Wanted(
        dataset.name,
        requested or [name for name in every if name in visible],
        {currency: stated} if stated else {},
        scope["prefix"],
        since,
        until,
    )
    parameters = {
        "format": scope["format"],
        "from": since,
        "to": until,
        "limit": scope["limit"],
        "columns": ",".join(requested) if requested else None,
    }
    query = "&".join(f"{name}={value}" for name, value in parameters.items() if value is not None)
    published, got = iter(scope["published"]), list[dict[str, Any]]()
    for response in pages(served, f"/v1/datasets/{dataset.name}/rows?{query}", token):
        now = texts(served, wanted, scope["format"], dataset.day)
        if response.status_code == 409:
            assert got != now[: len(got)], "refused, although the rows that were read are still the first"
            return
        assert response.status_code == 200, response.text
        page = read(response.content, scope["format"])
        assert int(response.headers["X-Rows"]) == len(page)
        got += page if scope["format"] != "csv" else same_numbers(page, now)
        assert got == now[: len(got)]
        if "next" in response.links:
            assert len(page) == scope["limit"]
            if (statement := next(published, None)) is not None:
                publish(served.home, statement.format(n=next(NUMBER)))
    assert got == now


def texts(served: Served, wanted: Wanted, encoding: str, day: str | None) -> list[dict[str, Any]]:
    is_focus = wanted.dataset == "focus" and encoding != "parquet"
    return as_texts(expected(served.home, wanted, day), encoding, whole_seconds=is_focus)


def same_numbers(page: list[dict[str, Any]], wanted: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """A CSV's cells, with those of ratios as numbers."""
    ratios = {name for row in wanted for name, value in row.items() if isinstance(value, float)}
    return [
        {name: float(cell) if name in ratios and cell else cell for name, cell in row.items()} for row in page
    ]


def test_conditions_of_the_request_narrow_those_of_the_token(served: Served) -> None:
    token = served.token(where=["user_prefix=acme:"])
    path = f"{ROWS}?format=jsonl&columns=user_id,paywall_id&where=paywall_id=pw1"
    rows = read(served.get(path, token).content, "jsonl")
    assert {(row["user_id"], row["paywall_id"]) for row in rows} == {("acme:2", "pw1")}
    assert read(served.get(f"{path}&where=user_id=acme", token).content, "jsonl") == []


@pytest.mark.parametrize(
    ("prefix", "users"),
    [
        ("acme:", {"acme:1", "acme:2"}),
        ("acme", {"acme", "acme:1", "acme:2"}),
        ("zeta_%", {"zeta_%"}),
        ("z%", set()),
        ("=", {"=bob"}),
        ("' or true --", set()),
    ],
)
def test_a_prefix_is_taken_to_the_letter(served: Served, prefix: str, users: set[str]) -> None:
    token = served.token(where=[f"user_prefix={prefix}"])
    rows = read(served.get(f"{ROWS}?format=jsonl&columns=user_id", token).content, "jsonl")
    assert {row["user_id"] for row in rows} == users


def test_days_are_half_open(served: Served) -> None:
    path = f"{ROWS}?format=jsonl&columns=entry_date&from=2026-10-02&to=2026-10-03"
    assert {row["entry_date"] for row in read(served.get(path).content, "jsonl")} == {"2026-10-02"}


@pytest.mark.parametrize("encoding", FORMATS)
def test_text_that_is_written_in_parts_is_that_of_one_piece(
    served: Served, encoding: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = [f"{ROWS}?format={encoding}", f"{ROWS}?limit=20&format={encoding}", f"{ROWS}?from=2027-01-01"]
    whole = [served.get(path) for path in paths]
    monkeypatch.setattr("exports.server.slices.PART_ROWS", 7)
    parts = [served.get(path) for path in paths]
    assert [(one.content, one.headers["ETag"]) for one in parts] == [
        (one.content, one.headers["ETag"]) for one in whole
    ]


# ---- nothing of others


def test_nothing_that_a_token_receives_depends_on_rows_of_others(own: Served) -> None:
    token = own.token(where=["user_prefix=acme:"])
    other = own.token(where=["paywall_id=pw1"], columns="entry_date,amount,currency,charges,revenue")
    model = own.token(datasets=["models"], where=["model_id=m"])
    paths = [
        "/v1/catalog",
        "/v1/exports/v1/catalog.json",
        "/v1/exports/v1/ledger/manifest.json",
        *(f"/v1/datasets/{name}" for name in DATASETS),
        *(f"/v1/datasets/{name}/rows?format={one}" for name in DATASETS for one in FORMATS),
        f"{ROWS}?limit=3",
        f"{ROWS}?where=user_id=secret",
        f"{ROWS}?where=nothing=1",
        f"{ROWS}?where=amount=x",
        f"{ROWS}?from=2026-10-05",
    ]

    def received() -> list[tuple[Any, ...]]:
        answers = []
        for path, header in itertools.product(paths, (token, other, model)):
            response = own.get(path, header)
            kept = {name: value for name, value in response.headers.items() if name != "link"}
            answers.append((path, response.status_code, kept, response.content))
        return answers

    before = received()
    hidden = {"user_id": "'secret'", "paywall_id": "'pw9'"}
    marts = {mart: f"select * replace ('secret' as user_id) from marts.{mart}" for mart in ("rpt_users",)}
    publish(
        own.home,
        like_c1(entry_id="'secret-1'", entry_date="date '2026-10-05'", **hidden),
        like_c1(entry_id="'aaa-secret'", entry_date="date '2026-10-01'", amount="99999", **hidden),
        *(f"insert into marts.{mart} {query}" for mart, query in marts.items()),
        "update marts.fct_ledger_entries set amount = 77777 where user_id = 'acme'",
        "update marts.rpt_models set revenue = 5 where model_id <> 'm'",
        "update marts.rpt_models set revenue_share = 0.125",
        "update marts.fct_balance_rollforward set closing_balance = 1",
    )
    after = received()
    assert [path for (path, *was), (_, *now) in zip(before, after, strict=True) if was != now] == []
    assert not any(b"secret-1" in content or b"77777" in content for *_, content in after)
    # The test would notice: a token without limits does see a difference.
    assert b"77777" in own.get(f"{ROWS}?format=csv").content


def test_totals_days_and_rows_are_those_of_the_tokens_rows(own: Served) -> None:
    publish(own.home, like_c1(entry_id="'b'", user_id="'bob'", entry_date="date '2026-10-09'"))
    described = own.get("/v1/datasets/ledger", own.token(where=["user_prefix=acme:"])).json()
    # acme:1 and acme:2, on each of four days: day + 0.5 and day + 1.5.
    assert described["rows"] == 8
    assert (described["first_day"], described["last_day"]) == ("2026-10-01", "2026-10-04")
    totals = {one["date"]: one["totals"]["usd"]["amount"] for one in described["partitions"]}
    assert totals == {
        "2026-10-01": "4.000000000000",
        "2026-10-02": "6.000000000000",
        "2026-10-03": "8.000000000000",
        "2026-10-04": "10.000000000000",
    }


def test_a_token_for_users_sees_no_dataset_without_users(served: Served) -> None:
    token = served.token(where=["user_prefix=acme:"])
    names = [one["name"] for one in served.get("/v1/catalog", token).json()["datasets"]]
    assert names == ["ledger", "user_days", "wallet_days", "usage_errors", "credit_days", "users", "focus"]
    refused = served.get("/v1/datasets/daily_revenue/rows", token)
    assert refused.status_code == 403


def test_hidden_columns_are_neither_shown_nor_filtered_nor_ordered_visibly(served: Served) -> None:
    token = served.token(datasets=["ledger"], columns="amount,currency")
    assert list(read(served.get(ROWS, token).content, "csv")[0]) == ["currency", "amount"]
    for query in ("columns=user_id", "where=user_id=alice", "from=2026-10-01", "where=entry_id>=a"):
        assert served.get(f"{ROWS}?{query}", token).status_code == 403, query
    described = served.get("/v1/datasets/ledger", token).json()
    assert (described["partitioned_by"], described["ordered_by"], described["first_day"]) == (None, [], None)
    assert [one["date"] for one in described["partitions"]] == [None]


# ---- tokens


def test_without_a_valid_token_nothing_is_answered(own: Served) -> None:
    valid = own.everything["Authorization"]
    wrong = [
        None,
        "",
        "Bearer",
        "Bearer x",
        valid.removesuffix(valid[-1]),
        valid + "x",
        valid.replace("Bearer", "Basic"),
        "Bearer " + valid.removeprefix("Bearer ")[:20] + "_" + "A" * 43,
    ]
    for path in ("/v1/catalog", ROWS, "/v1/exports/v1/catalog.json", "/nowhere", "/", "/v1/datasets/x"):
        for header in wrong:
            response = own.get(path, {} if header is None else {"Authorization": header})
            assert response.status_code == 401, (path, header)
            assert response.headers["WWW-Authenticate"].startswith("Bearer ")
    assert own.get("/v1/catalog", {"authorization": valid.replace("Bearer", "bearer")}).status_code == 200


def test_a_revoked_or_expired_token_is_refused_from_the_next_request_on(own: Served) -> None:
    token = bearer(own.home, "leaver")
    assert own.get("/v1/catalog", token).status_code == 200
    revoke_token(Home(own.home), "leaver")
    assert own.get("/v1/catalog", token).status_code == 401
    expired = bearer(own.home, "old", expires="2026-10-06")
    assert own.get("/v1/catalog", expired).status_code == 401
    assert own.get("/v1/catalog", bearer(own.home, "new", expires="2999-01-01")).status_code == 200


def test_only_hashes_are_stored_in_a_private_file(own: Served) -> None:
    file = Home(own.home).tokens_file
    secret = own.everything["Authorization"].removeprefix("Bearer ")
    assert file.stat().st_mode & 0o777 == 0o600
    content = file.read_text()
    assert secret not in content
    assert secret.rpartition("_")[2] not in content


def test_a_damaged_token_file_lets_nobody_in(own: Served) -> None:
    file = Home(own.home).tokens_file
    file.write_text(file.read_text()[:-20])
    assert own.get("/v1/catalog").status_code == 503


def test_the_access_log_has_neither_tokens_nor_values(own: Served, caplog: pytest.LogCaptureFixture) -> None:
    secret = own.everything["Authorization"].removeprefix("Bearer ")
    with caplog.at_level(logging.INFO):
        own.get(f"{ROWS}?where=user_id=alice")
        own.get(f"/v1/{secret}?token={secret}")
    lines = [record.getMessage() for record in caplog.records if record.name.endswith("access_log")]
    assert len(lines) == 2
    assert " everything GET /v1/datasets/ledger/rows 200, " in lines[0]
    assert not any("alice" in line or secret in line for line in lines)


# ---- revisions


def test_an_etag_changes_with_the_rows_of_the_slice_only(own: Served) -> None:
    day = f"{ROWS}?from=2026-10-02&to=2026-10-03"
    first = own.get(day)
    known = own.get(day, If_None_Match=f'"x", W/{first.headers["ETag"]}')
    assert (known.status_code, known.content) == (304, b"")
    publish(own.home, like_c1(entry_id="'n1'", entry_date="date '2026-10-04'"))
    assert own.get(day, If_None_Match=first.headers["ETag"]).status_code == 304
    publish(own.home, like_c1(entry_id="'n2'", entry_date="date '2026-10-02'"))
    changed = own.get(day, If_None_Match=first.headers["ETag"])
    assert changed.status_code == 200
    assert changed.headers["ETag"] != first.headers["ETag"]


def test_the_revision_of_a_day_is_that_of_its_slice(served: Served) -> None:
    partitions = served.get("/v1/datasets/ledger").json()["partitions"]
    revision = next(one["revision"] for one in partitions if one["date"] == "2026-10-02")
    etag = served.get(f"{ROWS}?from=2026-10-02&to=2026-10-03&format=jsonl").headers["ETag"]
    assert etag == f'"{revision}.jsonl"'


def test_a_cursor_goes_on_after_rows_that_follow_and_is_refused_after_rows_before(own: Served) -> None:
    first = own.get(f"{ROWS}?limit=10&columns=entry_id&format=jsonl")
    after = first.links["next"]["url"]
    publish(own.home, like_c1(entry_id="'zzz'", entry_date="date '2026-10-04'"))
    rest = list(pages(own, after, own.everything))
    got = read(first.content + b"".join(one.content for one in rest), "jsonl")
    assert got == [{"entry_id": row["entry_id"]} for row in all_rows(own.home, "ledger")]
    publish(own.home, like_c1(entry_id="'aaa'", entry_date="date '2026-10-01'"))
    assert own.get(after).status_code == 409


def test_a_cursor_belongs_to_its_slice_and_scope(served: Served) -> None:
    after = served.get(f"{ROWS}?limit=2").links["next"]["url"]
    assert served.get(f"{after}&columns=entry_id").status_code == 400
    assert served.get(after.replace("limit=2", "limit=3")).status_code == 200
    assert served.get(after, served.token(where=["user_prefix=acme:"])).status_code == 400
    assert served.get(after.replace("ledger", "users")).status_code == 400
    cursor = after.rpartition("cursor=")[2]
    flipped = ("B" if cursor[50] == "A" else "A").join((cursor[:50], cursor[51:]))
    assert served.get(f"{ROWS}?limit=2&cursor={flipped}").status_code == 400


# ---- wrong requests


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("form=csv", "allowed: from, to, columns, where, format, limit, cursor"),
        ("format=xml", "allowed: csv, jsonl, parquet"),
        ("from=yesterday", "allowed: a day such as"),
        ("from=2026-10-02&to=2026-10-01", "to is the day after the last"),
        ("from=2026-10-02&from=2026-10-03", "stated twice"),
        ("limit=0", "allowed: a whole number from 1 to"),
        ("limit=1e3", "allowed: a whole number from 1 to"),
        ("limit=99999999999999999999", "allowed: a whole number from 1 to"),
        ("columns=", "allowed: entry_id, user_id"),
        ("columns=amount,amount", "named twice"),
        ("columns=nothing", "allowed: entry_id, user_id"),
        ("where=nothing=1", "allowed: entry_id, user_id"),
        ("where=amount", "allowed: column=value"),
        ("where=amount=much", "allowed: a decimal"),
        ("cursor=", "allowed: the cursor in the Link header"),
    ],
)
def test_a_wrong_parameter_is_answered_with_what_is_allowed(served: Served, query: str, words: str) -> None:
    response = served.get(f"{ROWS}?{query}")
    assert response.status_code == 400
    assert words in response.json()["error"]


def test_what_is_not_there_is_404_and_a_snapshot_has_no_days(served: Served) -> None:
    assert served.get("/v1/datasets/nothing").status_code == 404
    assert served.get("/v1/datasets/ledger/").status_code == 404
    assert served.get("/v2").status_code == 404
    assert served.get("/v1/datasets/users/rows?from=2026-10-01").status_code == 400
    assert served.get("/v1/catalog?x=1").status_code == 400
    assert served.client.post("/v1/catalog", headers=served.everything).status_code == 405


def test_a_response_over_a_limit_is_refused(own: Served) -> None:
    with api(own.home, Limits(rows=5)) as client:
        assert client.get(ROWS, headers=own.everything).status_code == 413
        assert client.get(f"{ROWS}?limit=5", headers=own.everything).status_code == 200
        assert client.get(f"{ROWS}?limit=6", headers=own.everything).status_code == 400
    with api(own.home, Limits(file_bytes=100)) as client:
        assert client.get(ROWS, headers=own.everything).status_code == 413
        assert client.get(f"{ROWS}?columns=currency&limit=1", headers=own.everything).status_code == 200
    with api(own.home, Limits(waiting=0)) as client:
        busy = client.get("/v1/catalog", headers=own.everything)
        assert (busy.status_code, busy.headers["Retry-After"]) == (503, "5")
    assert list(Home(own.home).tmp.glob("serve-*/*")) == []


TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
HOSTILE = """
0|-1|2026-10-01|0001-01-01|9999-12-31|a=b|user_id in |amount>=1e99|occurred_at>=0001-01-01T00:00:00+23:59
occurred_at=9999-12-31T23:59:59-23:59|entry_date=0001-01-01|prompt_tokens<999999999999999999|amount in (1,2
user_id in "|%00|'|');--|../../state/tokens.json|amount=99999999999999999999999999|versions=1.5
"""
VALUES = TEXT | st.sampled_from(
    ["", "\x00", "user_id=\x00", "9" * 400, *HOSTILE.strip().replace("\n", "|").split("|")]
)
STARTS = ("/", "/v1/", "/v1/datasets/", "/v1/exports/", "/v1/exports/v1/ledger/", "/v1/exports/v1/../../")
NAMES = st.sampled_from(["from", "to", "columns", "where", "format", "limit", "cursor"]) | TEXT
PATHS = st.sampled_from(
    ["/v1/catalog", "/v1/datasets/ledger", ROWS, "/v1/datasets/users/rows", "/v1/exports/v1/catalog.json"]
) | st.builds(lambda start, end: start + end, st.sampled_from(STARTS), VALUES)
HEADER_TEXT = st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=60)
RANGES = ["bytes=0-0", "bytes=-1", "bytes=9-1", "bytes=99999999-", "[::1", "*", "a/b?c#d"]
HEADERS = st.dictionaries(
    st.sampled_from(["range", "if-range", "if-none-match", "host", "accept", "x-forwarded-for", "cookie"]),
    HEADER_TEXT | st.sampled_from(RANGES),
)
QUERIES = st.lists(st.tuples(NAMES, VALUES), max_size=4)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(PATHS, QUERIES, HEADERS)
def test_no_request_makes_the_server_fail(
    served: Served, path: str, query: list[tuple[str, str]], headers: dict[str, str]
) -> None:
    response = served.client.get(
        quote(path, safe="/%"), params=query, headers={**headers, **served.everything}
    )
    assert response.status_code in (200, 206, 304, 400, 403, 404, 409, 416), response.text
    assert b"cursor_key" not in response.content


# ---- files


def test_a_file_of_the_export_is_sent_in_ranges(served: Served) -> None:
    manifest = served.get("/v1/exports/v1/ledger/manifest.json").json()
    named = manifest["partitions"][0]["files"][0]
    path = f"/v1/exports/v1/ledger/{named['path']}"
    whole = served.get(path).content
    assert whole == (served.home / "exports" / "v1" / "ledger" / named["path"]).read_bytes()
    part = served.get(path, Range="bytes=10-19")
    assert (part.status_code, part.content) == (206, whole[10:20])
    assert part.headers["Content-Range"] == f"bytes 10-19/{len(whole)}"
    assert served.get(path, Range="bytes=-5").content == whole[-5:]
    assert served.get(path, Range=f"bytes={len(whole)}-").status_code == 416
    head = served.client.head(path, headers=served.everything)
    assert (head.headers["Content-Length"], head.content) == (str(len(whole)), b"")


def test_the_export_tree_is_open_only_to_tokens_without_limits_on_the_dataset(served: Served) -> None:
    token = served.token(datasets=["ledger", "users"])
    catalog = served.get("/v1/exports/v1/catalog.json", token).json()
    assert [one["name"] for one in catalog["datasets"]] == ["ledger", "users"]
    assert served.get("/v1/exports/v1/models/manifest.json", token).status_code == 403
    for limited in (served.token(where=["currency=usd"]), served.token(columns="amount,currency")):
        assert served.get("/v1/exports/v1/ledger/manifest.json", limited).status_code == 403
        assert served.get("/v1/exports/v1/catalog.json", limited).json()["datasets"] == []


OTHER_PATHS = """
v1 v1/ v1/ledger v1/ledger/ catalog.json v1/../../state/tokens.json v1/ledger/../x v1/ledger/manifest.json/
v1/ledger/parquet/../../../../published/warehouse.duckdb v1/ledger/parquet/date=2026-10-01/
v1/ledger/manifest.json%00 v1/ledger/parquet/part-00000.parquet%0A
"""


@pytest.mark.parametrize("path", ["", *OTHER_PATHS.split()])
def test_nothing_else_is_in_the_tree(served: Served, path: str) -> None:
    assert served.get(f"/v1/exports/{path.replace('..', '%2e%2e')}").status_code == 404


# ---- state


def test_health_needs_no_token_and_has_no_numbers_of_the_ledger(own: Served) -> None:
    state = own.get("/health", {}).json()
    assert set(state) == {"status", "published_at", "age_seconds", "as_of", "last_run", "open_breaks"}
    assert (state["status"], state["last_run"]["status"]) == ("ok", "published")
    assert state["open_breaks"] is True
    publish(
        own.home,
        *(f"delete from marts.{mart}" for mart in ("fct_reconciliation", "fct_cost_reconciliation")),
    )
    assert own.get("/health", {}).json()["open_breaks"] is False
    Home(own.home).published_file.unlink()
    gone = own.get("/health", {})
    assert (gone.status_code, gone.json()["status"]) == (503, "nothing is published")
    assert own.get("/v1/catalog").status_code == 503


def test_the_document_describes_every_request(served: Served) -> None:
    document = json.loads(served.get("/v1/openapi.json", {}).content)
    assert document == json.loads(json.dumps(openapi_document()))
    assert list(document["paths"]) == [
        "/health",
        "/v1/openapi.json",
        "/v1/catalog",
        "/v1/datasets/{name}",
        "/v1/datasets/{name}/rows",
        "/v1/exports/{path}",
    ]
    catalog = served.get("/v1/catalog").json()
    schemas = document["components"]["schemas"]
    assert set(catalog) == set(schemas["Catalog"]["properties"])
    assert set(catalog["datasets"][0]) == set(schemas["DatasetSummary"]["properties"])
    assert set(served.get("/v1/datasets/ledger").json()) == set(schemas["Dataset"]["properties"])
