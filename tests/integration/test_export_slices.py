"""What a slice says is what the mart says, to the last digit, whoever reads it; the same rows are the same
bytes.
"""

import hashlib
import json
import re
from collections.abc import Callable
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import jsonschema
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from exports import partition_files
from exports.datasets import DATASETS
from exports.manifest import Catalog, Manifest, json_schema
from tests.support.export_homes import (
    AS_OF,
    MARTS,
    ORDER,
    Rows,
    change,
    contents,
    copied,
    csv_cells,
    csv_rows,
    export,
    finish,
    like_c1,
    manifest_of,
    opened,
    slices,
)


@pytest.fixture
def home(published: Path, tmp_path: Path) -> Path:
    """A copy of the published home, to be changed."""
    return copied(published, tmp_path / "home")


@pytest.fixture(scope="module")
def marts(published: Path) -> dict[str, tuple[dict[str, str], Rows]]:
    """The types and rows of every mart, as the published file has them."""
    with opened(published) as connection:
        found = {}
        for name, mart in MARTS.items():
            types = connection.execute(
                f"select column_name, data_type from duckdb_columns() where table_name = '{mart}' order by"
                " column_index"
            )
            found[name] = (
                dict(types.fetchall()),
                connection.execute(f"select * from marts.{mart} order by {ORDER[name]}").fetchall(),
            )
    return found


# ---- whoever reads them


def read_by_duckdb(files: list[Path], types: dict[str, str]) -> tuple[list[str], Rows]:
    with duckdb.connect() as connection:
        connection.execute("set TimeZone = 'UTC'")
        rows = connection.execute("from read_parquet(?, hive_partitioning = false)", [list(map(str, files))])
        return [column[0] for column in rows.description], rows.fetchall()


def read_by_pyarrow(files: list[Path], types: dict[str, str]) -> tuple[list[str], Rows]:
    table = pa.concat_tables([pq.ParquetFile(file).read() for file in files])
    return table.column_names, [tuple(row.values()) for row in table.to_pylist()]


def read_by_pandas(files: list[Path], types: dict[str, str]) -> tuple[list[str], Rows]:
    frame = pd.concat([pd.read_parquet(file, dtype_backend="pyarrow", partitioning=None) for file in files])
    columns = [[plain(value) for value in frame[name]] for name in frame]
    return list(frame), list(zip(*columns, strict=True))


def plain(value: Any) -> Any:
    if value is pd.NA:
        return None
    if isinstance(value, pd.Timestamp):
        return value.to_pydatetime()
    return list(value) if hasattr(value, "tolist") and not isinstance(value, float) else value


def read_by_polars(files: list[Path], types: dict[str, str]) -> tuple[list[str], Rows]:
    frame = pl.read_parquet(files, hive_partitioning=False)
    return frame.columns, frame.rows()


def read_by_csv(files: list[Path], types: dict[str, str]) -> tuple[list[str], Rows]:
    (header,) = {tuple(csv_rows(file)[0]) for file in files}
    return list(header), [tuple(map(value_of, row, types.values())) for row in csv_cells(files)]


def value_of(cell: str, kind: str) -> Any:
    """What a consumer makes of a cell of CSV; here no text is empty."""
    if not cell:
        return None
    if kind == "VARCHAR":
        return re.sub(r"^'([=+\-@\t\r])", r"\1", cell)
    if kind == "TIMESTAMP WITH TIME ZONE":
        assert cell.endswith("Z")
    parse: dict[str, Callable[[str], Any]] = {
        "DECIMAL(38,12)": Decimal,
        "BIGINT": int,
        "INTEGER": int,
        "DOUBLE": float,
        "DATE": date.fromisoformat,
        "VARCHAR[]": json.loads,
        "TIMESTAMP WITH TIME ZONE": datetime.fromisoformat,
        "BOOLEAN": {"true": True, "false": False}.__getitem__,
    }
    return parse[kind](cell)


READERS = {
    "duckdb": read_by_duckdb,
    "pyarrow": read_by_pyarrow,
    "pandas": read_by_pandas,
    "polars": read_by_polars,
    "csv": read_by_csv,
}


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("name", DATASETS)
def test_every_reader_finds_columns_and_rows_of_the_mart(
    published: Path, marts: dict[str, Any], name: str, reader: str
) -> None:
    types, expected = marts[name]
    assert expected, "the mart has rows that could get lost"
    files = slices(published / "exports", name, "csv" if reader == "csv" else "parquet")
    assert READERS[reader](files, types) == (list(types), expected)


