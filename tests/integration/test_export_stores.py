"""Exports on an object store, over the real protocol, and what a consumer fetches from there or from a web
server.
"""

import functools
import http.server
import json
import logging
import os
import re
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import duckdb
import fsspec
import pytest
from moto.server import ThreadedMotoServer

from exports.catalog import finish_exports
from exports.client.mirror import pull
from exports.client.outcome import PullError
from exports.datasets import DATASETS
from exports.destination import ObjectStore
from exports.export import export_published
from paywall_warehouse.settings import Settings, load_settings
from tests.support.builders import charge, deposit, land, ledger_file
from tests.support.harness import run_pipeline
from tests.support.ingestion import load
from warehouse.price_book import resolve_price_book
from warehouse.spark.exchange import exchange_folder
from warehouse.spark.lake_copy import copy_lake

AS_OF = "2026-10-03T12:00:00Z"
SECRET = "store-secret-key-4711"
RECORDS = [
    deposit("d1", "2026-10-01T08:00:00Z", "20"),
    charge("c1", "2026-10-01T09:00:00Z", "1.25", model="m", provider_cost="1.1"),
    charge("c2", "2026-10-02T09:00:00Z", "0.5", user="bob"),
]


@pytest.fixture(scope="module")
def store() -> Iterator[str]:
    """A bucket behind a real S3 protocol server on loopback; returns its endpoint."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    variables = {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "store-key",
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    fsspec.filesystem("s3").mkdir("warehouse-exports")
    yield variables["AWS_ENDPOINT_URL"]
    for name, value in before.items():
        os.environ.pop(name) if value is None else os.environ.update({name: value})
    server.stop()


def test_a_lake_is_copied_to_a_store_and_what_is_written_there_comes_back(store: str, tmp_path: Path) -> None:
    land(tmp_path / "home", [ledger_file("a.jsonl", RECORDS)])
    settings = load_settings(
        _env_file=None, warehouse_home=tmp_path / "home", lake_uri="s3://warehouse-exports/its/lake"
    )
    load(settings, "ledger")
    resolve_price_book(settings)
    assert copy_lake(settings) > 0
    files = fsspec.filesystem("s3", use_listings_cache=False)
    lake = settings.home.lake
    stored = {
        path.removeprefix("warehouse-exports/its/lake/"): files.cat_file(path)
        for path in files.find("warehouse-exports/its/lake")
    }
    assert stored == {
        file.relative_to(lake).as_posix(): file.read_bytes() for file in lake.rglob("*.parquet")
    }
    duckdb.sql("select range as n from range(3)").write_parquet(str(tmp_path / "part.parquet"))
    with exchange_folder(settings) as staging_dir:
        for number in range(2):
            files.put_file(
                str(tmp_path / "part.parquet"), f"{staging_dir.location('dim_dates')}/part-{number}.parquet"
            )
        assert duckdb.sql(f"select count(*), sum(n) from {staging_dir.parquet('dim_dates')}").fetchall() == [
            (6, 6)
        ]
    assert files.find("warehouse-exports/its/lake/_cluster") == []


@pytest.fixture(scope="module")
def exported(store: str, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A home whose run has exported to the store, and what the run said."""
    home = tmp_path_factory.mktemp("stores") / "home"
    land(home, [ledger_file("a.jsonl", RECORDS)])
    uri = "s3://warehouse-exports/daily"
    done = run_pipeline(home, exports=True, as_of=AS_OF, export_uri=uri, export_focus=True)
    assert done.exit_code == 0, done
    return home, done.output


def export_all(settings: Settings) -> None:
    for dataset in DATASETS.values():
        export_published(settings, dataset, lambda words: None)
    assert all(check.passed for check in finish_exports(settings).checks)


def settings_of(home: Path, uri: str) -> Settings:
    return load_settings(_env_file=None, warehouse_home=home, as_of=AS_OF, export_uri=uri, export_focus=True)


def contents(root: Path) -> dict[str, bytes]:
    return {
        file.relative_to(root).as_posix(): file.read_bytes()
        for file in root.rglob("*")
        if file.is_file() and file.name != ".pull.lock"
    }


def test_the_store_holds_the_same_bytes_as_a_local_folder(exported: tuple[Path, str], tmp_path: Path) -> None:
    home, said = exported
    assert "Exported: s3://warehouse-exports/daily/v1" in said
    export_all(settings_of(home, str(tmp_path / "local")))
    stored = fsspec.filesystem("s3")
    prefix = "warehouse-exports/daily/"
    found = {path.removeprefix(prefix): stored.cat_file(path) for path in stored.find(prefix)}
    assert found == contents(tmp_path / "local")
    assert len(found) > 2 * len(DATASETS)


def test_a_mirror_of_the_store_is_an_export_too(exported: tuple[Path, str], tmp_path: Path) -> None:
    pulled = pull("s3://warehouse-exports/daily", tmp_path / "mirror")
    assert {one.dataset for one in pulled} == set(DATASETS)
    ledger = next(one for one in pulled if one.dataset == "ledger")
    # Two days in two formats.
    assert ([str(one.date) for one in ledger.changed], ledger.files) == (["2026-10-01", "2026-10-02"], 4)
    again = pull(str(tmp_path / "mirror"), tmp_path / "mirror of the mirror")
    assert sum(one.files for one in again) == sum(one.files for one in pulled)
    assert contents(tmp_path / "mirror of the mirror") == contents(tmp_path / "mirror")


