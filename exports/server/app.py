"""The ASGI application of the pull API: who may ask, and which module answers."""

import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from io import BytesIO
from typing import Any, BinaryIO, TypeVar
from urllib.parse import urlencode

import duckdb
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from exports.datasets import DATASETS, exported_datasets
from exports.manifest import ManifestError
from exports.server.access_log import TOKEN_NAME, AccessLog
from exports.server.answers import (
    ApiError,
    ReadableFile,
    error_answer,
    file_answer,
    is_known,
    json_answer,
    not_modified,
)
from exports.server.cursors import seal, unseal
from exports.server.deadlines import Deadline
from exports.server.descriptions import describe, describe_catalog, visible_datasets
from exports.server.export_files import CATALOG_PATH, ExportFiles, dataset_of
from exports.server.health import health
from exports.server.kept_pages import KeptPages, WrittenPage
from exports.server.limits import Limits
from exports.server.openapi import openapi_document
from exports.server.parameters import parse_rows_request
from exports.server.publications import Publication, Publications
from exports.server.scope import View, view_of
from exports.server.slices import Page, find_page, write_page
from exports.server.tokens import CurrentTokens, Token, TokenError
from exports.server.workers import Workers
from paywall_warehouse.errors import first_line, is_from_outside
from paywall_warehouse.files import sha256_of
from paywall_warehouse.settings import Settings
from paywall_warehouse.temporary_folders import TemporaryFolder
from warehouse.published import NotPublishedError

MEDIA_TYPES = {
    "csv": "text/csv; charset=utf-8; header=present",
    "jsonl": "application/x-ndjson",
    "parquet": "application/vnd.apache.parquet",
    "json": "application/json",
    "gz": "application/gzip",
}
READS = ("GET", "HEAD")
UNREADABLE = (NotPublishedError, TokenError, ManifestError)
Result = TypeVar("Result")
log = logging.getLogger(__name__)