ARROW = {
    "VARCHAR": pa.string(),
    "DECIMAL(38,12)": pa.decimal128(38, 12),
    "TIMESTAMP WITH TIME ZONE": pa.timestamp("us", "UTC"),
    "DATE": pa.date32(),
    "BIGINT": pa.int64(),
    "INTEGER": pa.int32(),
    "DOUBLE": pa.float64(),
    "BOOLEAN": pa.bool_(),
    "VARCHAR[]": pa.list_(pa.string()),
}
POLARS = {
    "VARCHAR": pl.String(),
    "DECIMAL(38,12)": pl.Decimal(38, 12),
    "TIMESTAMP WITH TIME ZONE": pl.Datetime("us", "UTC"),
    "DATE": pl.Date(),
    "BIGINT": pl.Int64(),
    "INTEGER": pl.Int32(),
    "DOUBLE": pl.Float64(),
    "BOOLEAN": pl.Boolean(),
    "VARCHAR[]": pl.List(pl.String()),
}


@pytest.mark.parametrize("name", DATASETS)
def test_parquet_keeps_the_types_for_every_reader(published: Path, marts: dict[str, Any], name: str) -> None:
    types = marts[name][0]
    arrow = {column: ARROW[kind] for column, kind in types.items()}
    for file in slices(published / "exports", name, "parquet"):
        schema = pq.read_schema(file)
        assert dict(zip(schema.names, schema.types, strict=True)) == arrow
        assert dict(pl.read_parquet_schema(file)) == {column: POLARS[kind] for column, kind in types.items()}
        frame = pd.read_parquet(file, dtype_backend="pyarrow", partitioning=None)
        assert {column: kind.pyarrow_dtype for column, kind in frame.dtypes.items()} == arrow
    manifest = manifest_of(published / "exports", name)
    assert {column["name"]: column["type"] for column in manifest["schema"]["columns"]} == types
    assert all(column["description"] for column in manifest["schema"]["columns"])


def test_a_partition_states_its_rows_and_exact_sums(published: Path) -> None:
    (day,) = (
        one
        for one in manifest_of(published / "exports", "ledger")["partitions"]
        if one["date"] == "2026-10-01"
    )
    # d1 20 + c1 1.25 in usd, d2 5 in eur; the charge takes 1.25 from the balance and cost 1.1. Nobody states
    # fees: they are unknown, not 0.
    assert day["rows"] == 3
    assert day["totals"]["usd"] == {
        "amount": "21.250000000000",
        "balance_effect": "18.750000000000",
        "revenue": "1.250000000000",
        "refunds": "0.000000000000",
        "provider_cost": "1.100000000000",
    }
    assert day["totals"]["eur"]["amount"] == "5.000000000000"
    assert [file["rows"] for file in day["files"]] == [3, 3]


# Amounts that are in another currency than the one of the row.
OWN_CURRENCY = {
    "reconciliation": {
        "ledger_amount": "ledger_currency",
        "clawed_back_amount": "ledger_currency",
        "difference": "ledger_currency",
        "net_credit": "ledger_currency",
        "net_payment": "paid_currency",
        "paid_amount": "paid_currency",
        "refunded_amount": "paid_currency",
        "disputed_amount": "paid_currency",
        "settled_gross": "settlement_currency",
        "settled_fee": "settlement_currency",
        "settled_net": "settlement_currency",
    },
}


# Decimals that count something else.
NO_MONEY = ("quantity", "billed_tokens", "ConsumedQuantity", "PricingQuantity")


@pytest.mark.parametrize("name", [name for name in DATASETS if name != "usage_errors"])
def test_sums_of_all_partitions_are_those_of_the_mart(
    published: Path, marts: dict[str, Any], name: str
) -> None:
    types, rows = marts[name]
    expected: dict[tuple[str, str], Decimal] = {}
    for row in (dict(zip(types, one, strict=True)) for one in rows):
        for column in (
            one for one, kind in types.items() if kind == "DECIMAL(38,12)" and one not in NO_MONEY
        ):
            own = OWN_CURRENCY.get(name, {})
            currency = row[own.get(column, "BillingCurrency" if name == "focus" else "currency")]
            if currency is not None and row[column] is not None:
                expected[currency, column] = expected.get((currency, column), Decimal(0)) + row[column]
    found: dict[tuple[str, str], Decimal] = {}
    for partition in manifest_of(published / "exports", name)["partitions"]:
        for currency, sums in partition["totals"].items():
            for column, text in sums.items():
                found[currency, column] = found.get((currency, column), Decimal(0)) + Decimal(text)
    assert found == expected
    assert any(expected.values())


