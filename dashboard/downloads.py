"""Downloads: the rows of a page as a file, written by the same code as `paywall-warehouse export`."""

import logging
import re
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, get_args
from urllib.parse import parse_qsl, urlencode

import anyio
import anyio.to_thread
import duckdb
from starlette.responses import PlainTextResponse
from starlette.types import Receive, Scope, Send

from dashboard.download_tables import (
    ALL_CURRENCIES,
    ALLOWED,
    COST_HISTORY,
    HISTORY,
    OF_PERIOD,
    OPERATIONS,
    TABLES,
    Downloadable,
    Parameters,
)
from dashboard.filters import OF_ENTRIES, OF_USERS, Filters, filters_of
from dashboard.queries.costs import charge_conditions, line_conditions, of_case
from exports.ad_hoc import SliceRequest, write_rows
from exports.compression import Compression
from exports.datasets import DATASETS, Dataset
from exports.encoding import Encoding
from exports.filters import Filter, WrongSliceError, all_of
from paywall_warehouse.quoting import printable_lines
from paywall_warehouse.settings import Settings
from paywall_warehouse.temporary_folders import TemporaryFolder
from warehouse.published import NotPublishedError, published_warehouse
from warehouse.runs import PUBLISHED

GZIP = ".gz"
ENCODINGS: tuple[Encoding, ...] = get_args(Encoding)
CONTENT_TYPES: dict[str, str] = {
    "csv": "text/csv; charset=utf-8",
    "jsonl": "application/x-ndjson",
    "parquet": "application/vnd.apache.parquet",
}
NAME = re.compile(rf"(?P<dataset>[a-z_]+)\.(?P<encoding>{'|'.join(ENCODINGS)})(?P<gzip>\.gz)?")
LISTS = tuple(parameter for parameter, _, _ in (*OF_ENTRIES, *OF_USERS))
SINGLE = ("from", "to", "currency", "search", ALL_CURRENCIES, OF_PERIOD, "case")
MAX_VALUES = 1000
EVIDENCE, COST_EVIDENCE = "evidence.zip", "cost_evidence.zip"
# As much memory as the pages have. DuckDB needs more for CSV with two threads. With one thread, it writes 10
# M entries in 67 s; with half of the memory, that takes more than 250 s. So one download is written at a
# time. Others wait, and those beyond UNDER_WAY are refused.
MEMORY_LIMIT, THREADS, WRITERS, UNDER_WAY = "400MB", 1, 1, 8
PIECE_BYTES, PIECE_SECONDS = 1 << 18, 60

logger = logging.getLogger(__name__)


class WrongDownloadError(Exception):
    """The address of a download is not valid. The message says why."""


@dataclass(frozen=True)
class Part:
    """The rows of one table, which a download contains."""

    dataset: Dataset
    request: SliceRequest
    is_needed: bool = False
    """Whether there is no such download without a row."""


@dataclass(frozen=True)
class Download:
    """A requested file, its encoding, and its name. An archive has one file for each part."""

    parts: tuple[Part, ...]
    encoding: Encoding
    compress: bool
    file_name: str
    is_archive: bool = False

    @property
    def content_type(self) -> str:
        """The type of the file."""
        if self.is_archive:
            return "application/zip"
        return "application/gzip" if self.compress else CONTENT_TYPES[self.encoding]


def download_address(
    dataset: str,
    encoding: str,
    filters: Filters,
    columns: Sequence[str] | None = None,
    **more: str | Sequence[str],
) -> str:
    """Return the address of a download, such as `download_address("ledger", "csv.gz", filters, user="u1")`.

    `more` may have the parameters of the table in `TABLES`, such as `user` (exact) and `entry_status` for the
    ledger. Empty texts and lists are left out.
    """
    parameters = [*filters.address(), *(("column", column) for column in columns or ())]
    for name, value in more.items():
        parameters += [(name, one) for one in ([value] if isinstance(value, str) else value) if one]
    return _checked(f"{dataset}.{encoding}", parameters)


def evidence_address(case_id: str) -> str:
    """Return the address of the evidence of a reconciliation case, as an archive of CSV files."""
    return _checked(EVIDENCE, [("case", case_id)])


def cost_evidence_address(case_id: str) -> str:
    """Return the address of the evidence of a case of the cost reconciliation, as an archive of CSV files."""
    return _checked(COST_EVIDENCE, [("case", case_id)])


def _checked(name: str, parameters: Sequence[tuple[str, str]]) -> str:
    query = urlencode(parameters, errors="replace")
    download_of(name, query)
    return f"/download/{name}?{query}"


