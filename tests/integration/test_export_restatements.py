"""What changes is written anew and counted as a revision; the rest is left alone, and no reader sees half of
anything.
"""

import gzip
import json
import shutil
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import pyarrow.parquet as pq
import pytest

from exports.catalog import finish_exports
from exports.datasets import DATASETS
from exports.export import Exported, export_published
from exports.manifest import ManifestError
from tests.support.export_homes import (
    THIRD,
    change,
    contents,
    export,
    exported_copy,
    finish,
    like_c1,
    manifest_of,
    revisions,
    settings_of,
    slices,
)
from tests.support.shared import in_soak
from warehouse.published import NotPublishedError
from warehouse.published_tables import Table, published_table

pytestmark = pytest.mark.usefixtures("no_grace")


@pytest.fixture
def home(published: Path, tmp_path: Path) -> Path:
    """A copy of the first publication, exported, to be changed."""
    return exported_copy(published, tmp_path / "home")


def partition_of(root: Path, name: str, day: str | None) -> dict[str, Any]:
    (found,) = (one for one in manifest_of(root, name)["partitions"] if one["date"] == day)
    return dict(found)


def stamps(root: Path) -> dict[str, int]:
    """When each file was written."""
    return {
        file.relative_to(root).as_posix(): file.stat().st_mtime_ns
        for file in root.rglob("*")
        if file.is_file()
    }


def tampered(root: Path, name: str, **fields: Any) -> bytes:
    """Overwrite fields of a manifest's first partition; the bytes that are then there."""
    file = root / "v1" / name / "manifest.json"
    manifest = json.loads(file.read_bytes())
    manifest["partitions"][0] |= fields
    file.write_text(json.dumps(manifest))
    return file.read_bytes()


# ---- revisions


def test_a_late_entry_restates_its_own_day_only(published: Path, second: Path) -> None:
    assert revisions(second / "exports", "ledger") == {"2026-10-01": 2, THIRD: 1, "2026-10-04": 1}
    before, after = stamps(published / "exports/v1/ledger"), stamps(second / "exports/v1/ledger")
    assert {path for path in after if after[path] != before.get(path)} == {
        "manifest.json",
        "parquet/date=2026-10-01/part-00001.parquet",
        "csv/date=2026-10-01/part-00001.csv.gz",
    }
    assert before.keys() - after.keys() == {
        "parquet/date=2026-10-01/part-00000.parquet",
        "csv/date=2026-10-01/part-00000.csv.gz",
    }
    # 21.25 before, and the late 0.5.
    assert (
        partition_of(second / "exports", "ledger", "2026-10-01")["totals"]["usd"]["amount"]
        == "21.750000000000"
    )


def test_a_late_entry_restates_what_follows_from_it(second: Path) -> None:
    root = second / "exports"
    for name in ("daily_revenue", "user_days"):
        assert revisions(root, name) == {"2026-10-01": 2, THIRD: 1, "2026-10-04": 1}
    # Alice's next balance is of the fourth; on the third only =bob's wallet moved.
    assert revisions(root, "wallet_days") == {"2026-10-01": 2, THIRD: 1, "2026-10-04": 2}
    assert revisions(root, "balance_rollforward") == dict.fromkeys(
        [f"2026-10-0{day}" for day in range(1, 6)], 2
    )
    assert revisions(root, "users") == {None: 2}


def test_what_a_late_entry_does_not_touch_keeps_its_bytes(published: Path, second: Path) -> None:
    for name in ("usage_errors", "payouts", "reconciliation"):
        assert stamps(second / "exports/v1" / name) == stamps(published / "exports/v1" / name)
        assert contents(second / "exports/v1" / name) == contents(published / "exports/v1" / name)


def test_a_restated_day_says_which_publication_changed_it(published: Path, second: Path) -> None:
    before, after = (manifest_of(home / "exports", "ledger") for home in (published, second))
    assert after["run_id"] != before["run_id"]
    changed = {one["date"]: one["changed_at"] for one in after["partitions"]}
    assert changed == {
        "2026-10-01": after["published_at"],
        THIRD: before["published_at"],
        "2026-10-04": before["published_at"],
    }


