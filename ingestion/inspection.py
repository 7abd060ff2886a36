"""Can a landed file be read at all? One pass over its bytes: content hash, damage, a name that does not fit, missing columns."""

import zlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import zstandard

from ingestion import reasons
from ingestion.landing import COMPRESSIONS, FORMATS, LandingFile
from ingestion.streams import csv_records, open_text

MAGIC = {b"\x1f\x8b": ".gz", b"\x28\xb5\x2f\xfd": ".zst", b"PAR1": ".parquet"}
# The number of a row in its Parquet file, as DuckDB names it.
ROW_NUMBER = "file_row_number"
MAX_DECIMAL_DIGITS = 38
DAMAGE = (OSError, EOFError, zlib.error, zstandard.ZstdError, pa.ArrowException)


class UnreadableFileError(Exception):
    """Why a whole file is one reject: a code of `reasons` with words that name fault and remedy."""

    def __init__(self, code: str, words: str) -> None:
        super().__init__(words)
        self.code = code
        self.words = words


@dataclass(frozen=True)
class Layout:
    """The columns that a source's CSV and Parquet files may and must have."""

    columns: tuple[str, ...]
    required: tuple[str | tuple[str, ...], ...]
    """Columns that must be there; of several names in a tuple one is enough."""
    money: tuple[str, ...] = ()
    times: tuple[str, ...] = ()
    json: tuple[str, ...] = ()
    """Columns whose text is a JSON object."""


def check_readable(file: LandingFile, path: Path, layout: Layout) -> None:
    """Raise `UnreadableFileError` where no record of the file can be told from another; return where records can be judged one by one."""
    if not _is_unicode(file.location):
        raise UnreadableFileError(reasons.UNSUPPORTED_FILE, "the file's name is not UTF-8; rename it")
    if file.format not in FORMATS:
        allowed = ", ".join(FORMATS)
        raise UnreadableFileError(
            reasons.UNSUPPORTED_FILE,
            f"the name ends in none of {allowed} (each but .parquet also with {' or '.join(COMPRESSIONS)}); rename or convert it",
        )
    if path.stat().st_size == 0:
        raise UnreadableFileError(reasons.EMPTY_FILE, "the file has no bytes; land it again, or delete it if nothing was to be said")
    _check_magic(file, path)
    try:
        if file.format == ".parquet":
            _check_parquet(path, layout)
        else:
            _check_text(file, path, layout)
    except DAMAGE as error:
        raise UnreadableFileError(
            reasons.UNREADABLE_FILE, f"the file is damaged or cut short ({_first_line(error)}); land it again, whole"
        ) from None


def _is_unicode(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _check_magic(file: LandingFile, path: Path) -> None:
    with path.open("rb") as opened:
        start = opened.read(4)
    found = next((kind for magic, kind in MAGIC.items() if start.startswith(magic)), "")
    stated = file.compression or (".parquet" if file.format == ".parquet" else "")
    if found != stated:
        raise UnreadableFileError(
            reasons.NOT_WHAT_ITS_NAME_SAYS,
            f"the name says {stated or 'plain text'}, the content is {found or 'something else'}; give it its right name",
        )


def _check_text(file: LandingFile, path: Path, layout: Layout) -> None:
    with open_text(path, file.compression) as stream:
        if file.format == ".csv":
            header = next(csv_records(stream), None)
            if header is None:
                raise UnreadableFileError(reasons.EMPTY_FILE, "the file has no header line; land it again")
            _check_columns(header.fields, layout)
        some = b""
        while block := stream.read(1 << 20):
            some = some or block.strip()
            # A compressed file is read to its end: damage shows only where it breaks off.
            if some and not file.compression:
                break
        if file.format == ".jsonl" and not some:
            raise UnreadableFileError(reasons.EMPTY_FILE, "the file has no records; land it again, or delete it if nothing was to be said")


def _check_columns(found: Sequence[str], layout: Layout) -> None:
    alternatives = [(needed,) if isinstance(needed, str) else needed for needed in layout.required]
    missing = [" or ".join(f'"{name}"' for name in names) for names in alternatives if not set(names) & set(found)]
    if missing:
        raise UnreadableFileError(
            reasons.MISSING_COLUMN,
            f"column {missing[0]} is missing (found: {', '.join(found)[:500]}). Rename the column or see docs/inputs.md",
        )
    _refuse_repeated(found)


def _refuse_repeated(names: Sequence[str]) -> None:
    repeated = sorted(name for name, count in Counter(names).items() if count > 1)
    if repeated:
        raise UnreadableFileError(reasons.DUPLICATE_COLUMN, f'column "{repeated[0]}" stands in the header more than once; keep one of them')


def _check_parquet(path: Path, layout: Layout) -> None:
    with pq.ParquetFile(path) as parquet:
        schema = parquet.schema_arrow
        _check_columns(schema.names, layout)
        # DuckDB's names know no case, and this one it adds itself.
        _refuse_repeated([name.lower() for name in schema.names] + [ROW_NUMBER])
        for field in schema:
            _check_parquet_type(field, layout)
        for _ in parquet.iter_batches():
            pass  # decoding every page is the only way to know that none is damaged


def _check_parquet_type(field: pa.Field, layout: Layout) -> None:
    kind = field.type
    wanted = ""
    if field.name in layout.money and not (
        _is_text(kind) or pa.types.is_integer(kind) or _is_exact_decimal(kind) or pa.types.is_null(kind)
    ):
        wanted = "text, a decimal of at most 38 digits or an integer: a float cannot state money exactly"
    elif field.name in layout.times and not (
        _is_text(kind) or (pa.types.is_timestamp(kind) and kind.tz is not None) or pa.types.is_null(kind)
    ):
        wanted = "text (RFC 3339) or a timestamp with a time zone: a time without one is not an instant"
    elif field.name in layout.columns and (pa.types.is_binary(kind) or (pa.types.is_nested(kind) and field.name not in layout.json)):
        wanted = "text or a number"
    if wanted:
        raise UnreadableFileError(
            reasons.WRONG_COLUMN_TYPE,
            f'column "{field.name}" has the type {kind}; it must be {wanted}. Write the file again',
        )


def _is_exact_decimal(kind: pa.DataType) -> bool:
    """Wider decimals become DOUBLE in DuckDB."""
    return bool(pa.types.is_decimal(kind) and kind.precision <= MAX_DECIMAL_DIGITS)


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind) or (
        pa.types.is_dictionary(kind) and _is_text(kind.value_type)
    ))  # fmt: skip


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]