def download_of(name: str, query: str) -> Download:
    """Return the download that an address requests.

    Raises `LookupError` for an unknown name, and `WrongDownloadError` for invalid parameters.
    """
    if name == EVIDENCE:
        return _evidence(query)
    if name == COST_EVIDENCE:
        return _cost_evidence(query)
    match = NAME.fullmatch(name)
    if match is None or match["dataset"] not in TABLES or (match["encoding"] == "parquet" and match["gzip"]):
        names, encodings = ", ".join(TABLES), ", ".join(("csv", "csv.gz", "jsonl", "jsonl.gz", "parquet"))
        raise LookupError(
            f"There is no such download. Datasets: {names}; formats: {encodings}. {EVIDENCE} and"
            f" {COST_EVIDENCE} have the evidence of a reconciliation case."
        )
    table, encoding = TABLES[match["dataset"]], next(one for one in ENCODINGS if one == match["encoding"])
    parameters = _parameters(query, (*SINGLE[:3], *LISTS, "column", *table.parameters))
    try:
        filters = filters_of(parameters)
    except ValueError as error:
        raise WrongDownloadError(f"The period is not valid: {error}.") from None
    if filters.since >= filters.until:
        raise WrongDownloadError("The period is empty: `to` is the day after the last day.")
    request = SliceRequest(
        table.dataset.name, parameters.get("column"), filters=table.conditions(filters, parameters)
    )
    return Download(
        (Part(table.dataset, request),),
        encoding,
        bool(match["gzip"]),
        _file_name(table, filters, parameters, f"{encoding}{match['gzip'] or ''}"),
    )


def _evidence(query: str) -> Download:
    """Return the archive of a case: the case, its ledger entries, its history, and the run that published."""
    case_id = _case_of(query)
    of_case = Filter("case_id = ?", (case_id,))
    deposits = "(select unnest(deposit_entry_ids) from marts.fct_reconciliation where case_id = ?)"
    of_entries = Filter(f"entry_id in {deposits} or related_entry_id in {deposits}", (case_id, case_id))
    return _archive(
        f"evidence-{_safe(case_id, 80)}.zip",
        (DATASETS["reconciliation"], of_case),
        (DATASETS["ledger"], of_entries),
        (HISTORY, of_case),
    )


def _cost_evidence(query: str) -> Download:
    """Return the archive of a case of costs: the case, its bill lines, its charges, its history, the run."""
    case_id = _case_of(query)
    is_case, field = Filter("case_id = ?", (case_id,)), of_case(case_id)
    of_lines, of_charges = (
        _one(conditions) for conditions in (line_conditions(field), charge_conditions(field))
    )
    return _archive(
        f"cost-evidence-{_safe(case_id, 80)}.zip",
        (DATASETS["cost_reconciliation"], is_case),
        (DATASETS["bill_lines"], of_lines),
        (DATASETS["ledger"], of_charges),
        (COST_HISTORY, is_case),
    )


def _one(conditions: Sequence[Filter]) -> Filter:
    where, values = all_of(conditions)
    return Filter(where, tuple(values))


def _case_of(query: str) -> str:
    case_id = next(iter(_parameters(query, ("case",)).get("case", ())), "")
    if not case_id:
        raise WrongDownloadError("The parameter 'case' is required: the id of a reconciliation case.")
    return case_id


def _archive(file_name: str, *tables: tuple[Dataset, Filter]) -> Download:
    """Return an archive of tables and of the run that published. The first one needs a row."""
    last_run = "select run_id from ops.runs where status = ? order by rowid desc limit 1"
    of_run = (OPERATIONS["runs"], Filter(f"run_id = ({last_run})", (PUBLISHED,)))
    parts = tuple(
        Part(dataset, SliceRequest(dataset.name, filters=[condition]), is_needed=number == 0)
        for number, (dataset, condition) in enumerate((*tables, of_run))
    )
    return Download(parts, "csv", compress=False, file_name=file_name, is_archive=True)


def _parameters(query: str, allowed: Sequence[str]) -> dict[str, list[str]]:
    try:
        pairs = parse_qsl(query, keep_blank_values=True, max_num_fields=MAX_VALUES, errors="strict")
    except ValueError:
        raise WrongDownloadError(
            f"The address is not valid UTF-8, or has more than {MAX_VALUES} values."
        ) from None
    parameters: dict[str, list[str]] = {}
    for name, value in pairs:
        if name not in allowed:
            raise WrongDownloadError(f"The parameter {name!r} is not known. Allowed: {', '.join(allowed)}.")
        if name in ALLOWED and value not in ALLOWED[name]:
            raise WrongDownloadError(
                f"The parameter {name!r} cannot be {value!r}. Allowed: {', '.join(ALLOWED[name])}."
            )
        parameters.setdefault(name, []).append(value)
    for name in SINGLE:
        if len(parameters.get(name, ())) > 1:
            raise WrongDownloadError(f"The parameter {name!r} occurs more than once.")
    return parameters


