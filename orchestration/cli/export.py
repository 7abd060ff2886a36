"""The command `paywall-warehouse export`: a slice to a file or to standard output."""

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
# Names of other formats and compressions: programs that go by the name would read the file wrong.
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
    """Write a slice; `progress` hears of it. Raises `WrongSliceError`, `NotPublishedError`, and what the disk and
    DuckDB raise.

    Nothing but the slice goes to standard output, and nothing of it before all of it is there.
    """
    if not output:
        raise WrongSliceError("--output: no name is given; allowed: a file, or - for standard output")
    chosen, compression = _encoding(encoding, output), _compression(output)
    if compression and chosen == "parquet":
        raise WrongSliceError(
            f"--output {output}: Parquet is compressed by itself; choose a name without {compression}"
        )
    file = Path(output)
    if output != STDOUT and not file.parent.is_dir():
        raise WrongSliceError(
            f"--output {output}: there is no folder {file.parent}; make it, or choose another"
        )
    if chosen == "parquet" and output == STDOUT and sys.stdout.isatty():
        raise WrongSliceError("Parquet is not for a terminal: name a file with --output, or pipe it")
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
    """Rows and bytes of a slice that is copied when all of it is there."""
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
    """Return the format that was asked for, else that of the file's name; raises `WrongSliceError` where they
    contradict each other.
    """
    name = output[: -len(compression)] if (compression := _compression(output)) else output
    ending = Path(name).suffix.lower()
    named = ENDINGS.get(ending)
    if asked is not None and asked not in ENCODINGS:
        raise WrongSliceError(f"--format {asked!r} is not known; allowed: {', '.join(ENCODINGS)}")
    chosen = next((one for one in ENCODINGS if one == asked), named)
    if ending in FOREIGN or (named and chosen != named):
        raise WrongSliceError(
            f"--output {output}: the name says {ending.removeprefix('.')}, which is not what is written;"
            f" {ALLOWED}"
        )
    if chosen is None and ending not in ("", ".txt"):
        raise WrongSliceError(
            f"--output {output}: no format is known by the ending {ending}; give --format, or {ALLOWED}"
        )
    return chosen or "csv"


def _copy_to_stdout(file: Path) -> None:
    try:
        with file.open("rb") as source:
            shutil.copyfileobj(source, sys.stdout.buffer)
        sys.stdout.buffer.flush()
    except BrokenPipeError:
        # The reader has had enough, such as `head`; Python would complain once more when it closes the pipe.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
