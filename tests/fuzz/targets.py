"""What is done with bytes from outside, and what must hold whatever they are; a target a parser. None of this
needs the fuzzer.
"""

import io
import os
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO, Protocol

import pyarrow as pa
import pyarrow.parquet as pq

from ingestion.landing.area import LandingFile
from ingestion.readers.csv_text import csv_records, csv_rows
from ingestion.readers.inspection import check_readable, damaged
from ingestion.readers.json_values import json_batches, json_records
from ingestion.readers.layout import UnreadableFileError
from ingestion.readers.parquet import check_parquet
from ingestion.readers.records import LocalFile, record_texts, usual_keys
from ingestion.readers.text import BOM, json_lines, open_text
from ingestion.sources.registry import BUILT_IN
from ingestion.sources.stripe.reports import CHECKOUT_SESSIONS, FOLDER, STRIPE_REPORTS
from ingestion.staging.write import BEYOND_DUCKDB
from ingestion.validation.macros import define_macros
from paywall_warehouse.duckdb_connections import open_duckdb
from paywall_warehouse.quoting import printable
from paywall_warehouse.settings import Settings, SettingsError, load_settings

CORPUS = Path(__file__).parent / "corpus"
# To plan the SQL of a source takes up to a second, however many files it reads.
FILES_AT_ONCE = 200
LITTLE: dict[str, str | bool | int | float | list[str]] = {"memory_limit": "1GB", "threads": 1}
# What an accepted record has, whatever it was read from; of Stripe's the columns that the family requires.
NEVER_NULL = {
    "ledger": ("entry_id", "occurred_at", "updated_at", "entry_type", "status", "paywall_id", "amount"),
    "events": ("event_id", "event_type", "paywall_id", "occurred_at", "body"),
    "payments": ("rail", "payment_id", "paid_at", "amount", "currency", "status"),
    "prices": ("model", "effective_from"),
    "markups": ("source", "model", "multiplier", "per_request"),
} | {
    f"{FOLDER}/{stripe_report.name}": tuple(
        column.name for column in stripe_report.columns if column.required
    )
    for stripe_report in STRIPE_REPORTS
}


class Target(Protocol):
    """A parser under test."""

    def take(self, content: bytes) -> None:
        """Check what can be checked of one input alone."""

    def flush(self) -> None:
        """Check what is cheaper to check of many inputs together."""


