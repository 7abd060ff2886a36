"""Exports of other systems, as they are, against an oracle that reads nothing but the contract."""

import gzip
import itertools
import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest

from ingestion.lake.batches import Lake
from ingestion.lake.recount import apply_limits
from ingestion.load import LoadResult, load
from ingestion.sources.mappings import catalog
from paywall_warehouse.settings import Settings, load_settings
from tests.support.builders import Raw, land
from tests.support.killed_loads import is_killed
from tests.support.mapped_exports import (
    SOURCES,
    Exporter,
    Row,
    broken_csv,
    broken_lines,
    expanded_customer,
    faulty_rows,
    grant,
    json_file,
    litellm_row,
    parquet_file,
    rows_of,
    text_file,
    transaction,
)
from tests.support.mapped_oracle import COST_ONLY, ExpectedFile, expected_files
from tests.support.oracle import LandedFile
from tests.support.secret_texts import assert_no_secret

COLUMNS = (
    "entry_id", "occurred_at", "updated_at", "entry_type", "status", "user_id", "paywall_id", "currency",
    "request_id", "model", "prompt_tokens", "completion_tokens", "total_tokens", "cached_tokens",
    "reasoning_tokens", "provider_cost", "platform_fees", "related_entry_id", "metadata", "funding", "reason",
    "source", "billing", "amount",
)  # fmt: skip
COUNTS = ("records", "accepted", "filtered", "rejected", "rounded_amounts")
SHIPPED = Path(catalog.__file__).parent / "shipped"


def settings_of(home: Path, **more: Any) -> Settings:
    return load_settings(_env_file=None, warehouse_home=home, duckdb_threads=1, **more)


def loaded(home: Path, *sources: str, files: Sequence[LandedFile] = (), **more: Any) -> list[LoadResult]:
    """Land files and load their folders."""
    land(home, files)
    folders = sources or tuple(dict.fromkeys(file.folder for file in files))
    return [load(settings_of(home, **more), source, drop_build=lambda _: None) for source in folders]


# ---- what the lake holds


@dataclass
class FileResult:
    """What one landed file result, as the lake has it."""

    manifest: Row
    accepted: dict[int, Row] = field(default_factory=dict)
    rejected: dict[int | None, str] = field(default_factory=dict)


def lake_of(home: Path, *, earliest: str = "2015-01-01") -> dict[str, FileResult]:
    """The lake by landed file. Rows beyond a limit are in the lake as well, and are rejects."""
    found, paths = {}, {}
    for manifest in sorted((home / "lake" / "_manifests").glob("*.json")):
        content = json.loads(manifest.read_text(encoding="utf-8"))
        for file in content["files"]:
            paths[content["batch_seq"], file["file_no"]] = file["path"]
            found[file["path"]] = FileResult(file)
    rejects = list((home / "lake" / "rejects").rglob("*.parquet"))
    if rejects:
        for path, line, code in rows_in(rejects, "path, line, reason_code"):
            assert line not in found[path].rejected, "a record is rejected once"
            found[path].rejected[line] = code
    entries = list((home / "lake" / "ledger_entries").rglob("*.parquet"))
    if entries:
        for batch, file_no, line, *values in rows_in(
            entries, f"batch_seq, file_no, line, {', '.join(COLUMNS)}"
        ):
            file = found[paths[batch, file_no]]
            row = as_expected(dict(zip(COLUMNS, values, strict=True)))
            if line in file.rejected:
                waits = file.rejected[line] == "unknown_grant" and row["user_id"] is None
                assert waits or file.rejected[line] in ("time_out_of_range", "unknown_currency"), row
                continue
            assert line not in file.accepted, "a record makes one row"
            file.accepted[line] = row
    return found


def rows_in(files: Sequence[Path], columns: str) -> list[tuple[Any, ...]]:
    with duckdb.connect() as connection:
        connection.execute("set timezone = 'UTC'")
        return connection.execute(
            f"select {columns} from read_parquet($1, hive_partitioning = false)",
            [[str(file) for file in files]],
        ).fetchall()


