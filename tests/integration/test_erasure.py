"""Erasing a person: the id is nowhere any more, and every number is what it was."""

import gzip
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ingestion.erasure import erase as erase_module, parquet_files
from ingestion.erasure.erase import UnknownUserError, files_naming, rewrite_landed
from ingestion.erasure.texts import KEYS, Person, words_of
from ingestion.lake.batches import Lake
from ingestion.lake.erasures import ended, read_registry
from ingestion.lake.schemas import LAKE_TABLES
from ingestion.landing.area import Landing
from ingestion.sources.ledger import METADATA_KEYS
from orchestration.cli.erase import erase_user as erase_user_by_dbt
from paywall_warehouse.settings import Settings
from tests.support.builders import (
    Raw,
    charge,
    csv_text,
    deposit,
    event,
    events_file,
    jsonl,
    land,
    landed,
    ledger_file,
    parquet_table,
)
from tests.support.erasure_homes import (
    ALICE,
    AS_OF,
    FILES,
    NOON,
    marts,
    naming_alice,
    pseudonym_of,
    settings_of,
    under_the_pseudonym,
)
from tests.support.export_homes import export, manifest_of
from tests.support.harness import publish_home
from tests.support.ingestion import erase, load
from tests.support.replayed_dbt import replayed_builds
from tests.support.shared import in_soak

DAYS = ("2026-10-01", "2026-10-02", "2026-10-03")