def _file_name(table: Downloadable, filters: Filters, parameters: Parameters, suffix: str) -> str:
    """Return the name of the file, such as `ledger-2026-10-01-to-2026-10-31-usd.csv`.

    It names what limits the rows. Values from the address lose the characters that a file name cannot have.
    """
    has_days = table.days or OF_PERIOD in parameters
    days = [f"{filters.since}-to-{filters.until - timedelta(days=1)}"] if has_days else []
    values = [*parameters.get("user", ())[:1], *parameters.get("search", ())]
    if ALL_CURRENCIES in parameters:
        values.append(ALL_CURRENCIES)
    elif table.is_in_currency:
        values.append(filters.currency)
    parts = [_safe(value, 40) for value in values]
    return "-".join([table.dataset.name.replace("_", "-"), *days, *filter(None, parts)]) + f".{suffix}"


def _safe(text: str, length: int) -> str:
    return re.sub(r"[^A-Za-z0-9_]+", "-", text)[:length].strip("-")


class Downloads:
    """The endpoint `GET /download/{name}`.

    It writes a slice to a temporary file, sends the file, and removes it even if the client has gone.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings.model_copy(
            update={"duckdb_memory_limit": MEMORY_LIMIT, "duckdb_threads": THREADS}
        )
        self._writers = anyio.CapacityLimiter(WRITERS)
        self._under_way = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request (ASGI)."""
        if scope["method"] != "GET":
            await _text_response(405, "Only GET is allowed.")(scope, receive, send)
        elif self._under_way >= UNDER_WAY:
            await _text_response(503, "Too many downloads are in progress. Try again in a minute.")(
                scope, receive, send
            )
        else:
            self._under_way += 1
            try:
                await self._answer(scope, receive, send)
            finally:
                self._under_way -= 1

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        answer: PlainTextResponse
        try:
            download = download_of(scope["path_params"]["name"], scope["query_string"].decode("latin-1"))
            with TemporaryFolder("download-", self._settings.dashboard_temporary) as folder:
                file = folder / "slice"
                await anyio.to_thread.run_sync(self._write, download, file, limiter=self._writers)
                await _send_file(file, download, send)
            return
        except LookupError as error:
            answer = _text_response(404, str(error.args[0]))
        except WrongDownloadError as error:
            answer = _text_response(400, str(error))
        except WrongSliceError as error:
            answer = _text_response(400, str(error).replace("--columns", "column"))
        except NotPublishedError as error:
            logger.warning("A download failed: %s", printable_lines(str(error)))
            answer = _text_response(
                503,
                "There is no published warehouse that can be read. Publish one with `paywall-warehouse run`.",
            )
        except (duckdb.Error, OSError) as error:
            logger.error("A download failed: %s", printable_lines(str(error)))
            answer = _text_response(
                500, "The download could not be written. The dashboard's log has the reason."
            )
        await answer(scope, receive, send)

    def _write(self, download: Download, file: Path) -> None:
        """Write all parts from one publication. Raises `LookupError` if a part that is needed has no row."""
        compression: Compression | None = ".gz" if download.compress else None
        with published_warehouse(self._settings, file.with_name("spill")) as connection:
            for number, part in enumerate(download.parts):
                target = file.with_name(f"part-{number}") if download.is_archive else file
                rows = write_rows(
                    connection, part.dataset, part.request, download.encoding, target, compression=compression
                )
                if part.is_needed and not rows:
                    raise LookupError("Nothing is published under this id.")
        if download.is_archive:
            with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
                for number, part in enumerate(download.parts):
                    archive.write(
                        file.with_name(f"part-{number}"), f"{part.dataset.name}.{download.encoding}"
                    )


async def _send_file(file: Path, download: Download, send: Send) -> None:
    """Send a file. Raises `TimeoutError` if the client stops reading."""
    headers = {
        "Content-Type": download.content_type,
        "Content-Length": str(file.stat().st_size),
        "Content-Disposition": f'attachment; filename="{download.file_name}"',
        "Cache-Control": "no-store",
    }
    raw = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": 200, "headers": raw})
    async with await anyio.open_file(file, "rb") as source:
        more: dict[str, Any] = {"more_body": True}
        while more["more_body"]:
            piece = await source.read(PIECE_BYTES)
            more = {"more_body": bool(piece)}
            with anyio.fail_after(PIECE_SECONDS):
                await send({"type": "http.response.body", "body": piece, **more})


def _text_response(status: int, message: str) -> PlainTextResponse:
    retry = {"Retry-After": "60"} if status == 503 else {}
    return PlainTextResponse(f"{message}\n", status, headers={"Cache-Control": "no-store"} | retry)
