"""Tables in a DuckDB file that are kept like a mirror.

The rows of a restated day are replaced as a whole, in one transaction.
"""

import glob
import hashlib
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import date
from pathlib import Path

import duckdb

from exports.client.mirror_state import local_manifest
from exports.client.outcome import PullError
from exports.manifest import CATALOG, ROOT, Manifest, ManifestError, Partition, read_catalog
from paywall_warehouse.duckdb_connections import insert_rows, open_duckdb
from paywall_warehouse.errors import first_line
from paywall_warehouse.files import put_in_place, sha256
from paywall_warehouse.quoting import file_literal, literal, quoted

STORAGE_VERSION = "v1.5.0"
# The partitions that have been loaded. They are recorded in the same file, so that they change together with
# the tables.
STATE = """
create schema if not exists paywall_pull;
create table if not exists paywall_pull.datasets (dataset varchar, schema_fingerprint varchar,
    run_id varchar, as_of timestamptz);
create table if not exists paywall_pull.partitions (dataset varchar, date date, revision integer,
    digest varchar);
-- The last erasure that was applied to the rows, and the last one that was applied to the pages of the file.
alter table paywall_pull.datasets add column if not exists erased_at timestamptz;
alter table paywall_pull.datasets add column if not exists file_erased_at timestamptz;
"""
PENDING = "erased_at is not null and erased_at is distinct from file_erased_at"


def load_into(
    folder: str | Path, file: str | Path, *, datasets: Sequence[str] | None = None
) -> Iterator[str]:
    """Load the mirror in `folder` into a DuckDB file, and yield a line about each dataset.

    `file` gets one table for each dataset. A dataset changes in one transaction. The mirror must have Parquet
    files: CSV has no types, and changes texts that look like formulas. DuckDB leaves deleted rows on free
    pages, so the file is rebuilt after a person was erased. Raises `PullError`.
    """
    folder, file = Path(folder), Path(file)
    names = datasets or _mirrored(folder)
    with _opened(file) as connection:
        for name in names:
            manifest = local_manifest(folder, name)
            if manifest is None:
                raise PullError(f"{folder} has no {name}: pull it first", is_wrong_usage=True)
            if any(one.rows and not one.files_in("parquet") for one in manifest.partitions):
                raise PullError(
                    f"--into needs Parquet, which the mirror of {name} has none of: pull it too",
                    is_wrong_usage=True,
                )
            replaced = _load(connection, folder / ROOT / name, manifest)
            outcome = (
                f"{replaced:,} {'partition' if replaced == 1 else 'partitions'} replaced"
                if replaced
                else "unchanged"
            )
            yield f"{file}: {name}: {outcome}"
        rebuilt = _rebuilt(connection, file)
    if rebuilt is not None:
        put_in_place(rebuilt, file.resolve())
        # A killed process may have spilled the same rows.
        shutil.rmtree(_spill(file), ignore_errors=True)
        yield f"{file}: rebuilt, without the data that was erased"


def _rebuilt(connection: duckdb.DuckDBPyConnection, file: Path) -> Path | None:
    """Write a copy of the file without its free pages, and return its path.

    Returns None if no page can hold erased data.
    """
    if connection.execute(f"select 1 from paywall_pull.datasets where {PENDING}").fetchone() is None:
        return None
    place = file.resolve()
    partial = place.with_name(f".{place.name}.partial")
    for left_over in place.parent.glob(f"{glob.escape(partial.name)}*"):
        left_over.unlink()
    try:
        connection.execute(f"attach {literal(str(partial))} as rebuilt (storage_version '{STORAGE_VERSION}')")
        connection.execute("copy from database target to rebuilt")
        connection.execute(
            f"update rebuilt.paywall_pull.datasets set file_erased_at = erased_at where {PENDING}"
        )
        connection.execute("checkpoint rebuilt")
        connection.execute("detach rebuilt")
        shutil.copymode(place, partial)
    except (duckdb.Error, OSError) as error:
        raise PullError(
            f"{file} cannot be rebuilt: {first_line(error)}. Its tables are up to date, but free pages"
            " may still hold the id of a person who was erased: make room, or delete the file and pull"
            " again."
        ) from error
    return partial


