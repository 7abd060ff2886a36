"""Validation of files before they land: what a load would accept, reject and not read.

The readers and rules are those of a load. The file is read in a temporary landing area, so that neither a
home nor a run is needed, and nothing stays.
"""

import os
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from tempfile import TemporaryDirectory

import duckdb

from ingestion.lake.batches import Lake
from ingestion.lake.row_limits import RowLimits
from ingestion.lake.schemas import LAKE_TABLES, ORIGIN
from ingestion.landing.area import LandingFile
from ingestion.load import load
from ingestion.readers.inspection import missing_columns
from ingestion.readers.layout import PAGE_LISTS
from ingestion.readers.records import column_names
from ingestion.sources.registry import Source, sources
from ingestion.sources.stripe.dashboard_exports import explain_dashboard_export
from ingestion.sources.stripe.reports import UNIFIED_PAYMENTS
from paywall_warehouse.duckdb_connections import open_duckdb
from paywall_warehouse.settings import Settings

ENTRIES_SHOWN = 3
FIRST_LINES = 5


class FileValidationError(Exception):
    """A file that cannot be validated. The message says why and what to do."""


@dataclass(frozen=True)
class RejectReason:
    """The rejected records of a file with one code."""

    code: str
    records: int
    first_lines: tuple[int, ...]
    """Empty if the whole file is refused."""
    first_reason: str


@dataclass(frozen=True)
class FileValidation:
    """What a load would make of a file."""

    path: Path
    source: str
    is_guessed: bool
    """Whether the source follows from the names of the columns, not from the folder or the caller."""
    records: int
    accepted: int
    rejected: int
    filtered: int
    """Records that the mapping of the source leaves out on purpose."""
    reasons: tuple[RejectReason, ...]
    """The most frequent one first."""
    unread: tuple[str, ...]
    """Columns that nothing reads, by name."""
    missing: tuple[str, ...]
    """Columns that a mapping reads and the file does not have, with the name that was probably meant."""
    keeps_unread: bool
    """Whether their values are kept in `metadata.extra`; otherwise they are dropped."""
    first: tuple[dict[str, str], ...]
    """The first accepted records: the columns that have a value, as text."""


def validate_file(settings: Settings, path: Path, source_name: str | None = None) -> FileValidation:
    """Return what a load would make of a file of a source.

    Without `source_name`, the source follows from the folder, as in `landing/ledger/a.jsonl`, or else from
    the columns. `settings` decide about amounts, times and currencies as in a load. Raises
    `FileValidationError`.
    """
    if not path.is_file():
        raise FileValidationError(f"{path} is not a file")
    known = sources(settings.home)
    source, place = (known[source_name], None) if source_name else _source_of_folder(path, known)
    file = LandingFile("", path.name, str(path), path.stat().st_size, 0, "")
    names = column_names(file, path, source.layout if source else None)
    is_guessed = source is None
    if source is None:
        own_names = {one.name: _names_as_read(file, path, one, names) for one in known.values()}
        source = _source_of_columns(path, names, own_names, known)
        names = list(own_names[source.name])
    with TemporaryDirectory(prefix="paywall-warehouse-check-") as folder:
        own = settings.model_copy(update={"warehouse_home": Path(folder), "landing_uri": None})
        if settings.home.mappings.is_dir():
            own.home.mappings.symlink_to(settings.home.mappings.resolve())
        place = place or f"{_folder_of(source)}/{path.name}"
        if not source.reads(place):
            raise FileValidationError(
                f"{path} would not be read as {source.name}: its name is that of other files. Markups have"
                " a name such as markups.csv, rates any other; see docs/inputs.md"
            )
        landed = own.home.landing / place
        landed.parent.mkdir(parents=True)
        _link(path, landed)
        load(own, source.name, drop_build=lambda home: None)
        lake = Lake(own.home)
        records = [file for manifest in lake.manifests() for file in manifest.files]
        if not records:
            raise FileValidationError(f"{path} would not be read: its name says that it is not finished")
        [record] = records
        with open_duckdb(config=own.duckdb_config()) as connection:
            reasons = _reasons(connection, lake)
            first = _first_accepted(connection, lake, source, RowLimits.of(own))
    return FileValidation(
        path=path,
        source=source.name,
        is_guessed=is_guessed,
        records=record.records,
        accepted=record.accepted,
        rejected=record.rejected,
        filtered=record.filtered,
        reasons=reasons,
        unread=tuple(record.unmapped if source.mapping else _unread(names, source)),
        missing=tuple(_missing(names, source)) if source.mapping else (),
        # Of a webhook, unknown fields are kept only if they are in `data`, which has no columns here.
        keeps_unread=source.name == "ledger",
        first=first,
    )


