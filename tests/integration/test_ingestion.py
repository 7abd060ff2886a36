"""Files land, a batch appears in the lake: whole or not at all, once, with every bad record named."""

import dataclasses
import gzip
import json
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import fsspec
import pyarrow as pa
import pytest
import zstandard

from ingestion.lake.batches import Lake
from ingestion.landing import local_files as folders
from ingestion.load import LoadResult
from ingestion.sources.registry import BUILT_IN
from ingestion.staging import new_files
from ingestion.staging.batch import LandingFileChangedError
from paywall_warehouse.quoting import literal
from paywall_warehouse.settings import Settings, load_settings
from tests.support.builders import Raw, charge, jsonl, parquet, parquet_table
from tests.support.ingestion import load

NOON = "2026-10-01T12:00:00Z"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load_settings(warehouse_home=tmp_path)


def land(settings: Settings, path: str, content: bytes) -> Path:
    file = settings.home.landing / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content)
    return file


def lake(settings: Settings, table: str, columns: str = "*") -> list[tuple[Any, ...]]:
    files = Lake(settings.home).parquet_files(table, Lake(settings.home).manifests())
    listed = ", ".join(literal(str(file)) for file in files)
    return (
        duckdb.sql(f"select {columns} from read_parquet([{listed}]) order by all").fetchall() if files else []
    )


def outcome(result: LoadResult) -> tuple[int, int, int]:
    return result.files, result.accepted, result.rejected


def test_a_long_number_in_json_keeps_every_digit(settings: Settings) -> None:
    amount = "123456789012345678.123456789012"
    record = charge("long", NOON, Raw(amount), metadata={"note": Raw("0.1000000000000000055511151231257827")})
    land(settings, "ledger/a.jsonl", jsonl([record]))
    load(settings, "ledger")
    assert lake(settings, "ledger_entries", "amount, metadata") == [
        (Decimal(amount), '{"note":0.1000000000000000055511151231257827}')
    ]


def test_a_field_that_no_earlier_record_has_is_kept_and_a_repeated_one_is_refused(settings: Settings) -> None:
    usual = [charge(f"usual {number}", NOON, "1") for number in range(3000)]
    odd = (
        jsonl([charge("unknown", NOON, "1", colour="red")])
        + b'{"id":"twice","id":"twice",'
        + jsonl([charge("x", NOON, "1")])[1:]
    )
    land(settings, "ledger/a.jsonl", jsonl(usual) + odd)
    assert outcome(load(settings, "ledger")) == (1, 3001, 1)
    assert lake(settings, "rejects", "line, reason_code") == [(3002, "duplicate_field")]
    kept = [row for row in lake(settings, "ledger_entries", "entry_id, metadata") if row[1] is not None]
    assert kept == [("unknown", '{"extra":{"colour":"red"}}')]


def test_rejected_records_are_not_among_the_accepted(settings: Settings) -> None:
    land(
        settings,
        "ledger/a.jsonl",
        jsonl([charge("good", NOON, "1"), charge("bad", NOON, "one"), charge("fine", NOON, "2")]),
    )
    assert outcome(load(settings, "ledger")) == (1, 2, 1)
    assert lake(settings, "ledger_entries", "entry_id") == [("fine",), ("good",)]


def test_a_json_number_that_a_double_would_round_to_a_good_one_is_refused(settings: Settings) -> None:
    land(settings, "ledger/a.jsonl", jsonl([charge("a", NOON, Raw("0.1000000000000000055511151231257827"))]))
    assert outcome(load(settings, "ledger")) == (1, 0, 1)
    assert lake(settings, "rejects", "reason_code") == [("too_many_decimals",)]


def test_the_same_content_under_another_name_is_loaded_once(settings: Settings) -> None:
    land(settings, "ledger/a.jsonl", jsonl([charge("a", NOON)]))
    land(settings, "ledger/b.jsonl", jsonl([charge("a", NOON)]))
    assert outcome(load(settings, "ledger")) == (1, 1, 0)
    land(settings, "ledger/sub/c.jsonl", jsonl([charge("a", NOON)]))
    assert load(settings, "ledger").batch_seq is None


def test_a_known_name_with_new_content_is_loaded_and_warned_about(settings: Settings) -> None:
    land(settings, "ledger/a.jsonl", jsonl([charge("a", NOON)]))
    load(settings, "ledger")
    land(settings, "ledger/a.jsonl", jsonl([charge("b", NOON)]))
    result = load(settings, "ledger")
    assert outcome(result) == (1, 1, 0)
    assert result.warnings == [
        "ledger/a.jsonl has new content under a known name; it is loaded as a new file"
    ]