def test_a_day_that_lost_its_last_row_is_restated_as_empty(home: Path) -> None:
    before = pq.read_schema(slices(home / "exports", "ledger", "parquet")[0])
    change(home, f"delete from marts.fct_ledger_entries where entry_date = '{THIRD}'")
    export(home)
    # Two of the ledger, and two of the view of it.
    assert finish(home).removed == 4
    day = partition_of(home / "exports", "ledger", THIRD)
    assert (day["rows"], day["totals"], day["revision"]) == (0, {}, 2)
    (parquet,), (text,) = (
        slices(home / "exports", "ledger", encoding, THIRD) for encoding in ("parquet", "csv")
    )
    table = pq.ParquetFile(parquet).read()
    assert (table.num_rows, table.schema.names, table.schema.types) == (0, before.names, before.types)
    assert gzip.decompress(text.read_bytes()).decode() == ",".join(before.names) + "\n"
    assert not export(home, ["ledger"])["ledger"].files_written, "an empty day is not written again and again"


def test_a_day_that_gets_its_rows_back_is_restated_again(home: Path) -> None:
    root = home / "exports"
    before = partition_of(root, "ledger", THIRD)
    kept = f"create table kept as from marts.fct_ledger_entries where entry_date = '{THIRD}'"
    change(home, kept, f"delete from marts.fct_ledger_entries where entry_date = '{THIRD}'")
    export(home, ["ledger"])
    change(home, "insert into marts.fct_ledger_entries from kept", run_id="run-3")
    export(home, ["ledger"])
    assert revisions(root, "ledger") == {"2026-10-01": 1, THIRD: 3, "2026-10-04": 1}
    after = partition_of(root, "ledger", THIRD)
    assert [after[name] for name in ("rows", "totals", "fingerprint")] == [
        before[name] for name in ("rows", "totals", "fingerprint")
    ]
    assert after["files"][-1]["sha256"] == before["files"][-1]["sha256"]
    assert {file["path"] for file in after["files"]}.isdisjoint(file["path"] for file in before["files"])


def test_a_day_that_appears_later_begins_at_revision_1(home: Path) -> None:
    change(home, like_c1(entry_id="'x'", entry_date="date '2026-10-02'"))
    (changed,) = export(home, ["ledger"])["ledger"].changed
    assert (str(changed.date), changed.revision, changed.rows) == ("2026-10-02", 1, 1)
    assert list(revisions(home / "exports", "ledger").items()) == [
        ("2026-10-01", 1),
        ("2026-10-02", 1),
        (THIRD, 1),
        ("2026-10-04", 1),
    ]


def test_a_snapshot_without_rows_is_one_empty_partition(home: Path) -> None:
    change(home, "delete from marts.fct_payouts")
    export(home, ["payouts"])
    assert revisions(home / "exports", "payouts") == {None: 2}
    assert [file["rows"] for file in partition_of(home / "exports", "payouts", None)["files"]] == [0, 0]


def test_one_digit_of_one_amount_is_a_change(home: Path) -> None:
    change(home, "update marts.fct_ledger_entries set platform_fees = 0.000000000001 where entry_id = 'r1'")
    assert [str(one.date) for one in export(home, ["ledger"])["ledger"].changed] == ["2026-10-04"]


def test_unknown_and_empty_are_different_contents(home: Path) -> None:
    change(home, "update marts.fct_ledger_entries set request_id = '' where entry_id = 'r1'")
    assert [str(one.date) for one in export(home, ["ledger"])["ledger"].changed] == ["2026-10-04"]


# ---- formats and columns


def test_a_format_that_is_added_later_is_written_beside_the_others(home: Path, published: Path) -> None:
    root = home / "only"
    export(home, export_uri=str(root), export_formats="parquet")
    finish(home, export_uri=str(root), export_formats="parquet")
    before = stamps(root)
    assert not [path for path in before if path.endswith(".csv.gz")]
    added = export(home, export_uri=str(root))
    assert all(one.changed == () and one.is_manifest_new for one in added.values())
    assert finish(home, export_uri=str(root)).removed == 0
    written = {path for path, stamp in stamps(root).items() if stamp != before.get(path)}
    assert {"json" if path.endswith(".json") else path.split("/")[2] for path in written} == {"json", "csv"}
    for name in DATASETS:
        assert set(revisions(root, name).values()) == {1}
        texts = [
            [file.read_bytes() for file in slices(place, name, "csv")]
            for place in (root, published / "exports")
        ]
        assert texts[0] == texts[1]