def _source_of_folder(path: Path, known: Mapping[str, Source]) -> tuple[Source | None, str | None]:
    """Return the source whose folder the file lies in, and its place in the landing area."""
    parts = path.resolve().parts
    for number in range(len(parts) - 2, 0, -1):
        place = "/".join(parts[number:])
        for source in known.values():
            if source.folder == parts[number] and source.reads(place):
                return source, place
    return None, None


def _source_of_columns(
    path: Path, names: Sequence[str], own_names: Mapping[str, Sequence[str]], known: Mapping[str, Source]
) -> Source:
    """Return the source that knows most of the columns, of those whose required columns are there.

    `own_names` are the columns as each source reads them.
    """
    fitting = [
        source for source in known.values() if not missing_columns(own_names[source.name], source.layout)
    ]
    if fitting:
        return max(fitting, key=lambda source: _known(own_names[source.name], source))
    # An export of payments is here only if it lacks columns, which are named below.
    if message := explain_dashboard_export(names, UNIFIED_PAYMENTS):
        raise FileValidationError(f"{path}: {message}")
    if not names:
        raise FileValidationError(f"{path} has no columns that can be read; name its source with --as")
    nearest = max(known.values(), key=lambda source: _known(names, source))
    lacking = ", ".join(" or ".join(one) for one in missing_columns(names, nearest.layout))
    shown = re.split(r"[;\t|]", names[0]) if len(names) == 1 else names
    raise FileValidationError(
        f"{path} has the columns of no source (found: {', '.join(shown)[:500]}). The nearest is"
        f" {nearest.name}, which also needs {lacking}. Rename the columns as docs/inputs.md says, name the"
        " source with --as, or, for an export of another system, draft a mapping: paywall-warehouse map init"
        f" {path}"
    )


def _known(names: Sequence[str], source: Source) -> int:
    """Return how many of the columns a source knows."""
    return len(set(source.layout.columns) & set(map(source.layout.known_as, names)))


def _missing(names: Sequence[str], source: Source) -> Iterator[str]:
    for column in source.layout.columns:
        if names and column not in names:
            near = get_close_matches(column.lower(), [name.lower() for name in names], 1)
            meant = next((name for name in names if near and name.lower() == near[0]), None)
            is_known = meant is None or meant in source.layout.columns
            yield column if is_known else f"{column} (did you mean {meant}?)"


def _names_as_read(file: LandingFile, path: Path, source: Source, names: Sequence[str]) -> Sequence[str]:
    """Return the columns of a file as a source would read them."""
    layout = source.layout
    differs = (
        layout.separator != ","
        if file.format == ".csv"
        else layout.flatten is not None or layout.envelope or layout.page_lists != PAGE_LISTS
    )
    return column_names(file, path, layout) if differs else names


def _unread(names: Sequence[str], source: Source) -> Iterator[str]:
    return (name for name in names if source.layout.known_as(name) not in source.layout.columns)


def _folder_of(source: Source) -> str:
    """Return the folder of a source; for a report of Stripe's, of its newest version."""
    return f"{source.folder}/{source.subfolder}".rstrip("/")


def _link(path: Path, landed: Path) -> None:
    try:
        os.link(path.resolve(), landed)
    except OSError:  # another file system
        shutil.copyfile(path, landed)


def _reasons(connection: duckdb.DuckDBPyConnection, lake: Lake) -> tuple[RejectReason, ...]:
    files = [str(file) for file in lake.parquet_files("rejects", lake.manifests())]
    if not files:
        return ()
    rows = connection.execute(
        f"""select reason_code, count(*), list(line order by line)[:{FIRST_LINES}],
            first(reason order by line)
        from read_parquet($files) group by reason_code order by count(*) desc, reason_code""",
        {"files": files},
    ).fetchall()
    return tuple(
        RejectReason(code, records, tuple(line for line in lines if line is not None), reason)
        for code, records, lines, reason in rows
    )


def _first_accepted(
    connection: duckdb.DuckDBPyConnection, lake: Lake, source: Source, limits: RowLimits
) -> tuple[dict[str, str], ...]:
    files = [str(file) for file in lake.parquet_files(source.table, lake.manifests())]
    if not files:
        return ()
    columns = [name for name in LAKE_TABLES[source.table] if name not in ORIGIN]
    found = connection.execute(
        f"""select {", ".join(f'"{name}"::varchar' for name in columns)} from read_parquet($files)
        where not ({limits.broken(source.table)}) order by line limit {ENTRIES_SHOWN}""",
        {"files": files},
    ).fetchall()
    return tuple(
        {name: value for name, value in zip(columns, row, strict=True) if value is not None} for row in found
    )
