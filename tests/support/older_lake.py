"""Lakes with batches of earlier versions, and what a build reads of them."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb

from ingestion.lake.batches import Lake
from ingestion.lake.schemas import missing_columns
from paywall_warehouse.duckdb_connections import open_duckdb
from paywall_warehouse.settings import load_settings
from warehouse.build_inputs import write_build_inputs
from warehouse.price_book import resolve_price_book


def raw_entries(home: Path, columns: str, **more: Any) -> list[tuple[Any, ...]]:
    """Return columns of the view `raw.ledger_entries` that a build would read."""
    settings = load_settings(_env_file=None, warehouse_home=home, **more)
    resolve_price_book(settings)
    lake = Lake(settings.home)
    with open_duckdb() as connection:
        write_build_inputs(
            connection,
            settings,
            lake,
            lake.manifests(),
            settings.now().date(),
            -1,
            [],
            is_published_copy=False,
        )
        return connection.execute(f"select {columns} from raw.ledger_entries order by entry_id").fetchall()


def make_older(home: Path, batch: int, version: int = 0) -> None:
    """Make a batch of entries what an earlier version of the lake's schema wrote: without the columns that
    were added since.
    """
    lake = Lake(load_settings(_env_file=None, warehouse_home=home).home)
    manifest = lake.manifests(batch)[0]
    for file in lake.parquet_files("ledger_entries", [manifest]):
        rows = duckdb.read_parquet(str(file), hive_partitioning=False)
        added = list(missing_columns("ledger_entries", version))
        rows.select(duckdb.StarExpression(exclude=added)).write_parquet(f"{file}.old")
        Path(f"{file}.old").replace(file)
    lake.restate(replace(manifest, schema_version=version))
    if version == 0:
        file = home / "lake" / "_manifests" / f"{batch:08d}.json"
        stated = json.loads(file.read_text())
        del stated["schema_version"]
        file.write_text(json.dumps(stated))