@pytest.mark.parametrize(("kept", "dropped"), [("parquet", "csv"), *in_soak(("csv", "parquet"))])
def test_a_format_that_is_dropped_goes_with_its_files_and_entries(
    home: Path, kept: str, dropped: str
) -> None:
    root = home / "exports"
    before = stamps(root)
    export(home, export_formats=kept)
    finish(home, export_formats=kept)
    after = stamps(root)
    assert before.keys() - after.keys() == {path for path in before if f"/{dropped}/" in path}
    assert {path for path in after if after[path] != before[path]} == {
        path for path in before if path.endswith(".json")
    }
    assert json.loads((root / "v1/catalog.json").read_bytes())["formats"] == [kept]
    for name in DATASETS:
        files = [file for partition in manifest_of(root, name)["partitions"] for file in partition["files"]]
        assert {file["format"] for file in files} == {kept}
        assert set(revisions(root, name).values()) == {1}


def test_a_path_is_never_used_for_other_rows(home: Path) -> None:
    digests: dict[str, set[str]] = {}
    for formats, amount in (("parquet", 1), ("parquet,csv", 1), ("parquet", 1), ("parquet,csv", 2)):
        change(
            home,
            f"update marts.fct_ledger_entries set amount = {amount} where entry_id = 'c1'",
            run_id=f"run-{formats}-{amount}",
        )
        export(home, ["ledger"], export_uri=str(home / "paths"), export_formats=formats)
        for partition in manifest_of(home / "paths", "ledger")["partitions"]:
            for file in partition["files"]:
                digests.setdefault(file["path"], set()).add(file["sha256"])
    assert {path: len(found) for path, found in digests.items()} == dict.fromkeys(digests, 1)


def test_a_new_column_raises_the_version_of_the_schema_and_every_revision(home: Path) -> None:
    root = home / "exports"
    before = manifest_of(root, "ledger")["schema"]
    change(home, "alter table marts.fct_ledger_entries add column colour varchar default 'red'")
    export(home)
    finish(home)
    schema = manifest_of(root, "ledger")["schema"]
    assert (before["version"], schema["version"]) == (1, 2)
    assert schema["fingerprint"] != before["fingerprint"]
    assert schema["columns"][-1] == {"name": "colour", "type": "VARCHAR", "description": ""}
    assert revisions(root, "ledger") == {"2026-10-01": 2, THIRD: 2, "2026-10-04": 2}
    assert {pq.read_schema(file).names[-1] for file in slices(root, "ledger", "parquet")} == {"colour"}
    versions = {
        one["name"]: one["schema_version"]
        for one in json.loads((root / "v1/catalog.json").read_bytes())["datasets"]
    }
    assert versions == dict.fromkeys(DATASETS, 1) | {"ledger": 2}


def test_other_words_about_a_column_change_the_manifest_only(home: Path) -> None:
    change(home, "comment on column marts.fct_ledger_entries.amount is 'What it was about.'")
    exported = export(home, ["ledger"])["ledger"]
    assert (exported.is_manifest_new, exported.files_written, exported.changed) == (True, 0, ())
    schema = manifest_of(home / "exports", "ledger")["schema"]
    assert {column["name"]: column["description"] for column in schema["columns"]}[
        "amount"
    ] == "What it was about."
    assert schema["version"] == 1


# ---- checks


@pytest.mark.parametrize(
    ("fields", "scope", "difference"),
    [
        ({"totals": {"eur": {"amount": "5.000000000001"}}}, "eur amount", "0.000000000001"),
        *in_soak(({"rows": 4}, "rows", "1"), ({"totals": {}}, "usd amount", "-21.25")),
    ],
)
def test_a_manifest_that_disagrees_with_the_mart_fails_its_check(
    home: Path, fields: dict[str, Any], scope: str, difference: str
) -> None:
    before = tampered(home / "exports", "ledger", **fields)
    exported = export_published(settings_of(home), DATASETS["ledger"], print)
    failures = {
        check.scope: f"{check.difference:f}".rstrip("0") for check in exported.checks if not check.passed
    }
    assert {check.name for check in exported.checks if not check.passed} == {"totals_equal_the_mart"}
    assert failures[scope] == difference
    assert (home / "exports/v1/ledger/manifest.json").read_bytes() == before
    export(home, [name for name in DATASETS if name != "ledger"])
    assert not finish(home).checks[0].passed, "the catalog waits for all of them"


def test_a_manifest_that_was_removed_is_written_from_the_start(home: Path) -> None:
    before = contents(home / "exports")
    (home / "exports/v1/ledger/manifest.json").unlink()
    export(home)
    finish(home)
    assert contents(home / "exports") == before


