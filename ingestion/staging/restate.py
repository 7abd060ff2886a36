"""Making the rows of mapped sources again: after their mapping has changed, and once a grant has landed whose
user they need.

A batch keeps its number and is replaced as a whole. The next build rebuilds everything if the batch was part
of an earlier one.
"""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import duckdb

from ingestion.erasure.erase import pseudonymise
from ingestion.lake.batches import FileRecord, Lake, Manifest
from ingestion.lake.commit import write_rows
from ingestion.lake.erasures import read_registry
from ingestion.lake.recount import apply_limits
from ingestion.lake.rejects import OUTSIDE
from ingestion.lake.row_limits import RowLimits
from ingestion.lake.schemas import SCHEMA_VERSION, missing_as_null
from ingestion.landed_now import LandedNow
from ingestion.landing.area import Landing, LandingFile
from ingestion.readers.layout import UnreadableFileError
from ingestion.readers.records import LocalFile
from ingestion.sources.registry import Source
from ingestion.staging.candidates import is_stale, may_wait_for_users
from ingestion.staging.new_files import NewFiles, check_content
from ingestion.staging.write import models_in, write_batch
from paywall_warehouse.duckdb_connections import open_duckdb
from paywall_warehouse.quoting import file_literal, literal
from paywall_warehouse.settings import Settings

FILES_NAMED = 3


def apply_mapping(settings: Settings, lake: Lake, source: Source) -> list[str]:
    """Read the files of a mapped source again that another mapping was applied to, and return warnings.

    A file that is no longer in the landing area keeps the rows that the other mapping made, and is read again
    when it is back. The caller holds the writer lock.
    """
    if source.mapping is None:
        return []
    manifests = lake.manifests()
    stale = [manifest for manifest in manifests if any(is_stale(file, source) for file in manifest.files)]
    if not stale:
        return []
    # The same records: it compares them by identity.
    now, landing = LandedNow(settings, manifests), Landing.of(settings)
    read: list[str] = []
    gone: list[str] = []
    for manifest in stale:
        places = {
            file.file_no: next(now.places(file), None) for file in manifest.files if is_stale(file, source)
        }
        standing = {file_no: place for file_no, place in places.items() if place is not None}
        gone += [file.path for file in manifest.files if places.get(file.file_no, file) is None]
        if standing:
            _read_again(settings, lake, landing, source, manifest, standing)
            read += [file.path for file in manifest.files if file.file_no in standing]
    return [
        *(
            [f"the mapping {source.name} has changed: {_named(read)} read again, all totals are restated"]
            if read
            else []
        ),
        *(
            [
                f"the mapping {source.name} has changed, but {_named(gone)} no longer in the landing area:"
                " the entries stay as the mapping made them before. Land the same content again to apply the"
                " change"
            ]
            if gone
            else []
        ),
    ]


def take_users(settings: Settings, lake: Lake, source: Source) -> None:
    """Give the rows that wait for the user of another entry that user, if the entry has landed by now.

    Only mappings with `user_of` have such rows. The caller holds the writer lock.
    """
    if source.mapping is None or source.mapping.user_of is None:
        return
    manifests = lake.manifests()
    waiting = may_wait_for_users(source, manifests, RowLimits.of(settings).digest)
    if not waiting:
        return
    own = [manifest for manifest in manifests if any(file.source == source.name for file in manifest.files)]
    with open_duckdb(config=settings.duckdb_config()) as connection:
        # Once, because the files of a batch that is replaced are gone.
        _find_users(connection, lake.parquet_files(source.table, own))
        broken = RowLimits.of(settings).settings_broken(source.table)
        for manifest in waiting:
            files = lake.parquet_files(source.table, [manifest])
            with lake.staging() as staging:
                nulls = missing_as_null(source.table, manifest.schema_version)
                if not files or not _fill_users(connection, files, broken, nulls, staging / source.table):
                    continue
                for parquet in lake.parquet_files("rejects", [manifest]):
                    (staging / "rejects").mkdir(exist_ok=True)
                    copied = staging / "rejects" / parquet.name
                    write_rows(settings.duckdb_config(), parquet, "select *", "true", copied)
                # Empty limits have the rows counted again, which also removes their rejects.
                filled = replace(
                    manifest, limits="", schema_version=SCHEMA_VERSION, restated=manifest.restated + 1
                )
                lake.replace(filled, staging)
    apply_limits(settings, lake, lake.manifests())