def as_expected(row: Row) -> Row:
    metadata = json.loads(row["metadata"] or "{}", parse_float=str, parse_int=str)
    row |= {"metadata": metadata, "currency": row["currency"] or "usd"}
    if row["source"] in COST_ONLY:
        del row["amount"]  # what a charge is priced at is not in the lake
    return row


def assert_as_expected(home: Path, source: str, files: Sequence[LandedFile], **more: Any) -> None:
    """Compare every row and every number of a source's files with the oracle's."""
    expected = expected_files(source, files, **more)
    found = lake_of(home)
    assert [path for path in found if path.startswith(f"{source}/")] == list(expected)
    for path, wanted in expected.items():
        assert_file(path, found[path], wanted)


def assert_file(path: str, file: FileResult, wanted: ExpectedFile) -> None:
    manifest = file.manifest
    assert set(file.rejected) == wanted.rejected, f"{path}: {file.rejected}"
    assert {line for line, code in file.rejected.items() if code == "unknown_grant"} == wanted.waiting, path
    for line, row in wanted.accepted.items():
        assert file.accepted.get(line) == row, f"{path}, line {line}"
    assert set(file.accepted) == set(wanted.accepted), path
    numbers = {
        "records": wanted.records,
        "accepted": len(wanted.accepted),
        "filtered": wanted.filtered,
        "rejected": len(wanted.rejected),
        "rounded_amounts": wanted.rounded_amounts,
    }
    assert {name: manifest[name] for name in COUNTS} == numbers, path
    assert manifest["records"] == manifest["accepted"] + manifest["filtered"] + manifest["rejected"], path
    stated = None if manifest["cost_stated"] is None else Decimal(manifest["cost_stated"])
    assert stated == wanted.cost_stated, path
    assert set(manifest["unmapped"]) == wanted.unmapped, path


def comparable(home: Path) -> Any:
    """Everything about a lake but the numbers of its batches and the times of its loads."""
    kept = (*COUNTS, "path", "sha256", "cost_stated", "unmapped", "status", "entry_records", "mapping")
    return {
        path: ({name: file.manifest[name] for name in kept}, file.accepted, file.rejected)
        for path, file in sorted(lake_of(home).items())
    }


# ---- everything at once


def exports_of(made: Exporter, source: str) -> list[LandedFile]:
    """A file of each format, with good and faulty rows, repeats and later versions."""
    plain, more = rows_of(made, source, 16), rows_of(made, source, 16)
    faulty = [*rows_of(made, source, 4), *faulty_rows(made, source)]
    columns = list(dict.fromkeys(name for row in (*plain, *faulty) for name in row))
    repeated = [*plain[:4], *(later(row) for row in plain[4:8])]
    broken: list[Any] = broken_lines(made, source)
    mixed = [*more, *repeated, *faulty_rows(made, source), *broken]
    made.random.shuffle(mixed)
    typed = rows_of(made, source, 16)
    # An element that is not JSON at all is a fault of the whole file.
    odd = [*faulty_rows(made, source), Raw("5"), Raw('"text"'), Raw("[1, 2]"), *rows_of(made, source, 8)[:2]]
    return [
        text_file(source, "a.csv", [*plain, *broken_csv(made, source, columns)], columns),
        text_file(source, "b.csv.gz", faulty, columns[::-1]),
        text_file(source, "c.jsonl", mixed),
        text_file(source, "d.jsonl.zst", rows_of(made, source, 8)),
        parquet_file(source, "e.parquet", typed),
        json_file(source, "f.json", [*odd, *rows_of(made, source, 12)]),
        json_file(source, "g.json.gz", rows_of(made, source, 8)),
    ]


def later(row: Row) -> Row:
    """A later version of the same record, where its system has versions."""
    if "updated_at" in row:
        return row | {"updated_at": row["updated_at"].replace(year=2027), "total_cost": 0.5}
    return row | {"status": "failure"} if "spend" in row else row