def test_amounts_without_a_currency_are_in_no_sum(published: Path) -> None:
    assert [one["totals"] for one in manifest_of(published / "exports", "usage_errors")["partitions"]] == [{}]


# ---- order, parts, bytes


def test_a_large_day_is_cut_into_parts_of_bounded_size_in_order(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    change(home, *(like_c1(entry_id=f"'{entry}'") for entry in ("z", "b", "c10", "A", "é")))
    monkeypatch.setattr(partition_files, "PART_ROWS", 3)
    export(home, ["ledger"])
    parquet, text = (
        slices(home / "exports", "ledger", encoding, "2026-10-01") for encoding in ("parquet", "csv")
    )
    assert [file.name for file in parquet] == [
        "part-00000.parquet",
        "part-00001.parquet",
        "part-00002.parquet",
    ]
    assert [file.name for file in text] == ["part-00000.csv.gz", "part-00001.csv.gz", "part-00002.csv.gz"]
    cut = [pq.ParquetFile(file).read()["entry_id"].to_pylist() for file in parquet]
    assert cut == [["A", "b", "c1"], ["c10", "d1", "d2"], ["z", "é"]]
    assert [[row[0] for row in csv_cells([file])] for file in text] == cut
    day = manifest_of(home / "exports", "ledger")["partitions"][0]
    assert [(file["format"], file["rows"]) for file in day["files"]] == [
        (one, rows) for one in ("parquet", "csv") for rows in (3, 3, 2)
    ]


@pytest.mark.soak
def test_a_very_large_day_is_ordered_and_repeats_its_bytes_on_any_number_of_threads(
    home: Path, tmp_path: Path
) -> None:
    more = like_c1(entry_id="md5(n::varchar)", amount="n::decimal(38, 12)")
    change(
        home,
        more.replace("select *", "select entries.*").replace(
            " where", " as entries, range(150000) as numbers(n) where"
        ),
    )
    export(home, ["ledger"], export_uri=str(tmp_path / "one"), duckdb_threads=1)
    export(home, ["ledger"], export_uri=str(tmp_path / "many"), duckdb_threads=4)
    (parquet,), (text,) = (
        slices(tmp_path / "one", "ledger", encoding, "2026-10-01") for encoding in ("parquet", "csv")
    )
    expected = sorted([hashlib.md5(str(n).encode()).hexdigest() for n in range(150_000)] + ["c1", "d1", "d2"])
    assert pq.ParquetFile(parquet).read(["entry_id"])["entry_id"].to_pylist() == expected
    assert [row[0] for row in csv_cells([text])] == expected
    assert contents(tmp_path / "one") == contents(tmp_path / "many")


def test_the_same_warehouse_gives_the_same_bytes_elsewhere(
    home: Path, published: Path, tmp_path: Path
) -> None:
    export(home, export_uri=str(tmp_path / "elsewhere"))
    finish(home, export_uri=str(tmp_path / "elsewhere"))
    assert contents(tmp_path / "elsewhere") == contents(published / "exports")
    assert "v1/catalog.json" in contents(published / "exports")


# What DuckDB's Parquet writer makes of the temporary table that days are sorted in.
REQUIRED = "a column without a NULL in the days that are sorted together is written as REQUIRED"
ROW_GROUPS = "where row groups end hangs on where the day begins in the sorted table"


def exported_twice(home: Path, tmp_path: Path) -> list[list[str]]:
    """The digests of the third's Parquet files, exported with all days and then alone, and once more with all
    days elsewhere.
    """
    how = {"export_formats": "parquet"}
    export(home, ["ledger"], export_uri=str(tmp_path / "restated"), **how)
    change(home, "update marts.fct_ledger_entries set amount = 2 where entry_id = 'c2'", run_id="run-3")
    (changed,) = export(home, ["ledger"], export_uri=str(tmp_path / "restated"), **how)["ledger"].changed
    assert str(changed.date) == "2026-10-03"
    export(home, ["ledger"], export_uri=str(tmp_path / "fresh"), **how)
    places = [slices(tmp_path / place, "ledger", "parquet", "2026-10-03") for place in ("restated", "fresh")]
    return [[hashlib.sha256(file.read_bytes()).hexdigest() for file in files] for files in places]


def test_a_day_has_the_same_bytes_alone_and_among_others(home: Path, tmp_path: Path) -> None:
    change(home, "update marts.fct_ledger_entries set request_id = entry_id where entry_id = 'c2'")
    restated, fresh = exported_twice(home, tmp_path)
    assert restated == fresh


def test_a_large_day_has_the_same_bytes_alone_and_among_others(home: Path, tmp_path: Path) -> None:
    many = like_c1(entry_id="'n' || n", entry_date="if(n < 10000, date '2026-10-02', date '2026-10-03')")
    change(
        home,
        many.replace("select *", "select entries.*").replace(
            " where", " as entries, range(150000) as numbers(n) where"
        ),
        # What is left has the same columns known on both days.
        "delete from marts.fct_ledger_entries where entry_id not in ('c1', 'c2') and entry_id not like 'n%'",
    )
    restated, fresh = exported_twice(home, tmp_path)
    assert restated == fresh


def test_all_files_of_a_dataset_can_be_put_together_by_pyarrow(home: Path) -> None:
    change(home, "update marts.fct_ledger_entries set request_id = entry_id where entry_id = 'c2'")
    export(home, ["ledger"], export_formats="parquet")
    change(home, "update marts.fct_ledger_entries set amount = 2 where entry_id = 'c2'", run_id="run-3")
    export(home, ["ledger"], export_formats="parquet")
    files = slices(home / "exports", "ledger", "parquet")
    assert pa.concat_tables([pq.ParquetFile(file).read() for file in files]).num_rows == 6


def test_exporting_again_touches_no_file(home: Path) -> None:
    def stamps() -> dict[Path, tuple[int, int]]:
        return {file: (file.stat().st_ino, file.stat().st_mtime_ns) for file in (home / "exports").rglob("*")}

    export(home)
    finish(home)
    before = stamps()
    again = export(home)
    assert {
        (one.files_written, one.bytes_written, one.is_manifest_new, one.changed) for one in again.values()
    } == {(0, 0, False, ())}
    assert not finish(home).is_catalog_new
    assert stamps() == before


# ---- what manifests say

MANIFEST = {
    "manifest_version",
    "dataset",
    "run_id",
    "published_at",
    "as_of",
    "reporting_timezone",
    "schema",
    "partitions",
}
SCHEMA, COLUMN = {"version", "fingerprint", "columns"}, {"name", "type", "description"}
PARTITION = {"date", "revision", "changed_at", "rows", "totals", "files"}
FILE = {"path", "format", "bytes", "rows", "sha256"}


@pytest.mark.parametrize("name", DATASETS)
def test_a_manifest_has_every_field_of_the_contract(published: Path, name: str) -> None:
    root = published / "exports"
    manifest = manifest_of(root, name)
    jsonschema.Draft202012Validator(json_schema(Manifest)).validate(manifest)
    assert set(manifest) >= MANIFEST
    assert set(manifest["schema"]) >= SCHEMA
    assert all(set(column) >= COLUMN for column in manifest["schema"]["columns"])
    assert all(set(partition) >= PARTITION for partition in manifest["partitions"])
    files = [file for partition in manifest["partitions"] for file in partition["files"]]
    assert all(set(file) >= FILE for file in files)
    for file in files:
        content = (root / "v1" / name / file["path"]).read_bytes()
        assert (file["bytes"], file["sha256"]) == (len(content), hashlib.sha256(content).hexdigest())


def test_a_manifest_names_the_run_that_published(published: Path) -> None:
    manifest = manifest_of(published / "exports", "ledger")
    with opened(published) as connection:
        ((run_id, finished_at),) = connection.execute("select run_id, finished_at from ops.runs").fetchall()
    assert (manifest["run_id"], datetime.fromisoformat(manifest["published_at"])) == (run_id, finished_at)
    assert (manifest["as_of"], manifest["reporting_timezone"]) == (AS_OF, "UTC")
    assert {
        (one["revision"], datetime.fromisoformat(one["changed_at"])) for one in manifest["partitions"]
    } == {(1, finished_at)}


def test_the_catalog_names_every_dataset_with_its_formats_and_schema_version(published: Path) -> None:
    root = published / "exports" / "v1"
    catalog = json.loads((root / "catalog.json").read_bytes())
    jsonschema.Draft202012Validator(json_schema(Catalog)).validate(catalog)
    assert catalog["formats"] == ["parquet", "csv"]
    assert {one["name"]: one["schema_version"] for one in catalog["datasets"]} == dict.fromkeys(ORDER, 1)
    for one in catalog["datasets"]:
        assert one["manifest_sha256"] == hashlib.sha256((root / one["manifest"]).read_bytes()).hexdigest()


def test_a_schema_of_the_wrong_shape_is_refused(published: Path) -> None:
    validator = jsonschema.Draft202012Validator(json_schema(Manifest))
    good = manifest_of(published / "exports", "payouts")
    for broken in (
        good | {"manifest_version": 2},
        {**good, "partitions": [{"date": None}]},
        good | {"dataset": "../elsewhere"},
    ):
        assert not validator.is_valid(broken)
