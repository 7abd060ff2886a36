"""The subcommand `export`: write a slice of a dataset to a file or to standard output."""

import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import get_args

from exports.ad_hoc import SliceRequest, write_slice
from exports.compression import Compression
from exports.encoding import Encoding
from exports.filters import WrongSliceError
from paywall_warehouse.settings import Settings
from paywall_warehouse.sizes import size

STDOUT = "-"
ENCODINGS: tuple[Encoding, ...] = get_args(Encoding)
COMPRESSIONS: tuple[Compression, ...] = get_args(Compression)
ENDINGS: dict[str, Encoding] = {**{f".{one}": one for one in ENCODINGS}, ".ndjson": "jsonl"}
# Endings of other formats and compressions. Programs that rely on the ending would misread the file.
FOREIGN = {
    ".arrow",
    ".avro",
    ".br",
    ".bz2",
    ".duckdb",
    ".feather",
    ".html",
    ".json",
    ".lz4",
    ".ods",
    ".orc",
    ".sqlite",
    ".tsv",
    ".xls",
    ".xlsb",
    ".xlsm",
    ".xlsx",
    ".xml",
    ".xz",
    ".zip",
}
ALLOWED = (
    "allowed: a name that ends in .csv or .jsonl (each also with .gz or .zst) or .parquet, or - for standard"
    " output"
)


def write_to(
    settings: Settings,
    request: SliceRequest,
    encoding: str | None,
    output: str,
    progress: Callable[[str], None],
) -> None:
    """Write a slice and report to `progress`.

    Raises `WrongSliceError`, `NotPublishedError`, `OSError` and DuckDB's errors. Only the slice goes to
    standard output, and only after it is complete.
    """
    if not output:
        raise WrongSliceError("--output is empty; allowed: a file, or - for standard output")
    chosen, compression = _encoding(encoding, output), _compression(output)
    if compression and chosen == "parquet":
        raise WrongSliceError(
            f"--output {output}: Parquet files are already compressed; choose a name without {compression}"
        )
    file = Path(output)
    if output != STDOUT and not file.parent.is_dir():
        raise WrongSliceError(
            f"--output {output}: there is no folder {file.parent}; create it, or choose another one"
        )
    if chosen == "parquet" and output == STDOUT and sys.stdout.isatty():
        raise WrongSliceError(
            "Parquet is not written to a terminal: name a file with --output, or pipe the output"
        )
    begin = time.monotonic()
    progress(f"{request.dataset}: reading {settings.home.published_file}")
    if output == STDOUT or (file.exists() and not file.is_file()):
        # A pipe or a device is written to, not replaced.
        rows, length = _stream(settings, request, chosen, output, compression, progress)
    else:
        file = file.resolve()
        rows = write_slice(settings, request, chosen, file, compression=compression, progress=progress)
        length = file.stat().st_size
    progress(
        f"{rows:,} rows, {size(length)}, {time.monotonic() - begin:.1f} s"
        + (f": {output}" if output != STDOUT else "")
    )


def _stream(
    settings: Settings,
    request: SliceRequest,
    encoding: Encoding,
    output: str,
    compression: Compression | None,
    progress: Callable[[str], None],
) -> tuple[int, int]:
    """Write a slice to a temporary file, then copy it to `output`; return its rows and bytes."""
    scratch = settings.home.tmp
    with tempfile.TemporaryDirectory(dir=scratch if os.access(scratch, os.W_OK) else None) as folder:
        file = Path(folder) / "slice"
        rows = write_slice(settings, request, encoding, file, compression=compression, progress=progress)
        length = file.stat().st_size
        if output == STDOUT:
            _copy_to_stdout(file)
        else:
            with file.open("rb") as source, Path(output).open("wb") as target:
                shutil.copyfileobj(source, target)
    return rows, length


def _compression(output: str) -> Compression | None:
    return next((one for one in COMPRESSIONS if output.lower().endswith(one)), None)


def _encoding(asked: str | None, output: str) -> Encoding:
    """Return the format that was asked for, or else the one of the file's name.

    Raises `WrongSliceError` if they contradict each other.
    """
    name = output[: -len(compression)] if (compression := _compression(output)) else output
    ending = Path(name).suffix.lower()
    named = ENDINGS.get(ending)
    if asked is not None and asked not in ENCODINGS:
        raise WrongSliceError(f"--format {asked!r} is not known; allowed: {', '.join(ENCODINGS)}")
    chosen = next((one for one in ENCODINGS if one == asked), named)
    if ending in FOREIGN or (named and chosen != named):
        raise WrongSliceError(
            f"--output {output}: the ending means {ending.removeprefix('.')}, which is not the format that is"
            f" written; {ALLOWED}"
        )
    if chosen is None and ending not in ("", ".txt"):
        raise WrongSliceError(
            f"--output {output}: the ending {ending} belongs to no known format; pass --format, or {ALLOWED}"
        )
    return chosen or "csv"


def _copy_to_stdout(file: Path) -> None:
    try:
        with file.open("rb") as source:
            shutil.copyfileobj(source, sys.stdout.buffer)
        sys.stdout.buffer.flush()
    except BrokenPipeError:
        # The reader, such as `head`, has closed the pipe. Python would report it again when it closes stdout.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