@pytest.mark.parametrize("source", SOURCES)
def test_every_row_and_number_of_every_format(tmp_path: Path, source: str) -> None:
    made = Exporter(SOURCES.index(source) + 100)
    files = exports_of(made, source)
    [result] = loaded(tmp_path, files=files)
    assert result.files == len(files)
    assert_as_expected(tmp_path, source, files)
    assert_no_secret(tmp_path)
    again = loaded(tmp_path, source)
    assert again[0].batch_seq is None


# ---- where secrets hide


def hidden(made: Exporter, source: str) -> list[Row]:
    """Rows with objects where texts belong, and secrets in them."""
    rows = []
    for column in rows_of(made, source, 4)[0]:
        if column in NO_PLACE_FOR_OBJECTS:
            continue
        for value in (
            {"id": "x", "email": made.secret()},
            [made.secret()],
            {"input": {"text": made.secret()}},
        ):
            row = rows_of(made, source, 4)[0]
            rows.append(row | {column: value} | ({"type": "GENERATION"} if source.startswith("lang") else {}))
    return rows


NO_PLACE_FOR_OBJECTS = ("type",)


@pytest.mark.parametrize("source", [one for one in SOURCES if one != "openrouter_generations"])
def test_no_object_in_the_place_of_a_text_reaches_the_lake(tmp_path: Path, source: str) -> None:
    made = Exporter(7)
    rows = hidden(made, source)
    loaded(tmp_path, files=[text_file(source, "a.jsonl", rows)])
    for file in lake_of(tmp_path).values():
        assert sum(file.manifest[name] for name in COUNTS[1:4]) == file.manifest["records"] == len(rows)
        assert len(file.accepted) == file.manifest["accepted"]
    assert_no_secret(tmp_path)


def test_the_types_of_other_exports(tmp_path: Path) -> None:
    """Costs as decimals, counts as structs and JSON text, expanded objects, and floats that are no number."""
    made = Exporter(16)
    observations = [rows_of(made, "langfuse_observations", 1)[0] | {"type": "GENERATION"} for _ in range(12)]
    for row in observations:
        row["usage_details"].setdefault("input", 1)
        row["total_cost"] = made.random.choice((0.1, 1.5e-12, 2.5e-15, None))
    spends = [float("nan"), float("inf"), -float("inf"), -0.0, -1.5, 1e18, 1e17, None, 5e-13, 1.5e-12]
    spent = [litellm_row(made) | {"spend": spend} for spend in spends]
    one, other = grant(made, "jpy", "cus_a"), grant(made, "bhd", "cus_b")
    moves = [transaction(made, of, "credits_expired", credit_grant=of) for of in (one, other)]
    for move in moves:
        move["credit_grant"] = {
            "id": move["credit_grant"]["id"],
            "customer": expanded_customer(made, move["credit_grant"]["customer"]),
            "name": made.secret(),
        }
    files = [
        parquet_file(
            "langfuse_observations", "a.parquet", observations[:6],
            usage_details=pa.struct([(name, pa.int64()) for name in COUNTED]),
            total_cost=pa.decimal128(18, 15),
        ),
        parquet_file("langfuse_observations", "b.parquet", observations[6:], usage_details=pa.string()),
        parquet_file("litellm_spend_logs", "a.parquet", spent),
        parquet_file("stripe_credits", "a.parquet", moves),
    ]  # fmt: skip
    loaded(tmp_path, files=files)
    for source in dict.fromkeys(file.folder for file in files):
        assert_as_expected(tmp_path, source, [file for file in files if file.folder == source])
    assert_no_secret(tmp_path)


COUNTED = ("input", "output", "total", "input_cached_tokens", "reasoning_tokens", "input_audio")


def test_a_struct_in_the_place_of_a_text_reaches_nothing(tmp_path: Path) -> None:
    made = Exporter(17)
    files = []
    for source, columns in {
        "litellm_spend_logs": ("end_user", "model", "team_id", "request_id"),
        "lago_wallet_transactions": ("external_customer_id", "lago_wallet_id", "source"),
    }.items():
        for column in columns:
            rows = [row | {column: {"email": made.secret()}} for row in rows_of(made, source, 3)]
            files.append(parquet_file(source, f"{column}.parquet", rows))
    loaded(tmp_path, files=files)
    assert_no_secret(tmp_path)


