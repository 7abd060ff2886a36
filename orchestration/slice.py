"""The command `paywall-warehouse export`: a slice to a file or to standard output."""

import os
import shutil
import sys
import tempfile
import time
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


def write_to(settings: Settings, request: SliceRequest, encoding: str | None, output: str) -> str:
    """Write a slice and describe it. Raises `WrongSliceError`, and `NotPublishedError`.

    Nothing but the slice goes to standard output, and nothing of it before all of it is there.
    """
    chosen = _encoding(encoding, output)
    compress = output.endswith(GZIP)
    if compress and chosen == "parquet":
        raise WrongSliceError(f"--output {output}: Parquet is compressed by itself; choose a name without {GZIP}")
    begin = time.monotonic()
    if output != STDOUT:
        file = Path(output)
        if not file.parent.is_dir():
            raise WrongSliceError(f"--output {output}: there is no folder {file.parent}; make it, or choose another")
        try:
            rows = write_slice(settings, request, chosen, file, compress=compress)
        except OSError as error:
            raise WrongSliceError(f"--output {output} cannot be written: {error.strerror or error}") from error
        return f"{rows:,} rows, {size(file.stat().st_size)}, {time.monotonic() - begin:.1f} s: {output}"
    if chosen == "parquet" and sys.stdout.isatty():
        raise WrongSliceError("Parquet is not for a terminal: name a file with --output, or pipe it")
    scratch = settings.home.tmp
    with tempfile.TemporaryDirectory(dir=scratch if os.access(scratch, os.W_OK) else None) as folder:
        file = Path(folder) / "slice"
        rows = write_slice(settings, request, chosen, file)
        words = f"{rows:,} rows, {size(file.stat().st_size)}, {time.monotonic() - begin:.1f} s"
        _copy_to_stdout(file)
    return words


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
