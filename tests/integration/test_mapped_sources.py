"""Exports of other systems, as they are, against an oracle that reads nothing but the contract."""

import gzip
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pyarrow.parquet as pq
import pytest

from ingestion.load import LoadResult, load
from ingestion.sources.mappings import catalog
from paywall_warehouse.settings import Settings, load_settings
from tests.support.builders import land
from tests.support.mapped_exports import (
    MARK,
    SOURCES,
    Exporter,
    Row,
    broken_csv,
    broken_lines,
    expanded_customer,
    faulty_rows,
    grant,
    litellm_row,
    parquet_file,
    rows_of,
    text_file,
    transaction,
)
from tests.support.mapped_oracle import COST_ONLY, ExpectedFile, expected_files
from tests.support.oracle import LandedFile

COLUMNS = (
    "entry_id", "occurred_at", "updated_at", "entry_type", "status", "user_id", "paywall_id", "currency",
    "request_id", "model", "prompt_tokens", "completion_tokens", "total_tokens", "cached_tokens",
    "reasoning_tokens", "provider_cost", "platform_fees", "related_entry_id", "metadata", "funding", "reason",
    "source", "billing", "amount",
)  # fmt: skip
COUNTS = ("records", "accepted", "filtered", "rejected", "rounded_amounts")
SHIPPED = Path(catalog.__file__).parent / "shipped"


def settings_of(home: Path, **more: Any) -> Settings:
    return load_settings(_env_file=None, warehouse_home=home, **more)


def loaded(home: Path, *sources: str, files: Sequence[LandedFile] = (), **more: Any) -> list[LoadResult]:
    """Land files and load their folders."""
    land(home, files)
    folders = sources or tuple(dict.fromkeys(file.folder for file in files))
    return [load(settings_of(home, **more), source, drop_build=lambda _: None) for source in folders]


# ---- what the lake holds


@dataclass
class Brought:
    """What one landed file brought, as the lake has it."""

    manifest: Row
    accepted: dict[int, Row] = field(default_factory=dict)
    rejected: dict[int | None, str] = field(default_factory=dict)


def lake_of(home: Path, *, earliest: str = "2015-01-01") -> dict[str, Brought]:
    """The lake by landed file. Rows beyond a limit are in the lake as well, and are rejects."""
    found, paths = {}, {}
    for manifest in sorted((home / "lake" / "_manifests").glob("*.json")):
        content = json.loads(manifest.read_text(encoding="utf-8"))
        for file in content["files"]:
            paths[content["batch_seq"], file["file_no"]] = file["path"]
            found[file["path"]] = Brought(file)
    rejects = list((home / "lake" / "rejects").rglob("*.parquet"))
    if rejects:
        for path, line, code in rows_in(rejects, "path, line, reason_code"):
            assert line not in found[path].rejected, "a record is rejected once"
            found[path].rejected[line] = code
    entries = list((home / "lake" / "ledger_entries").rglob("*.parquet"))
    if entries:
        for batch, file_no, line, *values in rows_in(entries, f"batch_seq, file_no, line, {', '.join(COLUMNS)}"):
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
            f"select {columns} from read_parquet($1, hive_partitioning = false)", [[str(file) for file in files]]
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


def assert_file(path: str, file: Brought, wanted: ExpectedFile) -> None:
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


def assert_no_secret(home: Path, *, allowed: Sequence[str] = ()) -> None:
    """Look for secrets in every byte of a home but its landing area, and in what is packed there."""
    for file in home.rglob("*"):
        if not file.is_file() or (home / "landing") in file.parents or str(file.name) in allowed:
            continue
        content = file.read_bytes()
        content = gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content
        if file.suffix == ".parquet":
            content += repr(pq.ParquetFile(file).read().to_pydict()).encode()
        at = content.find(MARK.encode())
        assert at < 0, f"{file.relative_to(home)}: {content[max(0, at - 300) : at + 40]!r}"


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
    return [
        text_file(source, "a.csv", [*plain, *broken_csv(made, source, columns)], columns),
        text_file(source, "b.csv.gz", faulty, columns[::-1]),
        text_file(source, "c.jsonl", mixed),
        text_file(source, "d.jsonl.zst", rows_of(made, source, 8)),
        parquet_file(source, "e.parquet", typed),
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