def test_a_refused_file_leaves_nothing_of_its_content(tmp_path: Path) -> None:
    """A header that is missing makes the first row the names of the columns."""
    made = Exporter(8)
    source = "litellm_spend_logs"
    rows = [litellm_row(made) for _ in range(4)]
    whole = text_file(source, "x.csv", rows).content
    without = [{name: value for name, value in row.items() if name != "spend"} for row in rows]
    files = [
        LandedFile(source, "headless.csv", whole.split(b"\r\n", 1)[1]),
        LandedFile(source, "semicolons.csv", f"a;{made.secret()};{made.secret()}\n".encode()),
        LandedFile(source, "text.json", made.secret().encode()),
        LandedFile(source, "cut.json", f'[{{"id": "{made.secret()}"'.encode()),
        LandedFile(source, "cut.csv.gz", gzip.compress(whole)[:-20]),
        LandedFile(source, "named.parquet", whole),
        LandedFile(source, "notes.txt", whole),
        text_file(source, "without.csv", without),
        parquet_file(source, "without.parquet", without),
    ]
    [result] = loaded(tmp_path, files=files)
    assert (result.records, result.rejected) == (9, 9)
    assert_no_secret(tmp_path)


# ---- Stripe's objects


def test_expanded_objects_state_the_customer_and_nothing_else(tmp_path: Path) -> None:
    made, source = Exporter(9), "stripe_credits"
    one, other = grant(made, "jpy", "cus_a"), grant(made, "kwd", "cus_b")
    rows = [
        grant(made, customer=expanded_customer(made, "cus_c")),  # type: ignore[arg-type]
        transaction(made, one, "credits_applied", credit_grant=one),
        transaction(made, one, "credits_expired", credit_grant=one),
        transaction(
            made, other, "credits_voided", credit_grant=other | {"customer": expanded_customer(made, "cus_b")}
        ),
        transaction(made, one, "credits_granted", credit_grant=one),
    ]
    files = [text_file(source, "a.jsonl", rows), text_file(source, "b.csv", rows)]
    loaded(tmp_path, files=files)
    assert_as_expected(tmp_path, source, files)
    assert_no_secret(tmp_path)


def test_a_grant_that_lands_later_ends_the_waiting(tmp_path: Path) -> None:
    made, source = Exporter(10), "stripe_credits"
    grants = [grant(made, "usd", f"cus_{number}") for number in range(4)]
    kinds = ("credits_applied", "credits_expired", "credits_application_invoice_voided", "credits_granted")
    moves = [transaction(made, one, kind) for one in grants for kind in kinds]
    nobody = [grant(made, customer=None), transaction(made, grants[0], "credits_applied", credit_grant=None)]
    bad = [transaction(made, grants[0], "credits_applied", effective_at="later")]
    files = [
        text_file(source, "1.jsonl", [*moves[:8], *nobody, *bad]),
        parquet_file(source, "2.parquet", moves[8:]),
        text_file(source, "3.csv.gz", [*grants[:2], grants[3] | {"customer": None}]),
        parquet_file(source, "4.parquet", grants[2:]),
    ]
    step_by_step, at_once = tmp_path / "steps", tmp_path / "once"
    for number, file in enumerate(files, 1):
        loaded(step_by_step, files=[file])
        assert_as_expected(step_by_step, source, files[:number])
    loaded(at_once, files=files)
    assert comparable(step_by_step) == comparable(at_once)
    waits = [code for file in lake_of(at_once).values() for code in file.rejected.values()]
    assert sorted(waits) == ["bad_time", "missing_field", "missing_field", "missing_field"]


def test_a_waiting_record_names_its_grant_and_a_grant_its_category(tmp_path: Path) -> None:
    made, source = Exporter(12), "stripe_credits"
    unknown, landed_later = grant(made, category="trial"), grant(made)
    moves = [transaction(made, landed_later, kind) for kind in ("credits_applied", "credits_expired")]
    loaded(tmp_path, files=[text_file(source, "a.jsonl", [unknown, *moves])])
    rejects = sorted((tmp_path / "lake" / "rejects").rglob("*.parquet"))
    reasons = [reason for line, reason in sorted(rows_in(rejects, "line, reason"))]
    assert len(reasons) == 3
    assert reasons[0].startswith(
        'field "type" (from column "category" and "credit" and "debit" and "object") is a credit grant of'
        " the category trial; allowed: "
    )
    waits = f"the entry that it belongs to (stripe:{landed_later['id']}) has not landed yet"
    assert all(waits in reason for reason in reasons[1:])