@contextmanager
def _opened(file: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    # Attached under a fixed name: the catalog of `paywall_pull.duckdb` would have the name of the schema.
    with open_duckdb(config={"temp_directory": str(_spill(file))}) as connection:
        try:
            # A new file gets the format that DuckDB 1.5 reads too. An existing file keeps its format.
            version = "" if file.exists() else f" (storage_version '{STORAGE_VERSION}')"
            connection.execute(f"attach {literal(str(file))} as target{version}")
            connection.execute("use target")
            connection.execute(STATE)
        except duckdb.Error as error:
            raise PullError(
                f"--into {file} cannot be opened: {error}. Close what has it open, or choose another file."
            ) from error
        yield connection


def _spill(file: Path) -> Path:
    return file.with_name(f"{file.name}.tmp")


def _mirrored(folder: Path) -> list[str]:
    place = folder / ROOT / CATALOG
    try:
        return [one.name for one in read_catalog(place.read_bytes(), str(place)).datasets]
    except (OSError, ManifestError) as error:
        raise PullError(f"{folder} is no whole mirror: {error}. Pull first.", is_wrong_usage=True) from error


def _load(connection: duckdb.DuckDBPyConnection, folder: Path, manifest: Manifest) -> int:
    """Replace the partitions of a dataset that differ from the manifest, and return their number."""
    connection.begin()
    try:
        replaced = _replace(connection, folder, manifest)
        connection.commit()
    except BaseException as error:
        connection.rollback()
        if isinstance(error, duckdb.Error):
            raise PullError(
                f"{folder} cannot be loaded: {error}. The table is as it was. Pull again."
            ) from error
        raise
    return replaced


def _replace(connection: duckdb.DuckDBPyConnection, folder: Path, manifest: Manifest) -> int:
    name, table = manifest.dataset, f"main.{quoted(manifest.dataset)}"
    fingerprint = manifest.columns_schema.fingerprint
    loaded = connection.execute(
        "select schema_fingerprint from paywall_pull.datasets where dataset = ?", [name]
    ).fetchone()
    is_there = _exists(connection, name)
    if is_there and loaded is None:
        raise PullError(
            f"--into: the file has a table {name} of its own, which stays; choose another file",
            is_wrong_usage=True,
        )
    if not is_there or loaded != (fingerprint,):
        columns = ", ".join(
            f"{quoted(column.name)} {column.type}" for column in manifest.columns_schema.columns
        )
        connection.execute(f"create or replace table {table} ({columns})")
        connection.execute("delete from paywall_pull.partitions where dataset = ?", [name])
    known: dict[date | None, str] = dict(
        connection.execute(
            "select date, digest from paywall_pull.partitions where dataset = ?", [name]
        ).fetchall()
    )
    partitions = manifest.by_date
    changed = [one for day, one in partitions.items() if known.get(day) != _digest(one)]
    gone = [day for day in known if day not in partitions]
    for day in [*(one.date for one in changed), *gone]:
        _delete(connection, table, manifest, day)
    if changed:
        _insert(connection, table, folder, manifest, changed)
    _record(connection, manifest, is_new=loaded is None)
    return len(changed) + len(gone)


def _record(connection: duckdb.DuckDBPyConnection, manifest: Manifest, *, is_new: bool) -> None:
    """Record the manifest that was loaded. A new table has never held rows that the erasures concern."""
    name, erased_at = (
        manifest.dataset,
        max((one.at for one in manifest.operations if one.kind == "erasure"), default=None),
    )
    query = "select erased_at, file_erased_at from paywall_pull.datasets where dataset = ?"
    before, in_file = connection.execute(query, [name]).fetchone() or (None, None)
    connection.execute("delete from paywall_pull.datasets where dataset = ?", [name])
    connection.execute(
        "insert into paywall_pull.datasets by name select ? as dataset, ? as schema_fingerprint, ? as run_id,"
        " ? as as_of, greatest(?::timestamptz, ?::timestamptz) as erased_at, ?::timestamptz as"
        " file_erased_at",
        [
            name,
            manifest.columns_schema.fingerprint,
            manifest.run_id,
            manifest.as_of,
            before,
            erased_at,
            erased_at if is_new else in_file,
        ],
    )


def _exists(connection: duckdb.DuckDBPyConnection, name: str) -> bool:
    query = (
        "select 1 from duckdb_tables() where database_name = current_database() and schema_name = 'main' and"
        " table_name = ?"
    )
    return connection.execute(query, [name]).fetchone() is not None


def _delete(connection: duckdb.DuckDBPyConnection, table: str, manifest: Manifest, day: date | None) -> None:
    if manifest.partitioned_by is None:
        connection.execute(f"delete from {table}")
    else:
        connection.execute(f"delete from {table} where {quoted(manifest.partitioned_by)} = ?", [day])
    connection.execute(
        "delete from paywall_pull.partitions where dataset = ? and date is not distinct from ?",
        [manifest.dataset, day],
    )


def _insert(
    connection: duckdb.DuckDBPyConnection,
    table: str,
    folder: Path,
    manifest: Manifest,
    changed: Sequence[Partition],
) -> None:
    for one in changed:
        for file in one.files_in("parquet"):
            place = folder / file.path
            if not place.exists() or sha256(place) != file.sha256:
                raise PullError(f"{place} is not the file that was pulled: remove it, and pull again")
    inserted = 0
    if files := ", ".join(
        file_literal(str(folder / file.path)) for one in changed for file in one.files_in("parquet")
    ):
        rows = f"select * from read_parquet([{files}], hive_partitioning = false)"
        inserted = connection.execute(f"insert into {table} by name {rows}").fetchall()[0][0]
    expected = sum(one.rows for one in changed)
    if inserted != expected:
        raise PullError(
            f"{folder}: the files have {inserted:,} rows, the manifest says {expected:,}. Remove the folder"
            " and pull again."
        )
    insert_rows(
        connection,
        "paywall_pull.partitions",
        [[manifest.dataset, one.date, one.revision, _digest(one)] for one in changed],
    )


def _digest(partition: Partition) -> str:
    """Return a digest of a partition's files.

    The revision would not do: an export that starts again from nothing counts from 1 again.
    """
    return hashlib.sha256("".join(file.sha256 for file in partition.files_in("parquet")).encode()).hexdigest()