def test_hidden_and_unfinished_files_are_left_alone(settings: Settings) -> None:
    for name in (".hidden.jsonl", "a.jsonl.tmp", "a.jsonl.part", "a.jsonl.partial", ".git/b.jsonl"):
        land(settings, f"ledger/{name}", jsonl([charge(name, NOON)]))
    assert load(settings, "ledger").batch_seq is None


def test_a_file_cut_short_is_one_reject_and_is_loaded_once_it_is_whole(settings: Settings) -> None:
    whole = gzip.compress(jsonl([charge(f"e{number}", NOON) for number in range(2000)]))
    land(settings, "ledger/a.jsonl.gz", whole[: len(whole) // 2])
    land(settings, "ledger/b.jsonl", jsonl([charge("good", NOON)]))
    assert outcome(load(settings, "ledger")) == (2, 1, 1)
    assert lake(settings, "rejects", "path, line, reason_code") == [
        ("ledger/a.jsonl.gz", None, "unreadable_file")
    ]
    assert load(settings, "ledger").batch_seq is None, "it is tried again, and says nothing new"
    land(settings, "ledger/a.jsonl.gz", whole)
    assert outcome(load(settings, "ledger")) == (1, 2000, 0)


def test_json_arrays_pages_and_objects_are_read_like_lines(settings: Settings) -> None:
    records = [charge(f"e{number}", NOON, Raw(f"{number}.123456789012")) for number in range(1, 7)]
    one, two, three, four, five, six = (jsonl([record]).strip() for record in records)
    land(settings, "ledger/array.json", b"\xef\xbb\xbf[\n" + one + b",\n" + two + b"\n]\n")
    page = b'{"object": "list", "data": [' + three + b", " + four + b'], "has_more": false}'
    land(settings, "ledger/page.json.gz", gzip.compress(page))
    land(settings, "ledger/values.json.zst", zstandard.compress(five + b"\n[" + six + b"]"))
    assert outcome(load(settings, "ledger")) == (3, 6, 0)
    assert lake(settings, "ledger_entries", "entry_id, amount, line") == [
        ("e1", Decimal("1.123456789012"), 2),
        ("e2", Decimal("2.123456789012"), 3),
        ("e3", Decimal("3.123456789012"), 1),
        ("e4", Decimal("4.123456789012"), 2),
        ("e5", Decimal("5.123456789012"), 1),
        ("e6", Decimal("6.123456789012"), 2),
    ]


def test_a_bad_element_of_a_json_array_is_one_reject(settings: Settings) -> None:
    good = jsonl([charge("good", NOON)]).strip()
    long = b'{"id": "' + b"x" * (2 << 20) + b'"}'
    elements = [
        good,
        b"7",
        b'{"id": }',
        b"{}",
        b'{"id": "\xff"}',
        long,
        b'{"id": 1, "id": 2}',
        b"[" * 9999 + b"]" * 9999,
    ]
    land(settings, "ledger/a.json", b"[" + b",\n".join(elements) + b"]")
    assert outcome(load(settings, "ledger")) == (1, 1, 7)
    assert lake(settings, "rejects", "line, reason_code, left(raw, 10)") == [
        (2, "not_an_object", "7"),
        (3, "invalid_json", '{"id": }'),
        (4, "missing_field", "{}"),
        (5, "invalid_utf8", '{"id": "�"'),
        (6, "record_too_long", '{"id": "xx'),
        (7, "duplicate_field", '{"id": 1, '),
        (8, "not_an_object", "[[[[[[[[[["),
    ]


def test_a_damaged_json_file_is_refused_with_its_line(settings: Settings) -> None:
    land(settings, "ledger/a.json", b"[\n" + jsonl([charge("a", NOON)]) + b",\n" + b'{"id": "b"')
    assert outcome(load(settings, "ledger")) == (1, 0, 1)
    assert lake(settings, "rejects", "line, reason_code, reason") == [
        (
            None,
            "unreadable_file",
            "line 4: what begins here has no end: a quote or a bracket is missing, or the file is cut short."
            " Land it again, whole, or as .jsonl",
        )
    ]


@pytest.mark.parametrize(
    ("name", "content", "code"),
    [
        ("empty.json", b"[ ]", "empty_file"),
        ("blank.json", b"\n", "empty_file"),
        ("page.json", b'{"object": "list", "data": []}', "empty_file"),
        ("garbage.json", b"[{}] and more", "unreadable_file"),
        ("cut.json.gz", gzip.compress(b"[{}]", mtime=0)[:-9], "unreadable_file"),
        ("empty.jsonl", b"", "empty_file"),
        ("blank.jsonl", b"\n\r\n  \n", "empty_file"),
        ("notes.txt", b"hello", "unsupported_file"),
        ("plain.jsonl.gz", b'{"id": "a"}\n', "not_what_its_name_says"),
        ("zipped.jsonl", gzip.compress(b"{}", mtime=0), "not_what_its_name_says"),
        ("text.parquet", b"id,amount\n", "not_what_its_name_says"),
        ("cut.parquet", b"PAR1 and then nothing", "unreadable_file"),
        ("no_amount.csv", b"id,timestamp,type,user,paywall,ammount\n", "missing_column"),
        ("twice.csv", b"id,timestamp,type,user,paywall,amount,amount\n", "duplicate_column"),
    ],
)
def test_a_file_that_cannot_be_read_is_one_reject(
    settings: Settings, name: str, content: bytes, code: str
) -> None:
    land(settings, f"ledger/{name}", content)
    assert outcome(load(settings, "ledger")) == (1, 0, 1)
    assert lake(settings, "rejects", "path, reason_code") == [(f"ledger/{name}", code)]


def test_a_missing_column_is_named_with_what_was_found(settings: Settings) -> None:
    land(settings, "ledger/a.csv", b"id,timestamp,type,user,paywall,ammount\n")
    load(settings, "ledger")
    assert lake(settings, "rejects", "reason") == [
        (
            (
                'column "amount" is missing (found: id, timestamp, type, user, paywall, ammount). Rename the'
                " column or see docs/inputs.md"
            ),
        )
    ]


@pytest.mark.parametrize(("separator", "shown"), [(";", "';'"), ("\t", "a tab"), ("|", "'|'")])
def test_another_separator_is_named(settings: Settings, separator: str, shown: str) -> None:
    land(settings, "ledger/a.csv", separator.join(["id", "timestamp", "type"]).encode() + b"\n")
    load(settings, "ledger")
    [(code, reason)] = lake(settings, "rejects", "reason_code, reason")
    assert code == "missing_column"
    assert reason.startswith(f"the file is separated by {shown}, not by a comma (found: id")
    assert reason.endswith("write it again with a comma between the fields")


def test_an_open_quote_costs_only_its_own_line(settings: Settings) -> None:
    header = "id,timestamp,type,user,paywall,amount"
    rows = [
        f"a,{NOON},charge,u,p,1",
        f'"b,{NOON},charge,u,p,1',
        f"c,{NOON},charge,u,p,1",
        f'd,{NOON},charge,"two\nlines",p,1',
    ]
    land(settings, "ledger/a.csv", "\r\n".join([header, *rows]).encode())
    assert outcome(load(settings, "ledger")) == (1, 3, 1)
    assert lake(settings, "rejects", "line, reason_code, raw") == [
        (3, "bad_quoting", f'"b,{NOON},charge,u,p,1')
    ]
    assert lake(settings, "ledger_entries", "line, entry_id, user_id") == [
        (2, "a", "u"),
        (4, "c", "u"),
        (5, "d", "two\nlines"),
    ]


def test_a_landing_area_behind_a_url_is_read_alike(tmp_path: Path) -> None:
    settings = load_settings(warehouse_home=tmp_path, landing_uri="memory://landing-area")
    memory = fsspec.filesystem("memory")
    memory.pipe("/landing-area/ledger/2026/a.jsonl.gz", gzip.compress(jsonl([charge("a", NOON), Raw("{")])))
    try:
        assert outcome(load(settings, "ledger")) == (1, 1, 1)
        assert load(settings, "ledger").batch_seq is None
    finally:
        memory.rm("/landing-area", recursive=True)
    assert lake(settings, "rejects", "path, line") == [("ledger/2026/a.jsonl.gz", 2)]
    assert not list((tmp_path / "tmp").rglob("*.gz")), "the local copy is gone"


def test_a_file_that_changes_while_it_is_read_commits_nothing(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = land(settings, "ledger/a.jsonl", jsonl([charge("a", NOON)]))
    records_sql = BUILT_IN["ledger"].records_sql

    def written_to_meanwhile(texts: str) -> str:
        file.write_bytes(jsonl([charge("a", NOON), charge("b", NOON)]))
        return records_sql(texts)

    source = dataclasses.replace(BUILT_IN["ledger"], records_sql=written_to_meanwhile)
    monkeypatch.setitem(BUILT_IN, "ledger", source)
    with pytest.raises(LandingFileChangedError, match=r"ledger/a\.jsonl changed while it was read"):
        load(settings, "ledger")
    monkeypatch.undo()
    assert Lake(settings.home).manifests() == []
    assert outcome(load(settings, "ledger")) == (1, 2, 0)


def vanish(file: Path) -> None:
    file.unlink()


def cut_short(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-20])


def replace_by_another(file: Path) -> None:
    other = file.with_name("other.tmp")
    other.write_bytes(jsonl([charge("c", NOON)]))
    other.replace(file)


@pytest.mark.parametrize("when", ["before it is opened", "while it is validated"])
@pytest.mark.parametrize("happens", [vanish, cut_short, replace_by_another])
def test_a_file_that_is_taken_away_while_it_is_read_is_no_reject_and_nothing_half_is_loaded(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, happens: Callable[[Path], None], when: str
) -> None:
    kept = land(settings, "ledger/a.jsonl", jsonl([charge("a", NOON)]))
    file = land(settings, "ledger/b.jsonl", jsonl([charge("b", NOON), charge("c", NOON)]))
    digest, source = new_files.sha256, BUILT_IN["ledger"]

    def opened(path: Path) -> str:
        if path == file:
            happens(file)
        return digest(path)

    def validated(texts: str) -> str:
        happens(file)
        return source.records_sql(texts)

    if when == "before it is opened":
        monkeypatch.setattr(new_files, "sha256", opened)
    else:
        monkeypatch.setitem(BUILT_IN, "ledger", dataclasses.replace(source, records_sql=validated))
    with pytest.raises(
        LandingFileChangedError, match=r"ledger/b\.jsonl changed while it was read, or is gone"
    ):
        load(settings, "ledger")
    assert Lake(settings.home).manifests() == []
    assert list(settings.home.tmp.iterdir()) == []
    monkeypatch.undo()
    file.write_bytes(jsonl([charge("b", NOON), charge("c", NOON)]))
    assert outcome(load(settings, "ledger")) == (2, 3, 0)
    assert kept.exists()


def test_a_file_that_goes_between_listing_and_look_is_not_there(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    land(settings, "ledger/a.jsonl", jsonl([charge("a", NOON)]))
    gone = land(settings, "ledger/b.jsonl", jsonl([charge("b", NOON)]))
    file_stat = folders.file_stat

    def looked_at(location: str) -> dict[str, Any]:
        gone.unlink(missing_ok=True)
        return file_stat(location)

    monkeypatch.setattr(folders, "file_stat", looked_at)
    assert outcome(load(settings, "ledger")) == (1, 1, 0)


def test_a_batch_without_its_manifest_does_not_exist(settings: Settings) -> None:
    land(settings, "ledger/a.jsonl", jsonl([charge("a", NOON)]))
    load(settings, "ledger")
    (manifest,) = (settings.home.lake / "_manifests").glob("*.json")
    manifest.unlink()  # as if the process had been killed just before it wrote it
    assert lake(settings, "ledger_entries") == []
    assert outcome(load(settings, "ledger")) == (1, 1, 0)
    assert lake(settings, "ledger_entries", "entry_id") == [("a",)]


def test_manifests_state_files_and_counts(settings: Settings) -> None:
    land(settings, "ledger/a.jsonl", jsonl([charge("a", NOON), charge("b", "yesterday"), charge("c", NOON)]))
    load(settings, "ledger")
    (file,) = (settings.home.lake / "_manifests").glob("*.json")
    (stated,) = json.loads(file.read_text())["files"]
    assert {key: stated[key] for key in ("path", "records", "accepted", "rejected")} == {
        "path": "ledger/a.jsonl", "records": 3, "accepted": 2, "rejected": 1,
    }  # fmt: skip


@pytest.mark.parametrize("name", ["a[1].parquet", "a*.parquet", "a?.parquet"])
def test_a_name_that_looks_like_a_pattern_is_one_file(settings: Settings, name: str) -> None:
    land(settings, "ledger/a1.parquet", parquet([charge("neighbour", NOON)]))
    land(settings, f"ledger/{name}", parquet([charge("itself", NOON)]))
    load(settings, "ledger")
    assert lake(settings, "ledger_entries", "entry_id") == [("itself",), ("neighbour",)]


@pytest.mark.parametrize(
    ("source", "folder", "missing"),
    [
        ("ledger", "ledger", '"timestamp", "type", "paywall", "amount"'),
        ("events", "events", '"type", "createdAt", "data"'),
        ("payments", "payments", '"rail", "payment_id", "paid_at", "amount", "currency", "status"'),
        ("prices", "prices", '"model", "effective_from"'),
        (
            "stripe/payouts.itemized",
            "stripe/payouts.itemized.5",
            (
                '"payout_id" or "payout" or "source_id", "effective_at_utc" or "effective_at" or'
                ' "created_utc" or "created" or "created_at", "currency", "gross" or "gross_amount", "fee" or'
                ' "fees", "net" or "net_amount"'
            ),
        ),
        (
            "stripe/balance.summary",
            "stripe/balance.summary.1",
            '"category", "currency", "net_amount" or "net"',
        ),
        ("stripe/checkout_sessions", "stripe/checkout_sessions", '"payment_intent" or "payment_intent_id"'),
    ],
)
@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_all_missing_columns_are_named_at_once(
    settings: Settings, source: str, folder: str, missing: str, kind: str
) -> None:
    content = b"id\n1\n" if kind == "csv" else parquet_table(pa.table({"id": ["1"]}))
    land(settings, f"{folder}/a.{kind}", content)
    load(settings, source)
    subject, plural = (f"columns {missing} are", "s") if ", " in missing else (f"column {missing} is", "")
    assert lake(settings, "rejects", "reason_code, reason") == [
        ("missing_column", f"{subject} missing (found: id). Rename the column{plural} or see docs/inputs.md")
    ]


def test_all_repeated_columns_are_named_at_once(settings: Settings) -> None:
    land(settings, "ledger/a.csv", b"id,timestamp,type,paywall,amount,amount,id,user\n")
    load(settings, "ledger")
    assert lake(settings, "rejects", "reason") == [
        ('columns "amount", "id" are in the header more than once; keep one of each',)
    ]


def test_all_columns_of_a_wrong_type_are_named_at_once(settings: Settings) -> None:
    floats = {"amount": [1.5], "provider_cost": [0.1]}
    table = pa.table(
        {name: ["x"] for name in ("id", "type", "user", "paywall")} | {"timestamp": [NOON]} | floats
    )
    land(settings, "ledger/a.parquet", parquet_table(table))
    load(settings, "ledger")
    ((reason,),) = lake(settings, "rejects", "reason")
    assert reason.count("has the type double; it must be text, a decimal") == 2
    assert reason.startswith('column "amount" has')
    assert '. column "provider_cost" has' in reason
    assert reason.endswith(". Write the file again")


def test_decimals_that_duckdb_would_make_doubles_are_refused(settings: Settings) -> None:
    table = pa.table({name: ["x"] for name in ("id", "type", "user", "paywall")} | {"timestamp": [NOON]})
    amount = pa.array([Decimal("12345678901234567.123456789012")], pa.decimal256(50, 12))
    land(settings, "ledger/a.parquet", parquet_table(table.append_column("amount", amount)))
    assert outcome(load(settings, "ledger")) == (1, 0, 1)
    assert lake(settings, "rejects", "reason_code") == [("wrong_column_type",)]


def test_text_from_outside_cannot_pass_for_a_marked_number(settings: Settings) -> None:
    record = charge(
        "a", NOON, metadata={"extra": {"b": 1}}, foo={"b": "\u0001#}"}, number=Raw("1234567890.12345678")
    )
    land(settings, "ledger/a.jsonl", jsonl([record]))
    assert outcome(load(settings, "ledger")) == (1, 1, 0)
    (metadata,) = lake(settings, "ledger_entries", "metadata")[0]
    assert json.loads(metadata)["extra"] == {"b": 1, "foo": {"b": "\u0001#}"}, "number": 1234567890.12345678}


def test_a_link_to_a_file_of_the_landing_area_is_loaded(settings: Settings) -> None:
    land(settings, "arrivals/a.jsonl", jsonl([charge("a", NOON)]))
    (settings.home.landing / "ledger").mkdir(parents=True)
    (settings.home.landing / "ledger" / "a.jsonl").symlink_to("../arrivals/a.jsonl")
    assert outcome(load(settings, "ledger")) == (1, 1, 0)
    assert load(settings, "ledger").batch_seq is None


def test_a_line_that_does_not_end_costs_no_memory_and_no_good_line(settings: Settings) -> None:
    endless = b'{"id": "' + b"x" * (40 << 20)
    land(
        settings, "ledger/a.jsonl", jsonl([charge("a", NOON)]) + endless + b"\n" + jsonl([charge("b", NOON)])
    )
    assert outcome(load(settings, "ledger")) == (1, 2, 1)
    ((line, code, kept),) = lake(settings, "rejects", "line, reason_code, length(raw)")
    assert (line, code) == (2, "record_too_long")
    assert kept <= 1 << 20