class PullApi:
    """The requests of the pull API (docs/serve.md)."""

    def __init__(self, settings: Settings, limits: Limits | None = None) -> None:
        self._settings, self._limits = settings, limits or Limits()
        self._folder = TemporaryFolder("serve-", settings.dashboard_temporary)
        config = settings.duckdb_config() | {
            "memory_limit": self._limits.memory,
            "temp_directory": str(self._folder.path / "spill"),
            "preserve_insertion_order": "true",
        }
        self._publications = Publications(
            settings.home.published_file, config, exported_datasets(settings).keys()
        )
        self._tokens = CurrentTokens(settings.home)
        self._files = ExportFiles(settings.exports)
        self._workers = Workers(self._limits)
        self._pages = KeptPages(self._limits)

    def application(self) -> AccessLog:
        """Return the application for an ASGI server."""
        application = Starlette(lifespan=self._lifespan)
        # Without routes: what is not there is answered with 401, too, as long as the token is missing.
        application.router.default = self._anywhere
        application.router.redirect_slashes = False
        return AccessLog(application)

    @asynccontextmanager
    async def _lifespan(self, _: Starlette) -> AsyncIterator[None]:
        yield
        self._pages.clear()
        self._folder.remove()

    async def _anywhere(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        try:
            answer = await self._answer(request)
        except ApiError as error:
            answer = error_answer(error)
        except (NotPublishedError, TokenError) as error:
            log.error("%s", error)
            answer = error_answer(ApiError(503, "the warehouse cannot be read now; see GET /health"))
        except (
            duckdb.ConversionException,
            duckdb.OutOfRangeException,
            duckdb.InvalidInputException,
        ) as error:
            log.warning("a value cannot be compared: %s", type(error).__name__)
            answer = error_answer(ApiError(400, "where: a value cannot be compared with its column"))
        except duckdb.OutOfMemoryException:
            message = "the slice takes too much memory; request fewer days or columns"
            answer = error_answer(ApiError(413, message))
        except Exception as error:
            if not (isinstance(error, UNREADABLE) or is_from_outside(error)):
                raise
            log.error("%s", first_line(error))
            answer = error_answer(ApiError(503, "the warehouse cannot be read now; see GET /health"))
        await answer(scope, receive, send)

    async def _answer(self, request: Request) -> Response:
        # Not `request.url`, which depends on the header Host.
        path = request.scope["path"]
        if request.method not in READS:
            raise ApiError(405, "allowed: GET and HEAD", {"Allow": ", ".join(READS)})
        if sum(len(name) + len(value) for name, value in request.headers.raw) > self._limits.header_bytes:
            raise ApiError(431, f"the headers have more than {self._limits.header_bytes} bytes")
        if path == "/health":
            state, status = await self._workers.run(
                lambda: health(self._settings.home, self._publications, datetime.now(UTC))
            )
            return json_answer(state, status=status)
        if path == "/v1/openapi.json":
            return json_answer(openapi_document())
        token, cursor_key = self._authenticate(request)
        request.scope[TOKEN_NAME] = token.name
        parts = path.removeprefix("/v1/").split("/")
        if path == "/v1/catalog":
            return await self._described(request, token, describe_catalog)
        if path.startswith("/v1/datasets/") and len(parts) == 2:
            return await self._described(request, token, _describes(parts[1]))
        if path.startswith("/v1/datasets/") and len(parts) == 3 and parts[2] == "rows":
            return await self._rows(request, token, cursor_key, parts[1])
        if path.startswith("/v1/exports/"):
            return await self._export_file(request, token, path.removeprefix("/v1/exports/"))
        raise ApiError(404, "there is nothing at this path; see GET /v1/openapi.json")

    def _authenticate(self, request: Request) -> tuple[Token, bytes]:
        """Return the token of a request. Raises `ApiError` without a valid one."""
        stated = request.headers.getlist("authorization")
        scheme, _, text = stated[0].strip().partition(" ") if len(stated) == 1 else ("", "", "")
        challenge = 'Bearer realm="paywall-warehouse"'
        if scheme.lower() != "bearer":
            message = "a token is missing; send the header Authorization: Bearer …"
            raise ApiError(401, message, {"WWW-Authenticate": challenge})
        tokens = self._tokens.read()
        token = tokens.find(text.strip())
        if token is None or token.has_expired(datetime.now(UTC).date()):
            challenge += ', error="invalid_token"'
            message = "the token is not valid: it is unknown, revoked or expired"
            raise ApiError(401, message, {"WWW-Authenticate": challenge})
        return token, tokens.cursor_key

    async def _described(
        self,
        request: Request,
        token: Token,
        compute: Callable[[duckdb.DuckDBPyConnection, Publication, Token], dict[str, Any]],
    ) -> Response:
        _check_no_parameters(request)

        def work() -> dict[str, Any]:
            publication = self._publications.current()
            with publication.cursor() as cursor, self._deadline().watching(cursor):
                return compute(cursor, publication, token)

        content = await self._workers.run(work)
        etag = f'"{sha256_of(repr(content).encode())[:32]}"'
        return not_modified(etag, {}) if is_known(request.headers, etag) else json_answer(content, etag)

    async def _rows(self, request: Request, token: Token, cursor_key: bytes, name: str) -> Response:
        publication = await self._publication()
        view = _view(publication, token, name)
        wanted = parse_rows_request(request.query_params, view, self._limits.rows, self._limits.conditions)
        key = (token.scope_digest, wanted.digest, wanted.encoding, wanted.limit, wanted.cursor)

        def work() -> tuple[Page, tuple[BinaryIO, int] | None]:
            deadline = self._deadline()
            start = unseal(wanted.cursor, cursor_key) if wanted.cursor is not None else None
            with publication.cursor() as cursor:
                with deadline.watching(cursor):
                    page = find_page(
                        cursor, publication, view, token.scope_digest, wanted, start, self._limits.rows
                    )
                if is_known(request.headers, page.etag):
                    return page, None
                return page, write_page(cursor, page, self._folder.path, deadline)

        async with self._pages.turn(key):
            kept = self._pages.find(publication.identity, key)
            if kept is not None:
                page, reader = kept.page, kept.reader()
            else:
                page, written = await self._workers.run(work)
                if written is None:
                    return not_modified(page.etag, _page_headers(request, page, cursor_key))
                kept = WrittenPage(page, written[1], written[0])
                reader = kept.reader()
                self._pages.keep(publication.identity, key, kept)
        headers = _page_headers(request, page, cursor_key)
        if is_known(request.headers, page.etag):
            reader.close()
            return not_modified(page.etag, headers)
        headers |= {
            "ETag": page.etag,
            "Content-Type": MEDIA_TYPES[wanted.encoding],
            "Content-Disposition": f'attachment; filename="{name}.{wanted.encoding}"',
        }
        return self._file(request, reader, kept.size, headers, is_cached=self._pages.fits(kept))

    async def _export_file(self, request: Request, token: Token, path: str) -> Response:
        _check_no_parameters(request)

        def whole() -> set[str]:
            publication = self._publications.current()
            return {name for name, view in visible_datasets(publication, token).items() if view.is_whole}

        names = await self._workers.run(whole)
        if path == CATALOG_PATH:
            content = await self._workers.run(lambda: self._files.catalog(names))
            return self._content(request, content)
        if (name := dataset_of(path)) not in names:
            if name not in DATASETS:
                raise ApiError(404, "there is no such file in the export")
            raise ApiError(
                403,
                f"this token may not see every row and column of {name}; request /v1/datasets/{name}/rows",
            )
        opened, size = await self._workers.run(lambda: self._files.open(path))
        if path.endswith("/manifest.json"):
            with opened:
                content = await self._workers.run(opened.read)
            return self._content(request, content)
        headers = {"Content-Type": MEDIA_TYPES[path.rpartition(".")[2]]}
        return self._file(request, opened, size, headers)

    def _content(self, request: Request, content: bytes) -> Response:
        etag = f'"{sha256_of(content)[:32]}"'
        if is_known(request.headers, etag):
            return not_modified(etag, {})
        headers = {"ETag": etag, "Content-Type": MEDIA_TYPES["json"]}
        return self._file(request, BytesIO(content), len(content), headers, is_cached=True)

    def _file(
        self,
        request: Request,
        file: ReadableFile,
        size: int,
        headers: dict[str, str],
        *,
        is_cached: bool = False,
    ) -> Response:
        return file_answer(
            file,
            size,
            request.headers,
            headers,
            self._limits.response_seconds,
            is_head=request.method == "HEAD",
            is_cached=is_cached,
        )

    async def _publication(self) -> Publication:
        if (latest := self._publications.latest()) is not None:
            return latest
        return await self._workers.run(self._publications.current)

    def _deadline(self) -> Deadline:
        return Deadline(self._limits.query_seconds, self._limits.file_bytes)


def _view(publication: Publication, token: Token, name: str) -> View:
    """Return what a token sees of a dataset.

    Raises `ApiError`: 404 if there is no such dataset, 403 if the token sees nothing of it.
    """
    table = publication.tables.get(name)
    view = view_of(token, DATASETS[name], table) if table else None
    if view is not None:
        return view
    allowed = ", ".join(visible_datasets(publication, token)) or "none"
    if name not in DATASETS:
        raise ApiError(404, f"there is no dataset of this name; this token may see: {allowed}")
    if table is None:
        raise ApiError(503, f"the published file does not have the rows of {name}")
    raise ApiError(403, f"this token may not see {name}; it may see: {allowed}")


def _describes(
    name: str,
) -> Callable[[duckdb.DuckDBPyConnection, Publication, Token], dict[str, Any]]:
    return lambda cursor, publication, token: describe(
        cursor, publication, _view(publication, token, name), token
    )


def _check_no_parameters(request: Request) -> None:
    if request.scope["query_string"]:
        raise ApiError(400, "there are no parameters here; allowed: the path alone")


def _page_headers(request: Request, page: Page, cursor_key: bytes) -> dict[str, str]:
    """Return the number of rows, and the link to the next page."""
    headers = {"X-Rows": str(page.digest.rows)}
    if page.next is not None:
        query = _next_query(request, seal(page.next, cursor_key))
        headers["Link"] = f'<{request.scope["path"]}?{query}>; rel="next"'
    return headers


def _next_query(request: Request, cursor: str) -> str:
    """Return the query of the next page: that of this one, with another cursor."""
    stated = [(name, value) for name, value in request.query_params.multi_items() if name != "cursor"]
    return urlencode([*stated, ("cursor", cursor)])
