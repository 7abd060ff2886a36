"""The subcommand `export`: write a slice of a dataset, or the journal, to a file or to standard output."""

import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import get_args

from exports.accounting.export import DATASET as JOURNAL, FORMATS as JOURNAL_FORMATS, write_journal
from exports.ad_hoc import SliceRequest, known_dataset, write_slice
from exports.compression import Compression
from exports.encoding import Encoding
from exports.filters import WrongSliceError
from paywall_warehouse.settings import Settings
from paywall_warehouse.sizes import size

STDOUT = "-"
ENCODINGS: tuple[Encoding, ...] = get_args(Encoding)
COMPRESSIONS: tuple[Compression, ...] = get_args(Compression)
HLEDGER_ENDINGS = (".journal", ".hledger")
ENDINGS: dict[str, str] = {
    **{f".{one}": one for one in ENCODINGS},
    ".ndjson": "jsonl",
    **dict.fromkeys(HLEDGER_ENDINGS, "journal"),
}
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


JOURNAL_ALLOWED = (
    "allowed: a name that ends in .journal for hledger, in .csv for xero and quickbooks, each also with .gz"
    " or .zst, or - for standard output"
)
# Writes the file of this path and returns the number of rows.
Write = Callable[[Path], int]


def write_to(
    settings: Settings,
    request: SliceRequest,
    form: str | None,
    output: str,
    progress: Callable[[str], None],
    *,
    currency: str | None = None,
) -> None:
    """Write a slice, or the journal in the format of an accounting program, and report to `progress`.

    Raises `WrongSliceError`, `NotPublishedError`, `OSError` and DuckDB's errors. Only the slice goes to
    standard output, and only after it is complete.
    """
    if not output:
        raise WrongSliceError("--output is empty; allowed: a file, or - for standard output")
    write = _writer(settings, request, form, output, progress, currency)
    file = Path(output)
    if output != STDOUT and not file.parent.is_dir():
        raise WrongSliceError(
            f"--output {output}: there is no folder {file.parent}; create it, or choose another one"
        )
    begin = time.monotonic()
    progress(f"{request.dataset}: reading {settings.home.published_file}")
    if output == STDOUT or (file.exists() and not file.is_file()):
        # A pipe or a device is written to, not replaced.
        rows, length = _stream(settings, write, output)
    else:
        file = file.resolve()
        rows = write(file)
        length = file.stat().st_size
    progress(
        f"{rows:,} rows, {size(length)}, {time.monotonic() - begin:.1f} s"
        + (f": {output}" if output != STDOUT else "")
    )


def _writer(
    settings: Settings,
    request: SliceRequest,
    form: str | None,
    output: str,
    progress: Callable[[str], None],
    currency: str | None,
) -> Write:
    """Return the function that writes what is asked for. Raises `WrongSliceError` for a wrong option."""
    compression = _compression(output)
    if form is None and _ending(output) in HLEDGER_ENDINGS:
        form = "hledger"
    name = next((one for one in JOURNAL_FORMATS if one == form), None)
    if name is not None:
        if request.dataset != JOURNAL:
            known_dataset(request.dataset)
            raise WrongSliceError(
                f"--format {name} is for the dataset {JOURNAL} only; allowed for {request.dataset}:"
                f" {', '.join(ENCODINGS)}"
            )
        _check_ending(output, JOURNAL_FORMATS[name].ending, JOURNAL_ALLOWED)
        return partial(
            write_journal,
            settings,
            request,
            name,
            currency=currency,
            compression=compression,
            progress=progress,
        )
    if currency is not None:
        raise WrongSliceError(
            f"--currency goes with --format {', '.join(JOURNAL_FORMATS)}; for other formats write --where"
            f" currency={currency}"
        )
    encoding = _encoding(form, output)
    if compression and encoding == "parquet":
        raise WrongSliceError(
            f"--output {output}: Parquet files are already compressed; choose a name without {compression}"
        )
    if encoding == "parquet" and output == STDOUT and sys.stdout.isatty():
        raise WrongSliceError(
            "Parquet is not written to a terminal: name a file with --output, or pipe the output"
        )
    return partial(write_slice, settings, request, encoding, compression=compression, progress=progress)


def _stream(settings: Settings, write: Write, output: str) -> tuple[int, int]:
    """Write to a temporary file, then copy it to `output`; return its rows and bytes."""
    scratch = settings.home.tmp
    with tempfile.TemporaryDirectory(dir=scratch if os.access(scratch, os.W_OK) else None) as folder:
        file = Path(folder) / "slice"
        rows = write(file)
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
    if asked is not None and asked not in ENCODINGS:
        raise WrongSliceError(
            f"--format {asked!r} is not known; allowed: {', '.join(ENCODINGS)}; for the {JOURNAL} also"
            f" {', '.join(JOURNAL_FORMATS)}"
        )
    ending = _ending(output)
    named = ENDINGS.get(ending)
    chosen = next((one for one in ENCODINGS if one == (asked or named)), None)
    _check_ending(output, chosen, ALLOWED)
    if chosen is None and ending not in ("", ".txt"):
        raise WrongSliceError(
            f"--output {output}: the ending {ending} belongs to no known format; pass --format, or {ALLOWED}"
        )
    return chosen or "csv"


def _ending(output: str) -> str:
    """Return the ending of a file's name before the one of a compression."""
    name = output[: -len(compression)] if (compression := _compression(output)) else output
    return Path(name).suffix.lower()


def _check_ending(output: str, written: str | None, allowed: str) -> None:
    """Require that the ending of the file is not that of another format than the one that is written."""
    ending = _ending(output)
    named = ENDINGS.get(ending)
    if ending in FOREIGN or (named and written != named):
        raise WrongSliceError(
            f"--output {output}: the ending means {ending.removeprefix('.')}, which is not the format that is"
            f" written; {allowed}"
        )


def _copy_to_stdout(file: Path) -> None:
    try:
        with file.open("rb") as source:
            shutil.copyfileobj(source, sys.stdout.buffer)
        sys.stdout.buffer.flush()
    except BrokenPipeError:
        # The reader, such as `head`, has closed the pipe. Python would report it again when it closes stdout.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
