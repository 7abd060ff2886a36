"""The command `paywall-warehouse export`: a slice to a file or to standard output."""

import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import get_args

from exports.encoding import Encoding
from exports.filters import WrongSliceError
from exports.query import SliceRequest, write_slice
from paywall_warehouse.settings import Settings
from paywall_warehouse.sizes import size

STDOUT = "-"
GZIP = ".gz"
ENCODINGS: tuple[Encoding, ...] = get_args(Encoding)


def write_to(settings: Settings, request: SliceRequest, encoding: str | None, output: str, tell: Callable[[str], None]) -> None:
    """Write a slice; `tell` hears of it. Raises `WrongSliceError`, `NotPublishedError`, and what the disk and DuckDB raise.

    Nothing but the slice goes to standard output, and nothing of it before all of it is there.
    """
    chosen = _encoding(encoding, output)
    compress = output.endswith(GZIP)
    if compress and chosen == "parquet":
        raise WrongSliceError(f"--output {output}: Parquet is compressed by itself; choose a name without {GZIP}")
    if not output:
        raise WrongSliceError("--output: no name is given; allowed: a file, or - for standard output")
    file = Path(output)
    if output != STDOUT and not file.parent.is_dir():
        raise WrongSliceError(f"--output {output}: there is no folder {file.parent}; make it, or choose another")
    if chosen == "parquet" and output == STDOUT and sys.stdout.isatty():
        raise WrongSliceError("Parquet is not for a terminal: name a file with --output, or pipe it")
    begin = time.monotonic()
    tell(f"{request.dataset}: reading {settings.home.published_file}")
    if output == STDOUT or (file.exists() and not file.is_file()):
        # A pipe or a device is written to, not replaced.
        rows, length = _stream(settings, request, chosen, output, compress=compress)
    else:
        file = file.resolve()
        rows = write_slice(settings, request, chosen, file, compress=compress)
        length = file.stat().st_size
    tell(f"{rows:,} rows, {size(length)}, {time.monotonic() - begin:.1f} s" + (f": {output}" if output != STDOUT else ""))


def _stream(settings: Settings, request: SliceRequest, encoding: Encoding, output: str, *, compress: bool) -> tuple[int, int]:
    """Rows and bytes of a slice that is copied when all of it is there."""
    scratch = settings.home.tmp
    with tempfile.TemporaryDirectory(dir=scratch if os.access(scratch, os.W_OK) else None) as folder:
        file = Path(folder) / "slice"
        rows = write_slice(settings, request, encoding, file, compress=compress)
        length = file.stat().st_size
        if output == STDOUT:
            _copy_to_stdout(file)
        else:
            with file.open("rb") as source, Path(output).open("wb") as target:
                shutil.copyfileobj(source, target)
    return rows, length


def _encoding(asked: str | None, output: str) -> Encoding:
    if asked is None:
        suffix = Path(output.removesuffix(GZIP)).suffix.removeprefix(".")
        return next((one for one in ENCODINGS if one == suffix), "csv")
    for one in ENCODINGS:
        if asked == one:
            return one
    raise WrongSliceError(f"--format {asked!r} is not known; allowed: {', '.join(ENCODINGS)}")


def _copy_to_stdout(file: Path) -> None:
    try:
        with file.open("rb") as source:
            shutil.copyfileobj(source, sys.stdout.buffer)
        sys.stdout.buffer.flush()
    except BrokenPipeError:
        # The reader has had enough, such as `head`; Python would complain once more when it closes the pipe.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
