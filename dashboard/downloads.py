"""Downloads: the rows of a page as a file, written by the same code as `paywall-warehouse export`."""

import logging
import re
import tempfile
from collections.abc import Mapping, Sequence
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

from dashboard.filters import (
    OF_ENTRIES,
    OF_USERS,
    Filters,
    any_of,
    entry_conditions,
    filters_of,
    id_contains,
    of_chosen_users,
    user_conditions,
)
from exports.ad_hoc import SliceRequest, write_slice
from exports.compression import Compression
from exports.encoding import Encoding
from exports.filters import Filter, WrongSliceError
from paywall_warehouse.quoting import printable_lines
from paywall_warehouse.settings import Settings
from warehouse.published import NotPublishedError

GZIP = ".gz"
ENCODINGS: tuple[Encoding, ...] = get_args(Encoding)
CONTENT_TYPES: dict[str, str] = {
    "csv": "text/csv; charset=utf-8",
    "jsonl": "application/x-ndjson",
    "parquet": "application/vnd.apache.parquet",
}
NAME = re.compile(rf"(?P<dataset>[a-z_]+)\.(?P<encoding>{'|'.join(ENCODINGS)})(?P<gzip>\.gz)?")
LISTS = tuple(parameter for parameter, _, _ in (*OF_ENTRIES, *OF_USERS))
EXTRA_PARAMETERS: dict[str, tuple[str, ...]] = {
    "ledger": ("user", "entry_status"),
    "users": ("search",),
    "user_days": (),
}
SINGLE = ("from", "to", "currency", "search")
MAX_VALUES = 1000
# As much memory as the pages have. DuckDB needs more for CSV with two threads. With one thread, it writes 10
# M entries in 67 s; with half of the memory, that takes more than 250 s. So one download is written at a
# time. Others wait, and those beyond UNDER_WAY are refused.
MEMORY_LIMIT, THREADS, WRITERS, UNDER_WAY = "400MB", 1, 1, 8
PIECE_BYTES, PIECE_SECONDS = 1 << 18, 60

logger = logging.getLogger(__name__)


class WrongDownloadError(Exception):
    """The address of a download is not valid. The message says why."""


@dataclass(frozen=True)
class Download:
    """A requested slice, its encoding, and the name of the file."""

    request: SliceRequest
    encoding: Encoding
    compress: bool
    file_name: str


def download_address(
    dataset: str,
    encoding: str,
    filters: Filters,
    columns: Sequence[str] | None = None,
    **more: str | Sequence[str],
) -> str:
    """Return the address of a download, such as `download_address("ledger", "csv.gz", filters, user="u1")`.

    `more` may have `user` (exact) and `entry_status` for the ledger, and `search` for users. Empty texts and
    lists are left out. The days of `filters` limit ledger and user_days. The lists of entries limit the
    ledger, and paywalls also limit user_days. The lists of users limit every dataset.
    """
    parameters = [*filters.address(), *(("column", column) for column in columns or ())]
    for name, value in more.items():
        parameters += [(name, one) for one in ([value] if isinstance(value, str) else value) if one]
    address = f"/download/{dataset}.{encoding}?{urlencode(parameters, errors='replace')}"
    download_of(address.rpartition("/")[2].partition("?")[0], address.partition("?")[2])
    return address


def download_of(name: str, query: str) -> Download:
    """Return the download that an address requests.

    Raises `LookupError` for an unknown name, and `WrongDownloadError` for invalid parameters.
    """
    match = NAME.fullmatch(name)
    if (
        match is None
        or match["dataset"] not in EXTRA_PARAMETERS
        or (match["encoding"] == "parquet" and match["gzip"])
    ):
        datasets, encodings = (
            ", ".join(EXTRA_PARAMETERS),
            ", ".join(("csv", "csv.gz", "jsonl", "jsonl.gz", "parquet")),
        )
        raise LookupError(f"There is no such download. Datasets: {datasets}; formats: {encodings}.")
    dataset, encoding = match["dataset"], next(one for one in ENCODINGS if one == match["encoding"])
    parameters = _parameters(query, (*SINGLE[:3], *LISTS, "column", *EXTRA_PARAMETERS[dataset]))
    try:
        filters = filters_of(parameters)
    except ValueError as error:
        raise WrongDownloadError(f"The period is not valid: {error}.") from None
    if filters.since >= filters.until:
        raise WrongDownloadError("The period is empty: `to` is the day after the last day.")
    request = SliceRequest(
        dataset, parameters.get("column"), filters=CONDITIONS[dataset](filters, parameters)
    )
    return Download(
        request,
        encoding,
        bool(match["gzip"]),
        _file_name(dataset, filters, parameters, f"{encoding}{match['gzip'] or ''}"),
    )


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
        parameters.setdefault(name, []).append(value)
    for name in SINGLE:
        if len(parameters.get(name, ())) > 1:
            raise WrongDownloadError(f"The parameter {name!r} occurs more than once.")
    return parameters


def _ledger(filters: Filters, parameters: Mapping[str, Sequence[str]]) -> list[Filter]:
    columns = {"user": "user_id", "entry_status": "status"}
    return [
        *entry_conditions(filters),
        *(
            any_of(columns[name], parameters[name])
            for name in EXTRA_PARAMETERS["ledger"]
            if name in parameters
        ),
    ]


def _users(filters: Filters, parameters: Mapping[str, Sequence[str]]) -> list[Filter]:
    return [*user_conditions(filters), *(id_contains(text) for text in parameters.get("search", ()))]


def _user_days(filters: Filters, _: Mapping[str, Sequence[str]]) -> list[Filter]:
    days = Filter("date_day >= ? and date_day < ?", (filters.since, filters.until))
    paywalls = [any_of("paywall_id", filters.paywalls)] if filters.paywalls else []
    return [days, Filter("currency = ?", (filters.currency,)), *paywalls, *of_chosen_users(filters)]


CONDITIONS = {"ledger": _ledger, "users": _users, "user_days": _user_days}


def _file_name(dataset: str, filters: Filters, parameters: Mapping[str, Sequence[str]], suffix: str) -> str:
    """Return the name of the file, such as `ledger-2026-10-01-to-2026-10-31-usd.csv`.

    Values from the address lose the characters that a file name cannot have.
    """
    days = [] if dataset == "users" else [f"{filters.since}-to-{filters.until - timedelta(days=1)}"]
    values = [*parameters.get("user", ())[:1], *parameters.get("search", ()), filters.currency]
    parts = [re.sub(r"[^A-Za-z0-9_]+", "-", value)[:40].strip("-") for value in values]
    return "-".join([dataset.replace("_", "-"), *days, *filter(None, parts)]) + f".{suffix}"


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
            with tempfile.TemporaryDirectory(
                prefix="download-", dir=self._settings.dashboard_temporary
            ) as folder:
                file = Path(folder) / "slice"
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
        compression: Compression | None = ".gz" if download.compress else None
        write_slice(
            self._settings,
            download.request,
            download.encoding,
            file,
            compression=compression,
            spill=file.with_name("spill"),
        )


async def _send_file(file: Path, download: Download, send: Send) -> None:
    """Send a file. Raises `TimeoutError` if the client stops reading."""
    headers = {
        "Content-Type": "application/gzip" if download.compress else CONTENT_TYPES[download.encoding],
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
