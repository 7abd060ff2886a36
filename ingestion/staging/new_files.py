"""Which of the landed files are new, which of them can be read, and which are refused as a whole."""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from ingestion.lake.batches import LOADED, UNREADABLE, FileRecord
from ingestion.lake.commit import comparable_facts
from ingestion.landing.area import Landing, LandingFile
from ingestion.readers.inspection import check_openable, check_readable, csv_header
from ingestion.readers.layout import SEPARATORS, Layout, UnreadableFileError
from ingestion.readers.parquet import check_parquet
from ingestion.readers.records import LocalFile
from ingestion.sources.bills.files import BillFacts
from ingestion.sources.registry import Source
from ingestion.sources.stripe.coverage import FileFacts
from ingestion.sources.stripe.dashboard_exports import explain_dashboard_export
from ingestion.sources.stripe.reports import check_report_type
from ingestion.validation import reject_codes
from paywall_warehouse.duckdb_connections import open_duckdb
from paywall_warehouse.files import sha256

Facts = FileFacts | BillFacts
# How a file of another kind than its folder's is refused.
UNKNOWN_KIND = (reject_codes.UNKNOWN_REPORT_TYPE, reject_codes.MISSING_COLUMN)


@dataclass
class NewFiles:
    """The files of a source that no batch has loaded yet."""

    readable: list[tuple[LocalFile, str]] = field(default_factory=list)
    """Each with the SHA-256 of its content."""
    unreadable: list[tuple[LandingFile, str | None, UnreadableFileError]] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    facts: dict[int, Facts] = field(default_factory=dict)
    """The facts of Stripe's files and of bills, by file number."""
    refused_before: set[tuple[str, str | None]] = field(default_factory=set)
    """Path and digest of the files that earlier loads refused. Such a file is tried again, but reported only
    once.
    """

    def refuse(self, file: LandingFile, digest: str | None, problem: UnreadableFileError) -> None:
        """Treat a file as unreadable."""
        self.readable = [one for one in self.readable if one[0].file is not file]
        if (file.path, digest) not in self.refused_before:
            self.unreadable.append((file, digest, problem))


def find_new_files(
    config: Mapping[str, Any],
    known: Sequence[FileRecord],
    candidates: Sequence[LandingFile],
    landing: Landing,
    source: Source,
    copies: ExitStack,
) -> NewFiles:
    """Return the candidates whose content no batch has loaded. `copies` keeps their local copies open.

    `known` are the files of this source that batches have loaded or refused.
    """
    loaded = {(file.sha256, comparable_facts(file.facts)) for file in known if file.status == LOADED}
    known_paths = {file.path for file in known}
    contents: dict[str, list[str | None]] = {}
    for record in known:
        if record.status == LOADED:
            contents.setdefault(record.path, []).append(record.sha256)
    found = NewFiles(refused_before={(file.path, file.sha256) for file in known if file.status == UNREADABLE})
    # A fault on the way to a file is not the file's fault: it ends the load, which may be tried again.
    paths = [copies.enter_context(landing.local_copy(file)) for file in candidates]
    # Several at once, because computing a digest keeps one core busy.
    with ThreadPoolExecutor() as pool:
        digests = [pool.submit(_digest, file, path) for file, path in zip(candidates, paths, strict=True)]
    for file, path, hashed in zip(candidates, paths, digests, strict=True):
        digest = None
        try:
            digest = hashed.result()
            # The reports of two idle months have the same bytes: what they cover is part of their content.
            facts = None if source.facts is None else source.facts(landing, file)
            # A path that gets back a content which it had before states that content again.
            is_back = digest in contents.get(file.path, []) and contents[file.path][-1] != digest
            if (digest, comparable_facts(facts_as_json(facts))) in loaded and not is_back:
                continue
            if source.stripe_report is not None:
                check_report_type(file.path)
            check_content(config, file, path, source.layout)
        except UnreadableFileError as error:
            problem = _explained(error, file, path, source)
        except OSError as error:
            problem = UnreadableFileError(
                reject_codes.UNREADABLE_FILE,
                f"the file cannot be opened ({error.strerror or error}); correct that",
            )
        else:
            if file.path in known_paths and (file.path, digest) not in found.refused_before:
                found.warnings.append(
                    f"{file.path} has new content under a known name; it is loaded as a new file"
                )
            loaded.add((digest, comparable_facts(facts_as_json(facts))))
            found.readable.append((LocalFile(len(found.readable), file, path), digest))
            if facts is not None:
                found.facts[found.readable[-1][0].file_no] = facts
            continue
        found.refuse(file, digest, problem)
    return found


def _explained(
    problem: UnreadableFileError, file: LandingFile, path: Path, source: Source
) -> UnreadableFileError:
    """Return the error that says what to land instead, or where, if the file is of a known other kind."""
    if problem.code not in UNKNOWN_KIND:
        return problem
    names = csv_header(file, path, "".join(SEPARATORS))
    message = explain_dashboard_export(names, source.stripe_report)
    return UnreadableFileError(reject_codes.NOT_A_REPORT, message) if message else problem


def check_content(config: Mapping[str, Any], file: LandingFile, path: Path, layout: Layout) -> None:
    """Raise `UnreadableFileError` if the file has no records that can be validated one by one."""
    check_readable(file, path, layout)
    if file.format == ".parquet":
        with open_duckdb(config=config) as connection:
            check_parquet(connection, path, layout)


def facts_as_json(facts: Facts | None) -> dict[str, object] | None:
    """Return the facts of a file in the form that manifests hold."""
    if facts is None:
        return None
    return {
        name: value.isoformat() if isinstance(value, datetime) else value
        for name, value in asdict(facts).items()
    }


def _digest(file: LandingFile, path: Path) -> str:
    check_openable(file, path)
    return sha256(path)