def _read_again(
    settings: Settings,
    lake: Lake,
    landing: Landing,
    source: Source,
    manifest: Manifest,
    standing: dict[int, LandingFile],
) -> None:
    """Replace a batch by one in which the present mapping made the rows of the files that stand."""
    config, limits = settings.duckdb_config(), RowLimits.of(settings)
    kept = [file for file in manifest.files if file.file_no not in standing]
    found = NewFiles()
    with lake.staging() as staging, ExitStack() as copies:
        for file in manifest.files:
            if place := standing.get(file.file_no):
                path = copies.enter_context(landing.local_copy(place))
                named = replace(place, path=file.path, fingerprint=file.fingerprint, source=source.name)
                _take(found, LocalFile(file.file_no, named, path), file.sha256 or "", source, config)
        made = write_batch(config, limits, source, found, staging, manifest.batch_seq)
        numbers = {file.path: file.file_no for file in manifest.files}
        files = [replace(file, file_no=numbers[file.path]) for file in made.files]
        _keep(lake, config, manifest, kept, staging)
        changed = replace(
            manifest,
            files=sorted([*kept, *files], key=lambda file: file.file_no),
            models=models_in(config, staging / source.table, source.table),
            # The limits are applied again, because kept rows may have been counted under other ones.
            limits="" if kept else made.limits,
            outside=made.outside,
            schema_version=made.schema_version,
            restated=manifest.restated + 1,
        )
        changed = pseudonymise(settings, read_registry(settings.home), staging.rglob("*.parquet"), changed)
        lake.replace(changed, staging)


def _take(
    found: NewFiles, local: LocalFile, digest: str, source: Source, config: Mapping[str, object]
) -> None:
    """Add a file to those that are read, or to those that the mapping cannot read."""
    try:
        check_content(config, local.file, local.path, source.layout)
    except UnreadableFileError as error:
        found.refuse(local.file, digest, error)
    else:
        found.readable.append((local, digest))


def _keep(
    lake: Lake, config: Mapping[str, object], manifest: Manifest, kept: Sequence[FileRecord], staging: Path
) -> None:
    """Copy the rows and rejects of the files that are not read again, with all present columns."""
    numbers = ", ".join(str(file.file_no) for file in kept) or "null"
    paths = ", ".join(literal(file.path) for file in kept) or "null"
    for table, condition in ((manifest.table, f"file_no in ({numbers})"), ("rejects", f"path in ({paths})")):
        for number, parquet in enumerate(lake.parquet_files(table, [manifest])):
            if table == "rejects" and parquet.name == OUTSIDE:
                continue  # written anew when the limits are applied
            (staging / table).mkdir(exist_ok=True)
            columns = f"select *{missing_as_null(table, manifest.schema_version)}"
            write_rows(config, parquet, columns, condition, staging / table / f"kept-{number:05d}.parquet")


def _find_users(connection: duckdb.DuckDBPyConnection, known: Sequence[Path]) -> None:
    """Create the temporary table `grants` with the last user of each entry."""
    rows = _rows(known) if known else "(select null as entry_id, null as user_id, null as updated_at)"
    connection.execute(
        f"""create or replace temp table grants as
        select entry_id, max_by(user_id, updated_at) as user_id
        from {rows} where user_id is not null group by entry_id"""
    )


def _fill_users(
    connection: duckdb.DuckDBPyConnection, files: Sequence[Path], broken: str, nulls: str, folder: Path
) -> bool:
    """Write the rows of some files with the users of the table `grants`; return whether any was missing
    before. `broken` is SQL for whether a row is outside of the limits, `nulls` for the columns that the files
    lack.
    """
    found = connection.execute(
        f"from {_rows(files)} as rows semi join grants on rows.user_of = grants.entry_id"
        " where rows.user_id is null limit 1"
    ).fetchone()
    if found is None:
        return False
    folder.mkdir(exist_ok=True)
    for parquet in files:
        connection.execute(
            f"""copy (
                select * replace ({broken} as is_outside) from (
                    select rows.* replace (coalesce(rows.user_id, grants.user_id) as user_id){nulls}
                    from {_rows([parquet])} as rows left join grants on rows.user_of = grants.entry_id
                ) order by file_no, line
            ) to {literal(str(folder / parquet.name))} (format parquet, compression zstd)"""
        )
    return True


def _rows(files: Iterable[Path]) -> str:
    listed = ", ".join(file_literal(str(file)) for file in files)
    return f"read_parquet([{listed}], union_by_name = true, hive_partitioning = false)"


def _named(paths: Sequence[str]) -> str:
    """Return the first paths, and the verb that fits their number."""
    more = f" and {len(paths) - FILES_NAMED:,} more" if len(paths) > FILES_NAMED else ""
    return f"{', '.join(paths[:FILES_NAMED])}{more} {'is' if len(paths) == 1 else 'are'}"