class LandedFiles:
    """Inputs as landed files of one source: every record is accepted, or rejected with a reason, or its file
    is, as a whole.
    """

    def __init__(self, source_name: str, form: str) -> None:
        self._source, self._form = BUILT_IN[source_name], form
        self._folder = Path(tempfile.mkdtemp(prefix="fuzz-"))
        self._files: list[LocalFile] = []
        self._connection = open_duckdb(config=LITTLE)

    def take(self, content: bytes) -> None:
        path = self._folder / f"{len(self._files)}{self._form}"
        path.write_bytes(content)
        file = LandingFile(
            self._source.name, f"{self._source.folder}/{path.name}", str(path), len(content), 0.0, ""
        )
        try:
            check_readable(file, path, self._source.layout)
            if self._form == ".parquet":
                check_parquet(self._connection, path, self._source.layout)
        except UnreadableFileError as error:
            refused = error
        else:
            refused = None
        if refused is not None:
            _check_refusal(refused)
            return
        if self._form != ".parquet":
            with open_text(path, "") as stream:
                # The judging SQL reads them again; here the fuzzer sees which branches an input takes.
                for batch in self._batches(stream):
                    batch.validate(full=True)
        self._files.append(LocalFile(len(self._files), file, path))
        if len(self._files) == FILES_AT_ONCE:
            self.flush()

    def _batches(self, stream: BinaryIO) -> Iterator[pa.RecordBatch]:
        if self._form == ".csv":
            return csv_rows(stream, 0, self._source.layout.columns)
        return (json_batches if self._form == ".json" else json_lines)(stream, 0)

    def flush(self) -> None:
        files, self._files = self._files, []
        try:
            if files:
                self._validate(files)
        except BEYOND_DUCKDB as error:
            # As a load does, one file is to blame; halves show which.
            if self._form != ".parquet":
                raise
            if len(files) == 1:
                _check_refusal(damaged(error))
            for half in (files[: len(files) // 2], files[len(files) // 2 :]) if len(files) > 1 else ():
                self._files = half
                self.flush()
        except Exception as error:
            if len(files) == 1:
                content = files[0].path.read_bytes()
                raise AssertionError(f"{type(error).__name__}: {error}; the input is {content!r}") from error
            for file in files:
                self._validate([file])
            raise
        finally:
            for file in files:
                file.path.unlink(missing_ok=True)

    def _validate(self, files: list[LocalFile]) -> None:
        with open_duckdb(config=LITTLE) as connection:
            define_macros(connection)
            facts = (
                "select unnest(range($1)) as file_no, 'default' as account_id, true as livemode, 'UTC' as"
                " timezone"
            )
            connection.execute(f"create temp table file_facts as {facts}", [FILES_AT_ONCE])
            connection.execute(f"set variable usual_keys = {usual_keys(files, self._source.layout)}")
            validated = connection.sql(
                self._source.records_sql(record_texts(connection, files, self._source.layout))
            ).fetch_arrow_table()
        by_file: dict[int, list[int]] = {file.file_no: [] for file in files}
        for record in validated.to_pylist():
            by_file[record["file_no"]].append(record["line"])
            if record["reject_code"] is None:
                assert not [name for name in NEVER_NULL[self._source.name] if record[name] is None], record
            else:
                assert record["reject_words"], record
        for file in files:
            lines, content = by_file[file.file_no], file.path.read_bytes()
            stated = STATED[self._form](content)
            assert len(lines) == len(set(lines)), f"a record of {content!r} counts more than once"
            assert stated <= set(lines), f"lines {stated - set(lines)} of {content!r} are lost"


def _check_refusal(refused: UnreadableFileError) -> None:
    assert refused.code
    assert printable(refused.message) == refused.message


def _stated_lines(content: bytes) -> set[int]:
    lines = content.removeprefix(BOM).split(b"\n")
    return {number for number, line in enumerate(lines, 1) if line.strip(b" \t\r")}


def _stated_rows(content: bytes) -> set[int]:
    """The first lines of the rows; what no row covers is blank."""
    records = list(csv_records(io.BytesIO(content)))
    covered = {record.line + offset for record in records for offset in range(record.raw.count("\n") + 1)}
    lines = content.removeprefix(BOM).split(b"\n")
    assert {number for number, line in enumerate(lines, 1) if line.strip(b"\r")} <= covered, (
        f"a line of {content!r} is lost"
    )
    return {record.line for record in records[1:]}


def _json_elements(content: bytes) -> set[int]:
    """The records of the text in chunks of three bytes: they are the same as in one."""
    text = content.removeprefix(BOM)
    chunks = [text[place : place + 3] for place in range(0, len(text), 3)]
    return {record.line for records in json_records(chunks) for record in records}


def _parquet_rows(content: bytes) -> set[int]:
    with pq.ParquetFile(io.BytesIO(content)) as parquet:
        return set(range(1, parquet.metadata.num_rows + 1))


STATED = {".jsonl": _stated_lines, ".json": _json_elements, ".csv": _stated_rows, ".parquet": _parquet_rows}


class StripeFiles:
    """Files of all kinds of Stripe's: the first byte chooses which."""

    def __init__(self) -> None:
        self._families = [
            LandedFiles(f"{FOLDER}/{stripe_report.name}", ".csv") for stripe_report in STRIPE_REPORTS
        ]

    def take(self, content: bytes) -> None:
        self._families[content[0] % len(STRIPE_REPORTS) if content else 0].take(content[1:])

    def flush(self) -> None:
        for one in self._families:
            one.flush()


class EnvironmentValues:
    """The first byte chooses a variable, the others are its value: it is allowed and can be used, or is
    refused by name.
    """

    def take(self, content: bytes) -> None:
        names = list(Settings.model_fields)
        name = names[content[0] % len(names)].upper() if content else "AS_OF"
        os.environb[name.encode()] = content[1:].replace(b"\0", b"")
        refused, settings = "", None
        try:
            settings = load_settings(_env_file=None)
        except SettingsError as error:
            refused = str(error)
        finally:
            del os.environb[name.encode()]
        if settings is None:
            assert refused.startswith(f"{name} "), refused
            return
        assert settings.semantics_digest()
        assert settings.reporting_day(settings.now())
        assert settings.landing_shown
        assert settings.exports_shown

    def flush(self) -> None:
        pass


def target(name: str) -> Target:
    """A fresh target of a name."""
    if name == "settings":
        return EnvironmentValues()
    if name == "stripe":
        return StripeFiles()
    if name == "sessions_json":
        return LandedFiles(f"{FOLDER}/{CHECKOUT_SESSIONS}", ".json")
    return LandedFiles(name.partition("_")[0], f".{name.partition('_')[2]}")


TARGETS = (
    "ledger_jsonl",
    "ledger_json",
    "ledger_csv",
    "ledger_parquet",
    "events_jsonl",
    "events_csv",
    "payments_csv",
    "prices_csv",
    "sessions_json",
    "stripe",
    "settings",
)


def corpus_of(name: str) -> Iterable[Path]:
    """The inputs that are kept for a target."""
    return sorted((CORPUS / name).iterdir())