def test_the_catalog_waits_until_all_datasets_are_of_one_publication(home: Path) -> None:
    export(home)
    finish(home)
    before = contents(home / "exports")
    change(home, "update marts.rpt_users set charges = 99")
    export(home, [name for name in DATASETS if name not in ("ledger", "users")])
    refused = finish(home)
    assert [(check.name, check.passed, check.difference) for check in refused.checks] == [
        ("exports_are_of_one_publish", False, -2)
    ]
    assert refused.checks[0].query == "export these first: ledger, users"
    assert contents(home / "exports") == before
    export(home, ["ledger", "users"])
    finished = finish(home)
    assert all(check.passed for check in finished.checks)
    assert (finished.is_catalog_new, finished.removed) == (True, 2)


class Elsewhere:
    """A mart whose rows are in another file, with hashes of its own: what a cluster is to an export."""

    hash_engine, sums_in_halves = "another", True

    def __init__(self, file: Path, mart: str, day: str | None, table: Table) -> None:
        self._file, self._mart, self._day, self.table = file, mart, day, table

    @property
    def queries(self) -> duckdb.DuckDBPyConnection:
        return duckdb.connect(str(self._file), read_only=True)

    @contextmanager
    def rows(self, days: Collection[date | None]) -> Iterator[str]:
        listed = ", ".join(f"date '{day}'" for day in days)
        with duckdb.connect(str(self._file), read_only=True) as connection:
            rows = connection.sql(f"from marts.{self._mart} where {self._day} in ({listed})")
            rows.write_parquet(str(self._file.with_suffix(".parquet")))
        yield f"read_parquet('{self._file.with_suffix('.parquet')}')"


def test_a_mart_that_moves_to_a_cluster_is_restated_only_where_its_rows_change(
    home: Path, tmp_path: Path
) -> None:
    there = Path(shutil.copy(home / "published" / "warehouse.duckdb", tmp_path / "there.duckdb"))
    before = contents(home / "exports")
    change(
        home,
        "create schema on_cluster",
        "create table on_cluster.fct_ledger_entries as from marts.fct_ledger_entries limit 0",
        "drop table marts.fct_ledger_entries",
    )

    def elsewhere(connection: duckdb.DuckDBPyConnection, mart: str, day: str | None) -> Elsewhere:
        return Elsewhere(there, mart, day, published_table(connection, mart))

    def exported() -> Exported:
        return export_published(settings_of(home), DATASETS["ledger"], print, elsewhere)

    with pytest.raises(NotPublishedError, match=r"marts\.fct_ledger_entries is on the cluster"):
        export(home, ["ledger"])
    moved = exported()
    assert (moved.changed, moved.files_written, moved.is_manifest_new) == ((), 0, True)
    assert {path for path, content in contents(home / "exports").items() if content != before[path]} == {
        "v1/ledger/manifest.json"
    }
    with duckdb.connect(str(there)) as connection:
        connection.execute(
            f"update marts.fct_ledger_entries set amount = amount + 1 where entry_date = '{THIRD}'"
        )
    (changed,) = exported().changed
    assert (str(changed.date), changed.revision, changed.totals) == (THIRD, 2, {"eur": changed.totals["eur"]})
    # c2, the only entry of that day.
    assert changed.totals["eur"]["amount"] == "1.000000000001"


def test_a_file_that_is_not_ours_is_reported_and_left_alone(home: Path) -> None:
    stray = home / "exports/v1/ledger/parquet/foo.parquet"
    stray.write_bytes(b"somebody's")
    export(home)
    failed = [check for check in finish(home).checks if not check.passed]
    assert [(check.name, check.actual) for check in failed] == [("no_file_without_entry", 1)]
    assert "v1/ledger/parquet/foo.parquet" in failed[0].query
    assert stray.read_bytes() == b"somebody's"


@pytest.mark.parametrize("content", [b'{"manifest_version": 2}', b'{"manifest_version": 1, "data', b""])
def test_a_manifest_that_is_not_understood_stops_the_export_and_stays(home: Path, content: bytes) -> None:
    file = home / "exports/v1/ledger/manifest.json"
    file.write_bytes(content)
    with pytest.raises(
        ManifestError,
        match=(
            r"exports/v1/ledger/manifest\.json: .*written by a later version, or damaged: update, or remove"
        ),
    ):
        export_published(settings_of(home), DATASETS["ledger"], print)
    assert file.read_bytes() == content


def test_nothing_is_exported_before_something_is_published(tmp_path: Path) -> None:
    for do in (lambda: export(tmp_path, ["ledger"]), lambda: finish_exports(settings_of(tmp_path))):
        with pytest.raises(
            NotPublishedError, match=r"nothing has been published yet\. `paywall-warehouse run` publishes"
        ):
            do()
    assert not (tmp_path / "exports").exists()