def test_no_number_of_seconds_stops_a_load(tmp_path: Path) -> None:
    made, source = Exporter(11), "stripe_credits"
    huge = ("9223372036854775807", "99999999999999999999", "-9223372036854775808", "1e300", "99999999999999")
    rows = [grant(made, effective_at=Raw(value), created=Raw(value)) for value in huge]
    loaded(tmp_path, files=[text_file(source, "a.jsonl", [*rows, grant(made)])])
    [file] = lake_of(tmp_path).values()
    assert (set(file.accepted), set(file.rejected)) == ({6}, {1, 2, 3, 4, 5}), file.rejected


# ---- settings and mappings that change


def test_a_limit_that_changes_counts_the_costs_again(tmp_path: Path) -> None:
    sources = ("openrouter_generations", "lago_wallet_transactions")
    files = [file for source in sources for file in exports_of(Exporter(12), source)[1:4]]
    moved, fresh = tmp_path / "moved", tmp_path / "fresh"
    limit = {"earliest_entry": "2026-10-09", "extra_currencies": ("zzz",)}
    loaded(moved, files=files)
    before = comparable(moved)
    restated(moved, **limit)
    loaded(fresh, files=files, **limit)
    assert comparable(moved) == comparable(fresh) != before
    own = [file for file in files if file.folder == sources[0]]
    assert_as_expected(moved, sources[0], own, earliest=datetime(2026, 10, 9, tzinfo=UTC))
    restated(moved)
    assert comparable(moved) == before


def restated(home: Path, **more: Any) -> None:
    """Count the rows by other limits, as a run does before it builds."""
    lake = Lake(settings_of(home).home)
    apply_limits(settings_of(home, **more), lake, lake.manifests())


def changed_mapping(home: Path, source: str, *changes: tuple[str, str]) -> None:
    """Write a changed copy of a shipped mapping into a home."""
    text = (SHIPPED / f"{source}.yml").read_text(encoding="utf-8")
    for old, new in changes:
        assert old in text
        text = text.replace(old, new, 1)
    file = home / "mappings" / f"{source}.yml"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")


CHANGES = (
    ("paywall: {constant: litellm}", "paywall: {constant: gateway}"),
    ("coalesce: [end_user, user, {constant: unattributed}]", "coalesce: [user, {constant: nobody}]"),
    ("\nfields:", "\nrows: {value: call_type, is: acompletion}\n\nfields:"),
    ("  agent_id: agent_id\n", ""),
    ("  - cache_hit\n", "  - cache_hit\n  - shadow_prompt\n"),
    ("spend, model]", "spend]"),
)


def test_a_mapping_that_changes_restates_and_doubles_nothing(tmp_path: Path) -> None:
    made, source = Exporter(13), "litellm_spend_logs"
    files = exports_of(made, source)[1:]
    late = [text_file(source, "late.jsonl", rows_of(made, source, 6))]
    nameless = [{name: value for name, value in litellm_row(made).items() if name != "model"}]
    late += [text_file(source, "nameless.csv", nameless)]
    home, fresh = tmp_path / "home", tmp_path / "fresh"
    loaded(home, files=files[:2])
    loaded(home, files=files[2:])
    before = comparable(home)
    changed_mapping(home, source, *CHANGES)
    [result] = loaded(home, files=late)
    [warning] = [words for words in result.warnings if "has changed" in words]
    assert "read again" in warning
    changed_mapping(fresh, source, *CHANGES)
    loaded(fresh, files=[*files, *late])
    assert comparable(home) == comparable(fresh)
    users = {row["user_id"] for file in lake_of(home).values() for row in file.accepted.values()}
    assert users == {"team-1", "Zoë, Inc.", "nobody"}
    assert sum(file.manifest["filtered"] for file in lake_of(home).values()) > 0
    assert not [words for words in loaded(home, source)[0].warnings if "has changed" in words], "said once"
    assert_no_secret(home)
    (home / "mappings" / f"{source}.yml").unlink()
    loaded(home, source)
    assert {path: one for path, one in comparable(home).items() if path in before} == before