def erase_user(
    settings: Settings, user: str, *, rewrite_landing: bool, progress: Callable[[str], None]
) -> int:
    """The command, without dbt where its statements are known."""
    with replayed_builds():
        return erase_user_by_dbt(settings, user, rewrite_landing=rewrite_landing, progress=progress)


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home that was published with Alice; not to be changed."""
    home = tmp_path_factory.mktemp("erasure") / "home"
    land(home, FILES)
    publish_home(home, as_of=AS_OF, max_reject_ratio="1")
    export(home)
    return home


@pytest.fixture(scope="module")
def erased(loaded: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """The same after Alice was erased, and what that said."""
    home = tmp_path_factory.mktemp("erased") / "home"
    shutil.copytree(loaded, home)
    reported: list[str] = []
    assert erase_user(settings_of(home), ALICE, rewrite_landing=False, progress=reported.append) == 0
    return home, reported


def test_the_id_is_nowhere_but_in_what_landed(loaded: Path, erased: tuple[Path, list[str]]) -> None:
    # The same look finds it before: in the lake, in the published file, in Parquet and in CSV.
    before = naming_alice(loaded)
    assert {name.split("/")[0] for name in before} >= {"landing", "lake", "published", "exports"}
    assert {Path(name).suffix for name in before if name.startswith("exports")} == {".parquet", ".gz"}
    home, _ = erased
    assert {name.split("/")[0] for name in naming_alice(home)} == {"landing"}
    assert naming_alice(home / "landing") == naming_alice(loaded / "landing")


def test_every_table_is_what_it_was_under_the_pseudonym(loaded: Path, erased: tuple[Path, list[str]]) -> None:
    home, _ = erased
    pseudonym = pseudonym_of(home)
    assert marts(home) == under_the_pseudonym(marts(loaded), pseudonym)
    with duckdb.connect(str(home / "published" / "warehouse.duckdb"), read_only=True) as db:
        # 20 + 5 deposited; 1.25 + 0.75 + 0.5 + 0.125 charged.
        of_alice = db.execute(
            "select total_deposits, total_spend, balance from marts.rpt_users where user_id = ?", [pseudonym]
        ).fetchall()
        others = db.execute(
            "select user_id from marts.dim_users where user_id <> ? order by 1", [pseudonym]
        ).fetchall()
        metadata = dict(
            db.execute(
                "select entry_id, metadata from marts.fct_ledger_entries where entry_id in ('d1', 'c2')"
            ).fetchall()
        )
        noted = db.execute("select pseudonym, erased_at is not null from ops.erasures").fetchall()
    assert of_alice == [(Decimal("25"), Decimal("2.625"), Decimal("22.375"))]
    assert others == [(f"{ALICE}.au",), ("bob",)]
    assert json.loads(metadata["d1"]) == {"note": f"from {pseudonym}, thanks", "deep": {"who": [pseudonym]}}
    assert json.loads(metadata["c2"]) == {"referred_by": pseudonym}
    assert noted == [(pseudonym, True)]


def test_days_of_the_person_are_restated_and_the_manifest_says_why(
    loaded: Path, erased: tuple[Path, list[str]]
) -> None:
    home, _ = erased
    before, after = (
        {one["date"]: one["revision"] for one in manifest_of(place / "exports", "ledger")["partitions"]}
        for place in (loaded, home)
    )
    # On the third day only Bob is charged.
    assert (before, after) == (dict.fromkeys(DAYS, 1), {DAYS[0]: 2, DAYS[1]: 2, DAYS[2]: 1})
    [operation] = manifest_of(home / "exports", "ledger")["operations"]
    assert (operation["kind"], operation["partitions"]) == ("erasure", [DAYS[0], DAYS[1]])
    assert manifest_of(home / "exports", "balance_rollforward")["operations"][0]["partitions"] == []
    assert manifest_of(loaded / "exports", "ledger")["operations"] == []


def test_the_report_names_the_landed_files_and_wallets_that_name_the_person(
    erased: tuple[Path, list[str]],
) -> None:
    home, reported = erased
    landing = home / "landing"
    # d1, c1, c2 (in somebody else's words), bad, worse; c3 and c5; c6; e1 and e3; p1.
    assert [line for line in reported if line.startswith("  ")] == [
        f"  {landing}/ledger/a.jsonl: 5 records",
        f"  {landing}/ledger/b.csv.gz: 2 records",
        f"  {landing}/ledger/c.parquet: 1 records",
        f"  {landing}/events/e.jsonl.zst: 2 records",
        f"  {landing}/payments/p.csv: 1 records",
    ]
    assert reported[0] == f"11 rows of the lake now name {pseudonym_of(home)} instead."
    assert reported[-1] == "Webhooks link the person to the wallet 'w1'; `erase w1` replaces that id as well."


def test_an_erasure_once_more_changes_nothing(erased: tuple[Path, list[str]]) -> None:
    home, _ = erased
    before = {file: file.stat().st_mtime_ns for file in (home / "lake").rglob("*.parquet")}
    pseudonym = pseudonym_of(home)
    done = erase(settings_of(home), ALICE)
    assert (done.pseudonym, done.rows) == (pseudonym, 0)
    assert {file: file.stat().st_mtime_ns for file in (home / "lake").rglob("*.parquet")} == before
    assert ALICE not in (home / "lake" / "erasures.json").read_text()


def test_what_lands_later_under_the_old_id_is_pseudonymised(
    erased: tuple[Path, list[str]], tmp_path: Path
) -> None:
    home = Path(shutil.copytree(erased[0], tmp_path / "home"))
    late = [
        charge("late", "2026-10-04T09:00:00Z", "1", user=ALICE, metadata={"who": ALICE}),
        charge("c1", "2026-10-01T09:00:00Z", "1.5", user=ALICE, updated_at="2026-10-04T09:00:00Z"),
        charge("late too", "2026-10-04T09:00:00Z", "?", user=ALICE),
        Raw(f"{ALICE},no record"),
        # The operator's rate and the charge still name the same model.
        charge("c9", "2026-10-02T09:00:00Z", "1", user="bob", model=TUNED, prompt_tokens=1),
    ]
    delivery = event(
        "e9",
        "usage.charge.created",
        "2026-10-04T11:00:00Z",
        walletUserId=ALICE,
        activityId="act_9",
        cost="0.25",
    )
    land(home, [ledger_file("late.jsonl", late), events_file("late.jsonl", [delivery]), OWN_RATES])
    publish_home(home, as_of=AS_OF, max_reject_ratio="1")
    export(home)
    assert {name.split("/")[0] for name in naming_alice(home)} == {"landing"}
    with duckdb.connect(str(home / "published" / "warehouse.duckdb"), read_only=True) as db:
        spent = db.execute(
            "select total_spend from marts.rpt_users where user_id = ?", [pseudonym_of(home)]
        ).fetchall()
        rejected = db.execute(
            "select raw from ops.rejected_records where path = 'ledger/late.jsonl' order by line"
        ).fetchall()
    assert published(home, "select provider_cost from marts.fct_ledger_entries where entry_id = 'c9'") == [
        (Decimal("0.000002"),)
    ]
    # 2.625 before; c1 costs 0.25 more, late 1, act_9 0.25.
    assert spent == [(Decimal("4.125"),)]
    assert [pseudonym_of(home) in raw for (raw,) in rejected] == [True, True]


def test_landed_files_are_rewritten_on_request(erased: tuple[Path, list[str]], tmp_path: Path) -> None:
    home = Path(shutil.copytree(erased[0], tmp_path / "home"))
    before = {file: file.stat().st_mtime_ns for file in (home / "landing").rglob("*") if file.is_file()}
    reported: list[str] = []
    assert erase_user(settings_of(home), ALICE, rewrite_landing=True, progress=reported.append) == 0
    assert naming_alice(home) == []
    assert {
        file: file.stat().st_mtime_ns for file in (home / "landing").rglob("*") if file.is_file()
    } == before
    assert f"  {home}/landing/ledger/b.csv.gz: 2 records rewritten" in reported
    # Names, formats and everything else are as they were: a lake that is made of them anew has the same rows.
    assert load(settings_of(home), "ledger").files == load(settings_of(home), "events").files == 0
    again = tmp_path / "again"
    shutil.copytree(home / "landing", again / "landing")
    for source in ("ledger", "payments", "events"):
        load(settings_of(again), source)
    assert sorted(map(_of_the_record, _lake_rows(again))) == sorted(map(_of_the_record, _lake_rows(home)))
    # Another time there is nothing left to list.
    files = [
        file
        for source in ("ledger", "events", "payments")
        for file in Landing.of(settings_of(home)).files(source)
    ]
    assert len(files) == 5
    assert files_naming(settings_of(home), files, ALICE, pseudonym_of(home)) == []


# ---- columns that were taken out of a record

# Where each text column of the lake comes from: a field of the record, or a key of its metadata.
LEDGER_PATHS = {
    "entry_id": ("id",),
    "entry_type": ("type",),
    "status": ("status",),
    "paywall_id": ("paywall",),
    "currency": ("currency",),
    "provider_cost_currency": ("provider_cost_currency",),
    "request_id": ("request_id",),
    "model": ("model",),
    "related_entry_id": ("related_id",),
    "billing": ("billing",),
    **{name: ("metadata", keys[0]) for name, keys in METADATA_KEYS.items() if name != "request_id"},
}
EVENT_PATHS = {
    "event_id": ("id",),
    "event_type": ("type",),
    "paywall_id": ("paywallId",),
    "activity_id": ("data", "activityId"),
    "currency": ("data", "currency"),
    "model": ("data", "model"),
    "request_id": ("data", "requestId"),
    "error_code": ("data", "errorCode"),
    "reason": ("data", "reason"),
    "source": ("data", "source"),
    "checkout_session_id": ("data", "checkoutSessionId"),
    **{
        name: ("metadata", keys[0])
        for name, keys in METADATA_KEYS.items()
        if name not in ("request_id", "reason", "checkout_session_id")
    },
    "metadata_reason": ("metadata", "reason"),
}
# Tables without JSON: ids of processors, names of providers, projects and keys, and words of formats.
KEYS_OF_OTHERS = {
    "provider_rates": {"currency"},
    "markups": {"source"},
    "rail_payments": {"rail", "payment_id", "currency", "status"},
    "rejects": {"source", "path", "reason_code"},
    **{
        table: {name for name, kind in columns.items() if kind == "varchar"} - {*parquet_files.ID_COLUMNS}
        for table, columns in LAKE_TABLES.items()
        if table.startswith(("stripe_", "bill_"))
    },
}
ALL_TEXTS = {*parquet_files.ID_COLUMNS, *parquet_files.JSON_COLUMNS, *parquet_files.EXTRACTED}


def test_every_text_column_of_the_lake_is_a_user_a_text_or_a_key() -> None:
    """A new column fails here until somebody has said which it is, and where in a record it comes from."""
    paths = {"ledger_entries": LEDGER_PATHS, "webhook_events": EVENT_PATHS}
    for table, columns in LAKE_TABLES.items():
        texts = {name for name, kind in columns.items() if kind == "varchar"}
        # The name of a mapping, which no record states.
        texts -= {"source"} if table == "ledger_entries" else set()
        if table in paths:
            assert texts - {*parquet_files.ID_COLUMNS, *parquet_files.JSON_COLUMNS} == set(paths[table]), (
                table
            )
            assert {name for name, path in paths[table].items() if path not in KEYS} == texts & set(
                parquet_files.EXTRACTED
            ), table
        else:
            known = ALL_TEXTS if table != "rejects" else {*parquet_files.ROW_COLUMNS}
            assert table in KEYS_OF_OTHERS, f"add the text columns of {table} that are keys to KEYS_OF_OTHERS"
            assert texts - known == KEYS_OF_OTHERS[table] - known, table


@pytest.mark.parametrize(
    "said",
    [f"{ALICE}\nand more", *in_soak(ALICE, f"for {ALICE}, thanks")],
    ids=["line", "whole", "sentence"],
)
@pytest.mark.parametrize(("source", "paths"), [("ledger", LEDGER_PATHS), ("events", EVENT_PATHS)])
def test_a_column_that_was_taken_out_of_a_record_is_treated_like_its_field(
    tmp_path: Path, source: str, paths: dict[str, tuple[str, ...]], said: str
) -> None:
    home = tmp_path / "home"
    # What decides whether a record is one stays what it is.
    fixed = {"entry_id", "event_id", "entry_type", "event_type", "status", "billing"}
    fixed |= {"currency", "provider_cost_currency"}
    if source == "ledger":
        record: dict[str, Any] = charge("c1", NOON, user=ALICE, metadata={})
    else:
        record = event(
            "e1", "usage.charge.created", NOON, walletUserId="w1", externalUserId=ALICE, cost=1, metadata={}
        )
    for column, (*within, name) in paths.items():
        if column not in fixed:
            (record[within[0]] if within else record)[name] = said
    land(home, [ledger_file("a.jsonl", [record]) if source == "ledger" else events_file("a.jsonl", [record])])
    assert load(settings_of(home), source).rejected == 0
    done = erase(settings_of(home), ALICE)
    found = files_naming(
        settings_of(home), Landing.of(settings_of(home)).files(source), ALICE, done.pseudonym
    )
    rewrite_landed(settings_of(home), found, ALICE, done.pseudonym)
    landed_now = json.loads((home / "landing" / source / "a.jsonl").read_text())
    [file] = (home / "lake").glob("*/batch=*/*.parquet")
    [row] = pq.ParquetFile(file).read().to_pylist()
    body = json.loads(row["body"]) if source == "events" else {"metadata": json.loads(row["metadata"])}
    for column, (*within, name) in paths.items():
        for place in (landed_now, body):
            stated = place[within[0]] if within else place
            if name in stated and column not in fixed:
                assert row[column] == stated[name], column
        if column in parquet_files.EXTRACTED:
            assert row[column] == said.replace(ALICE, done.pseudonym)
    # A home that is made anew of the rewritten files has the same rows.
    again = tmp_path / "again"
    shutil.copytree(home / "landing", again / "landing")
    load(settings_of(again), source)
    assert list(map(_of_the_record, _lake_rows(again))) == list(map(_of_the_record, _lake_rows(home)))


TUNED = f"ft-small:{ALICE}"
OWN_RATES = landed(
    "prices",
    "own.csv",
    csv_text(
        [
            {
                "model": TUNED,
                "effective_from": "2026-01-01",
                "prompt_per_million": "2",
                "completion_per_million": "10",
                "currency": "usd",
            },
        ]
    ),
)
TEXTS_OF_ALICE = [
    ledger_file(
        "a.jsonl",
        [
            deposit("d1", "2026-10-01T08:00:00Z", "20", user=ALICE, metadata={"reason": ALICE}),
            charge(
                "c1",
                "2026-10-01T09:00:00Z",
                "1.25",
                user=ALICE,
                model=TUNED,
                prompt_tokens=1000,
                completion_tokens=100,
            ),
            charge(
                "c2",
                "2026-10-01T10:00:00Z",
                "2",
                user="bob",
                model=TUNED,
                prompt_tokens=500,
                completion_tokens=0,
            ),
        ],
    ),
    events_file(
        "e.jsonl",
        [
            event(
                "e1",
                "request.blocked",
                "2026-10-01T11:00:00Z",
                walletUserId="w1",
                externalUserId=ALICE,
                model=f"own/{ALICE}",
                errorCode=f"quota of {ALICE}",
                reason=ALICE,
            ),
            event(
                "e2",
                "balance.deposit.created",
                "2026-10-01T12:00:00Z",
                walletUserId="w1",
                externalUserId=ALICE,
                activityId="a1",
                amount=5,
                currency="usd",
                source=f"stripe: {ALICE}",
                metadata={"reason": f"gift of {ALICE}"},
            ),
        ],
    ),
    OWN_RATES,
]


def test_texts_of_the_persons_own_rows_are_published_nowhere_and_cost_what_they_cost(tmp_path: Path) -> None:
    home = tmp_path / "home"
    land(home, TEXTS_OF_ALICE)
    publish_home(home, as_of=AS_OF, max_reject_ratio="1")
    before, columns = marts(home), "select error_code, model_id from marts.fct_usage_errors"
    assert published(home, columns) == [(f"quota of {ALICE}", f"own/{ALICE}")]
    pseudonym = erase(settings_of(home), ALICE).pseudonym
    publish_home(home, as_of=AS_OF, max_reject_ratio="1")
    assert {name.split("/")[0] for name in naming_alice(home)} == {"landing"}
    assert marts(home) == under_the_pseudonym(before, pseudonym)
    assert published(home, columns) == [(f"quota of {pseudonym}", f"own/{pseudonym}")]
    # 1000 × 2 + 100 × 10 and 500 × 2 millionths: the operator's rates still name the model.
    costs = published(
        home, "select entry_id, provider_cost, rail from marts.fct_ledger_entries where entry_id <> 'd1'"
    )
    assert sorted(costs) == [
        ("a1", None, "stripe"),
        ("c1", Decimal("0.003"), None),
        ("c2", Decimal("0.001"), None),
    ]


def test_keys_that_contain_the_id_are_reported(tmp_path: Path) -> None:
    home = tmp_path / "home"
    land(
        home,
        [
            ledger_file(
                f"{ALICE}.jsonl",
                [
                    charge(f"{ALICE}-1", NOON, user=ALICE, request_id=f"r-{ALICE}"),
                    charge("x", NOON, "?", user=ALICE),
                ],
            )
        ],
    )
    load(settings_of(home), "ledger")
    assert erase(settings_of(home), ALICE).keys == {"entry_id": 1, "request_id": 1, "path": 1}


def published(home: Path, query: str) -> list[tuple[Any, ...]]:
    with duckdb.connect(str(home / "published" / "warehouse.duckdb"), read_only=True) as db:
        return db.execute(query).fetchall()


@pytest.mark.parametrize(
    ("user", "name", "before", "after"),
    [
        # A model that the price book knows costs what it costs, whoever is called like its maker.
        ("openai", "model", "openai/gpt-4o", "openai/gpt-4o"),
        ("gpt-4o", "model", "gpt-4o", "gpt-4o"),
        ("openai", "model", "openai/unheard-of", "openai/unheard-of"),
        ("anna", "model", "anna/llama-tuned", "P/llama-tuned"),
        ("anna", "model", "nobody/anna", "nobody/P"),
        # A reason that makes a deposit a gift stays one.
        ("goodwill", "reason", "goodwill", "goodwill"),
        ("anna", "reason", "goodwill", "goodwill"),
        ("anna", "reason", "anna", "P"),
        # By this a webhook's deposit is Stripe's.
        ("stripe-7", "source", "stripe-7", "stripe-7"),
        ("anna", "source", "stripe of anna", "stripe of P"),
    ],
)
def test_a_text_that_decides_a_number_stays(user: str, name: str, before: str, after: str) -> None:
    assert Person(user, "P", ("goodwill",)).in_text(name, before, is_about=True) == after


REFERRED = [
    charge("s1", NOON, user="bob", metadata={"referred_by": ALICE, "deep": [{"by": f"\\u0061{ALICE[1:]}"}]})
]
CHANNELS = {
    "somebody else's metadata": ledger_file("one.jsonl", REFERRED),
    "metadata of a CSV row": ledger_file("one.csv", REFERRED),
    "an event's body": events_file(
        "one.jsonl",
        [event("x1", "usage.charge.created", NOON, walletUserId="w9", activityId="x", cost=1, actorId=ALICE)],
    ),
    "a rejected record": ledger_file("one.jsonl", [charge("s1", NOON, "?", user=ALICE)]),
    "a rejected record, escaped": ledger_file(
        "one.jsonl", [Raw('{"id": "s1", "user": "alice\\u0040example.com"}')]
    ),
    "a rejected row": ledger_file("one.csv", [charge("s1", NOON, "?", user=ALICE)]),
    "a reason that quotes": ledger_file("one.csv", [charge("s1", NOON, user="bob", currency=ALICE)]),
}


def test_an_erased_id_that_comes_back_by_itself_is_recognised_wherever_it_stands(tmp_path: Path) -> None:
    home = tmp_path / "home"
    land(home, [ledger_file("first.jsonl", [charge("c1", NOON, user=ALICE)])])
    load(settings_of(home), "ledger")
    erase(settings_of(home), ALICE)
    rows = len(_lake_rows(home))
    land_channels(home)
    for source in ("ledger", "events"):
        load(settings_of(home), source)
    landed_files = [file for manifest in Lake(settings_of(home).home).manifests() for file in manifest.files]
    assert [file.records for file in landed_files[1:]] == [1] * len(CHANNELS)
    assert naming_alice(home / "lake") == []
    # The row of each of them is there, and names the pseudonym.
    lake_rows = _lake_rows(home)
    assert len(lake_rows) == rows + len(CHANNELS)
    assert all(pseudonym_of(home) in row for row in lake_rows)


def land_channels(home: Path) -> None:
    land(
        home,
        [replace(file, name=f"{number}-{file.name}") for number, file in enumerate(CHANNELS.values())],
    )


def test_who_stands_in_rejected_records_or_in_texts_only_is_erased_too(tmp_path: Path) -> None:
    home = tmp_path / "home"
    land_channels(home)
    for source in ("ledger", "events"):
        load(settings_of(home), source)
    # Each of them has one row.
    assert len(_lake_rows(home)) == len(CHANNELS)
    assert erase(settings_of(home), ALICE).rows == len(CHANNELS)
    assert naming_alice(home / "lake") == []
    assert all(pseudonym_of(home) in row for row in _lake_rows(home))


def test_the_words_of_the_format_stay_whoever_is_called_so(tmp_path: Path) -> None:
    """People who are called `user`, `promo` and `charge`: others' records and every number stay as they
    are.
    """
    home = tmp_path / "home"
    records = [
        deposit("d1", NOON, "3", user="user", metadata={"funding": "promo"}),
        deposit(
            "d2", NOON, "4", user="promo", metadata={"reason": "promo", "promo": "promo", "user": "promo"}
        ),
        charge("c1", NOON, "1", user="charge"),
        charge("c2", NOON, "?", user="bob"),
    ]
    land(
        home,
        [
            ledger_file("a.jsonl", records),
            ledger_file("b.csv", [one | {"id": f"{one['id']}b"} for one in records]),
        ],
    )
    load(settings_of(home), "ledger")
    before = _lake_rows(home)
    for user in ("user", "promo", "charge"):
        done = erase(settings_of(home), user)
        found = files_naming(
            settings_of(home), Landing.of(settings_of(home)).files("ledger"), user, done.pseudonym
        )
        rewrite_landed(settings_of(home), found, user, done.pseudonym)
        assert (done.rows, [one.records for one in found]) == (2, [1, 1])
        before = [row.replace(f"'user_id': '{user}'", f"'user_id': '{done.pseudonym}'") for row in before]
        before = [row.replace(f'"user":"{user}"', f'"user":"{done.pseudonym}"') for row in before]
    assert _lake_rows(home) == before
    again = tmp_path / "again"
    shutil.copytree(home / "landing", again / "landing")
    load(settings_of(again), "ledger")
    assert sorted(map(_without_time, _lake_rows(again))) == sorted(map(_without_time, before))


def _without_time(row: str) -> str:
    return row.partition(", 'first_seen_at'")[0]


def test_landed_files_with_an_escaped_nested_or_binary_id_are_rewritten(tmp_path: Path) -> None:
    home = tmp_path / "home"
    escaped = ALICE.replace("@", "\\u0040")
    table = pa.table(
        {
            "id": ["n1", "n2"], "timestamp": [NOON] * 2, "type": ["charge"] * 2,
            "paywall": ["pw"] * 2, "amount": ["1", "2"], "user": ["bob"] * 2,
            "metadata": [{"who": ALICE, "tags": [ALICE, "x"]}, {"who": "bob", "tags": []}],
            "note": [b"bob", ALICE.encode()],
            "pairs": pa.array([[("k", ALICE)], []], pa.map_(pa.string(), pa.string())),
        }
    )  # fmt: skip
    files = [
        landed("ledger", "net.jsonl", jsonl([charge("e1", NOON)]).replace(b"alice", escaped.encode())),
        landed("ledger", "nested.parquet", parquet_table(table)),
    ]  # fmt: skip
    land(home, files)
    (home / "landing" / "ledger" / "net.jsonl").chmod(0o600)
    (home / "landing" / "ledger" / "link.jsonl").symlink_to("net.jsonl")
    load(settings_of(home), "ledger")
    done = erase(settings_of(home), ALICE)
    listed = Landing.of(settings_of(home)).files("ledger")
    found = files_naming(settings_of(home), listed, ALICE, done.pseudonym)
    assert sorted((one.file.path, one.records) for one in found) == [
        ("ledger/link.jsonl", 1), ("ledger/nested.parquet", 2), ("ledger/net.jsonl", 1),
    ]  # fmt: skip
    rewrite_landed(settings_of(home), found, ALICE, done.pseudonym)
    assert naming_alice(home) == []
    assert "\\u0040" not in (home / "landing" / "ledger" / "net.jsonl").read_text()
    rows = pq.read_table(home / "landing" / "ledger" / "nested.parquet").to_pylist()
    assert rows[0]["metadata"] == {"who": done.pseudonym, "tags": [done.pseudonym, "x"]}
    assert (rows[0]["pairs"], rows[1]["note"]) == ([("k", done.pseudonym)], done.pseudonym.encode())
    assert (home / "landing" / "ledger" / "net.jsonl").stat().st_mode & 0o777 == 0o600
    assert (home / "landing" / "ledger" / "link.jsonl").is_symlink()


def test_records_of_json_files_are_rewritten_one_by_one(tmp_path: Path) -> None:
    home = tmp_path / "home"
    about_alice = charge("a", NOON, user="other", metadata={"nested": [{"user_id": ALICE}]})
    records = [about_alice, charge("b", NOON, user=ALICE), charge("c", NOON, user="other")]
    page = {"object": "list", "url": f"/v1/{ALICE}", "data": records[:2], "has_more": False}
    land(
        home,
        [
            landed("ledger", "array.json.gz", b"\xef\xbb\xbf" + json.dumps(records, indent=2).encode()),
            landed("ledger", "page.json", json.dumps(page).encode() + b"\n"),
        ],
    )
    before = home / "landing" / "ledger" / "page.json"
    assert load(settings_of(home), "ledger").rejected == 0
    done = erase(settings_of(home), ALICE)
    files = Landing.of(settings_of(home)).files("ledger")
    found = files_naming(settings_of(home), files, ALICE, done.pseudonym)
    assert [(one.file.path, one.records, one.fault) for one in found] == [
        ("ledger/array.json.gz", 2, None),
        ("ledger/page.json", 3, None),  # and what is before the list
    ]
    expected = json.loads(json.dumps(page).replace(ALICE, done.pseudonym))
    rewrite_landed(settings_of(home), found, ALICE, done.pseudonym)
    assert json.loads(before.read_text()) == expected
    array = gzip.decompress((home / "landing" / "ledger" / "array.json.gz").read_bytes())
    assert json.loads(array.decode("utf-8-sig")) == [*expected["data"], records[2]]
    assert load(settings_of(home), "ledger").batch_seq is None


def test_a_second_erasure_of_a_person_who_came_back_is_noted_again(erased: tuple[Path, list[str]]) -> None:
    """Somebody else wrote the id into a sentence, where nothing recognises it; erasing the person once more
    finds it.
    """
    [operation] = manifest_of(erased[0] / "exports", "ledger")["operations"]
    registry = read_registry(settings_of(erased[0]).home)
    assert [one.erased_at.isoformat() for one in registry.erasures if one.erased_at] == [
        datetime.fromisoformat(operation["at"]).astimezone(UTC).isoformat()
    ]
    later = registry.with_erasure(ended(registry.erasures[0]))
    assert later.erasures[0].erased_at > registry.erasures[0].erased_at  # type: ignore[operator]


def _of_the_record(row: str) -> str:
    """A row of the lake without the batch and the time that brought it."""
    return _without_time(row).partition(", ")[2]


@pytest.mark.parametrize(
    ("survived", "again"),
    [
        *((survived, False) for survived in (0, 2, 5)),
        (3, True),
        *in_soak(*((one, False) for one in (1, 3, 4)), *((one, True) for one in (0, 1, 2, 4, 5))),
    ],
)
def test_an_erasure_that_is_interrupted_is_taken_up_by_the_next_load(
    loaded: Path,
    erased: tuple[Path, list[str]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    survived: int,
    again: bool,
) -> None:
    """Four files of the lake are written, and the registry before and after: at each of them the process may
    end.
    """
    home = Path(shutil.copytree(loaded, tmp_path / "home"))
    if again:
        # The lake as it was, with the registry of a person whom an earlier erasure ended with, and a
        # publication since.
        shutil.copy(erased[0] / "lake" / "erasures.json", home / "lake" / "erasures.json")
    left = [survived]
    with monkeypatch.context() as dying:
        for module, name in ((parquet_files, "replace_file"), (erase_module, "write_registry")):
            dying.setattr(module, name, _until_death(getattr(module, name), left))
        with pytest.raises(KeyboardInterrupt):
            erase(settings_of(home), ALICE)
    if survived:  # else the registry was not written, and nothing has begun
        load(settings_of(home), "ledger")
        assert naming_alice(home / "lake") == []
        assert not (home / "state" / "published.json").exists()
        assert [one.user for one in read_registry(settings_of(home).home).erasures] == [None]
    done = erase(settings_of(home), ALICE)
    assert naming_alice(home / "lake") == []
    assert _lake_rows(home) == [
        row.replace(pseudonym_of(erased[0]), done.pseudonym) for row in _lake_rows(erased[0])
    ]


def _until_death(write: Any, left: list[int]) -> Any:
    def writing(*arguments: Any) -> Any:
        if not left[0]:
            raise KeyboardInterrupt
        left[0] -= 1
        return write(*arguments)

    return writing


def _lake_rows(home: Path) -> list[str]:
    return [
        str(row)
        for file in sorted((home / "lake").rglob("batch=*/*.parquet"))
        for row in pq.ParquetFile(file).read().to_pylist()
    ]


def test_the_source_of_an_entry_is_no_text_about_a_person(tmp_path: Path) -> None:
    land(tmp_path, [ledger_file("a.jsonl", [charge("c1", NOON, user="ledger")])])
    load(settings_of(tmp_path), "ledger")
    pseudonym = erase(settings_of(tmp_path), "ledger").pseudonym
    [file] = (tmp_path / "lake" / "ledger_entries").rglob("*.parquet")
    [row] = pq.ParquetFile(file).read().to_pylist()
    assert (row["user_id"], row["source"]) == (pseudonym, "ledger")


def test_an_id_that_nothing_names_is_refused(loaded: Path, tmp_path: Path) -> None:
    home = Path(shutil.copytree(loaded, tmp_path / "home"))
    with pytest.raises(UnknownUserError):
        erase(settings_of(home), "alicia")
    assert not (home / "lake" / "erasures.json").exists()
    reported: list[str] = []
    assert erase_user(settings_of(home), "alicia", rewrite_landing=True, progress=reported.append) == 1
    assert reported == [
        "No loaded record names 'alicia'. Pass a `user_id` of marts.dim_users. Nothing was changed."
    ]


def test_the_registry_is_its_owners_alone_and_its_key_is_needed_to_recognise(
    erased: tuple[Path, list[str]],
) -> None:
    file = erased[0] / "lake" / "erasures.json"
    assert file.stat().st_mode & 0o077 == 0
    registry = read_registry(settings_of(erased[0]).home)
    assert registry.of(ALICE) is not None
    assert type(registry)("00" * 32, registry.erasures).of(ALICE) is None


# ---- texts


@pytest.mark.parametrize(
    ("user", "before", "after"),
    [
        ("ann", '{"user": "ann", "note": "ann said"}', '{"user": "P", "note": "ann said"}'),
        (
            "anna",
            '{"user": "anna", "note": "anna said so to annabel"}',
            '{"user": "P", "note": "P said so to annabel"}',
        ),
        (
            "anna",
            '{"user": "anna.b", "by": "anna", "note": "to anna."}',
            '{"user": "anna.b", "by": "P", "note": "to P."}',
        ),
        ("anna", '{"user": "bob", "note": "anna said"}', '{"user": "bob", "note": "anna said"}'),
        ("anna", '{"anna": {"by": ["anna"]}}', '{"anna": {"by": ["P"]}}'),
        (
            "pw",
            '{"paywall": "pw", "user": "pw", "id": "pw:1"}',
            '{"paywall": "pw", "user": "P", "id": "pw:1"}',
        ),
        (
            "promo",
            '{"user": "promo", "funding": "promo", "note": "promo"}',
            '{"user": "P", "funding": "promo", "note": "promo"}',
        ),
        ("zoë/1", '{"user": "zo\\u00eb\\/1"}', '{"user": "P"}'),
        ("zoë/1", '{"user": "zo\\u00EB/1"}', '{"user": "P"}'),
        ('a"b\\', '{"user": "a\\"b\\\\", "n": 1.10}', '{"user": "P", "n": 1.10}'),
        (
            "anna",
            '{"user": "anna", "note": "Dear\\nanna,\\n\\u00e9"}',
            '{"user": "P", "note": "Dear\\nP,\\n\\u00e9"}',
        ),
        (
            "anna",
            '{"id": "anna", "user": "anna", "by": {"id": "anna"}}',
            '{"id": "anna", "user": "P", "by": {"id": "P"}}',
        ),
        (
            "anna",
            '{"event": {"id": "anna", "data": {"model": "anna", "source": "anna"}}}',
            '{"event": {"id": "anna", "data": {"model": "P", "source": "P"}}}',
        ),
        (
            "anna",
            (
                '{"charge": "anna", "metadata": {"status": "anna", "charge": "anna", "tags": [1, {"type":'
                ' "anna"}, "anna"]}}'
            ),
            '{"charge": "P", "metadata": {"status": "P", "charge": "anna", "tags": [1, {"type": "P"}, "P"]}}',
        ),
        (
            "42",
            '{"user": 42, "amount": 42, "prompt_tokens": "42"}',
            '{"user": "P", "amount": 42, "prompt_tokens": "42"}',
        ),
        (
            "42",
            '{"walletUserId":"42","data":{"cost":"42"},"n":142}',
            '{"walletUserId":"P","data":{"cost":"42"},"n":142}',
        ),
    ],
)
def test_a_json_text_without_the_id(user: str, before: str, after: str) -> None:
    assert Person(user, "P").in_json(before) == after


@pytest.mark.parametrize(
    ("user", "before", "after"),
    [
        ("anna", "e1,charge,anna,1.5", "e1,charge,P,1.5"),
        ("anna", "anna-2,anna.b,anna@x,xanna,anna", "anna-2,anna.b,anna@x,xanna,P"),
        ('a"b', 'e1,"a""b",1', 'e1,"P",1'),
        ("42", "e1,42,42", "e1,42,42"),
    ],
)
def test_a_rejected_row_without_the_id(user: str, before: str, after: str) -> None:
    assert Person(user, "P").in_row(before) == after


def test_the_words_of_a_rejected_row_have_its_ids() -> None:
    assert {"anna b", "zoë", "e1"} <= set(words_of('{"user": "anna b", "by": "zo\\u00eb", e1'))
    assert {"anna b", "carl@x.de"} <= set(words_of('e1,anna b,"carl@x.de"'))