def test_nothing_changed_writes_nothing_to_the_store(exported: tuple[Path, str]) -> None:
    home, _ = exported
    stored = fsspec.filesystem("s3")
    before = {
        path: info["LastModified"]
        for path, info in stored.find("warehouse-exports/daily", detail=True).items()
    }
    export_all(settings_of(home, "s3://warehouse-exports/daily"))
    stored.invalidate_cache()
    assert {
        path: info["LastModified"]
        for path, info in stored.find("warehouse-exports/daily", detail=True).items()
    } == before


@pytest.mark.soak
def test_a_restated_day_replaces_its_files_in_the_store(exported: tuple[Path, str], tmp_path: Path) -> None:
    home, uri = Path(shutil.copytree(exported[0], tmp_path / "home")), "s3://warehouse-exports/restated"
    export_all(settings_of(home, uri))
    pull(uri, tmp_path / "mirror", datasets=["ledger"], formats=["parquet"])
    land(home, [ledger_file("b.jsonl", [charge("late", "2026-10-01T23:00:00Z", "0.75")])])
    assert run_pipeline(home, exports=True, as_of=AS_OF, export_uri=uri).exit_code == 0
    stored = fsspec.filesystem("s3")
    stored.invalidate_cache()
    folder = "warehouse-exports/restated/v1/ledger"
    names = sorted(path.removeprefix(f"{folder}/") for path in stored.find(f"{folder}/parquet"))
    assert names == [
        "parquet/date=2026-10-01/part-00001.parquet",
        "parquet/date=2026-10-02/part-00000.parquet",
    ]
    pulled = pull(uri, tmp_path / "mirror", datasets=["ledger"], formats=["parquet"])
    assert [(str(one.date), one.revision, one.rows) for one in pulled[0].changed] == [("2026-10-01", 2, 3)]
    assert pulled[0].files == 1
    mirrored = sorted(path for path in contents(tmp_path / "mirror") if path.endswith(".parquet"))
    assert mirrored == [f"v1/ledger/{name}" for name in names]


@pytest.mark.soak
def test_an_upload_that_fails_leaves_the_previous_export_and_the_next_run_completes_it(
    exported: tuple[Path, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home, _ = exported
    uri = "s3://warehouse-exports/interrupted"
    place, calls = ObjectStore.place, []

    def fails_at_the_fifth(self: ObjectStore, prepared: Path, path: str) -> None:
        calls.append(path)
        if len(calls) == 5:
            raise OSError(5, "the store is away")
        place(self, prepared, path)

    monkeypatch.setattr(ObjectStore, "place", fails_at_the_fifth)
    with pytest.raises(OSError, match="the store is away"):
        export_all(settings_of(home, uri))
    with pytest.raises(PullError, match=r"catalog\.json does not exist: nothing has been exported there yet"):
        pull(uri, tmp_path / "mirror")
    monkeypatch.undo()
    export_all(settings_of(home, uri))
    pull(uri, tmp_path / "mirror")
    pull("s3://warehouse-exports/daily", tmp_path / "undisturbed")
    assert contents(tmp_path / "mirror") == contents(tmp_path / "undisturbed")


def test_no_secret_reaches_the_home_or_the_output(exported: tuple[Path, str]) -> None:
    home, said = exported
    assert SECRET not in said
    assert not [file for file in home.rglob("*") if file.is_file() and SECRET.encode() in file.read_bytes()]


def test_a_password_in_the_uri_is_not_shown(tmp_path: Path) -> None:
    with pytest.raises(PullError) as error:
        pull("http://reader:hunter2@127.0.0.1:9/exports", tmp_path / "mirror")
    assert "hunter2" not in re.sub(r"Traceback.*", "", str(error.value))
    settings = settings_of(tmp_path, "s3://key:hunter2@bucket/exports")
    assert "hunter2" not in settings.exports_shown


@pytest.mark.soak
def test_a_plain_web_server_is_enough_to_pull_from(exported: tuple[Path, str], tmp_path: Path) -> None:
    home, _ = exported
    export_all(settings_of(home, str(tmp_path / "site" / "exports")))
    handler = functools.partial(_Quiet, directory=str(tmp_path / "site"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        # What an interrupted pull left of one file; this server cannot continue it.
        manifest = json.loads((tmp_path / "site/exports/v1/ledger/manifest.json").read_bytes())
        file = manifest["partitions"][0]["files"][0]
        target = tmp_path / "mirror/v1/ledger" / file["path"]
        target.parent.mkdir(parents=True)
        target.with_name(f".{target.name}.{file['sha256'][:16]}.partial").write_bytes(b"PAR1")
        pull(f"http://127.0.0.1:{server.server_port}/exports", tmp_path / "mirror")
        server.shutdown()
    assert contents(tmp_path / "mirror") == contents(tmp_path / "site" / "exports")


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *arguments: object) -> None:
        pass