@pytest.mark.parametrize("step", [15, pytest.param(1, marks=pytest.mark.soak)])
def test_a_restatement_that_is_killed_goes_on_to_what_a_rebuild_gives(tmp_path: Path, step: int) -> None:
    """It is killed before every change of a file, or before every fifteenth one."""
    made, source = Exporter(15), "litellm_spend_logs"
    files = [
        text_file(source, "a.csv", [*rows_of(made, source, 4), *faulty_rows(made, source)[:3]]),
        text_file(source, "b.jsonl", rows_of(made, source, 4)),
        text_file(source, "c.json", rows_of(made, source, 4)),
    ]
    before, rebuilt = tmp_path / "before", tmp_path / "rebuilt"
    loaded(before, files=files[:2])
    loaded(before, files=files[2:])
    for home in (before, rebuilt):
        changed_mapping(home, source, *CHANGES)
    loaded(rebuilt, files=files)
    wanted, kills = comparable(rebuilt), 0
    for change in itertools.count(step, step):
        home = tmp_path / f"killed-{change}"
        shutil.copytree(before, home, copy_function=shutil.copy2)
        if not is_killed(home, source, change):
            break
        kills += 1
        assert not is_killed(home, source, 0)
        assert comparable(home) == wanted, f"killed before change {change}"
        # Nothing is left of what the killed load wrote: each batch of a table has one folder.
        folders = [path.relative_to(home / "lake").as_posix() for path in home.glob("lake/*/batch=*")]
        assert len({folder.partition("-")[0] for folder in folders}) == len(folders)
        shutil.rmtree(home)
    assert comparable(home) == wanted
    assert kills >= 20 // step, kills


def test_a_file_that_has_left_keeps_its_rows_when_the_mapping_changes(tmp_path: Path) -> None:
    made, source = Exporter(14), "litellm_spend_logs"
    files = exports_of(made, source)[1:3]
    home = tmp_path / "home"
    loaded(home, files=files)
    before = comparable(home)
    gone = home / "landing" / files[0].path
    content = gone.read_bytes()
    gone.unlink()
    changed_mapping(home, source, *CHANGES)
    [result] = loaded(home, source)
    restated(home)
    assert [words for words in result.warnings if files[0].path in words and "landing" in words]
    fresh = tmp_path / "fresh"
    changed_mapping(fresh, source, *CHANGES)
    loaded(fresh, files=files)
    wanted = comparable(fresh)
    assert comparable(home) == {files[0].path: before[files[0].path], files[1].path: wanted[files[1].path]}
    gone.with_name("again.csv.gz").write_bytes(content)
    loaded(home, source)
    restated(home)
    assert comparable(home) == wanted


def test_a_mapping_that_changes_while_transactions_wait(tmp_path: Path) -> None:
    made, source = Exporter(15), "stripe_credits"
    grants = [grant(made, "usd", f"CUS_{number}") for number in range(3)]
    moves = [transaction(made, one, "credits_applied") for one in grants]
    files = [
        text_file(source, "1.jsonl", moves),
        text_file(source, "2.jsonl", grants[:1]),
        text_file(source, "3.jsonl", grants[1:2]),
    ]
    change = ("      - customer\n", "      - {lower: customer}\n")
    home, fresh = tmp_path / "home", tmp_path / "fresh"
    for file in files[:2]:
        loaded(home, files=[file])
    changed_mapping(home, source, change)
    loaded(home, files=files[2:])
    changed_mapping(fresh, source, change)
    loaded(fresh, files=files)
    assert comparable(home) == comparable(fresh)
    users = {row["user_id"] for file in lake_of(home).values() for row in file.accepted.values()}
    assert users == {"cus_0", "cus_1"}
