"""The endpoints, as an ASGI application: every request is logged, met by a fault or authenticated and
answered.
"""

import base64
import binascii
import gzip
import hmac
import itertools
import traceback
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from urllib.parse import unquote

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tests.support.loopback.answers import answered
from tests.support.loopback.errors import ApiError, unknown_parameter
from tests.support.loopback.faults import permission_error
from tests.support.loopback.form import Params, decode_form
from tests.support.loopback.request_log import LoggedRequest, RequestLog
from tests.support.stripe_server.books import Books
from tests.support.stripe_server.faults import Faults
from tests.support.stripe_server.objects import (
    FILES_HOST,
    account_object,
    file_object,
    report_type_object,
    run_object,
)
from tests.support.stripe_server.options import Options
from tests.support.stripe_server.paging import LIST_PARAMETERS, page
from tests.support.stripe_server.runs import Runs


@dataclass(frozen=True)
class Call:
    """A request, read."""

    method: str
    path: str
    params: Params
    idempotency_key: str | None
    accepts_gzip: bool
    host: str
    """This server as the client addresses it, `http://127.0.0.1:12111`."""
    ids: dict[str, str] = field(default_factory=dict)
    """The parts of the path that name something."""


Handler = Callable[[Call], Response]


class StripeApi:
    """The server's state and its endpoints."""

    def __init__(
        self, books: Books, api_key: str, options: Options, faults: Faults, runs: Runs, requests: RequestLog
    ) -> None:
        self._books, self._key, self._options = books, api_key, options
        self._faults, self._runs, self._requests = faults, runs, requests
        self._numbers = itertools.count(1)

    def application(self) -> Starlette:
        """What uvicorn runs."""
        reporting = "/v1/reporting"
        endpoints: list[tuple[str, str, Handler]] = [
            ("GET", "/v1/account", self._account),
            ("GET", f"{reporting}/report_types", self._list_report_types),
            ("GET", f"{reporting}/report_types/{{id}}", self._get_report_type),
            ("POST", f"{reporting}/report_runs", self._create_run),
            ("GET", f"{reporting}/report_runs", self._list_runs),
            ("GET", f"{reporting}/report_runs/{{id}}", self._get_run),
            ("GET", "/v1/files/{id}", self._get_file),
            ("GET", "/v1/files/{id}/contents", self._get_contents),
            ("GET", "/v1/checkout/sessions", self._list_sessions),
        ]
        routes = [
            Route(path, self._endpoint(handler), methods=[method]) for method, path, handler in endpoints
        ]
        unknown = Route(
            "/{rest:path}", self._endpoint(_unrecognized), methods=["GET", "POST", "PUT", "PATCH", "DELETE"]
        )
        return Starlette(routes=[*routes, unknown])

    # ---- endpoints

    def _account(self, call: Call) -> Response:
        if not self._options.account_readable:
            raise permission_error()
        return JSONResponse(account_object(self._options.account))

    def _list_report_types(self, call: Call) -> Response:
        _allow(call, "expand")
        types = [
            report_type_object(report_type, self._runs.available(report_type), livemode=self._livemode)
            for report_type in self._options.report_types
        ]
        return JSONResponse({"object": "list", "url": call.path, "has_more": False, "data": types})

    def _get_report_type(self, call: Call) -> Response:
        _allow(call, "expand")
        report_type = self._runs.report_type(call.ids["id"])
        return JSONResponse(
            report_type_object(report_type, self._runs.available(report_type), livemode=self._livemode)
        )

    def _create_run(self, call: Call) -> Response:
        run, replayed = self._runs.create(call.params, call.idempotency_key)
        headers = {"Idempotency-Key": call.idempotency_key} if call.idempotency_key else {}
        if replayed:
            headers["Idempotent-Replayed"] = "true"
        shown = run_object(run, files_url=self._files_url(call), livemode=self._livemode, as_created=True)
        return JSONResponse(shown, headers=headers)

    def _list_runs(self, call: Call) -> Response:
        _allow(call, *LIST_PARAMETERS)
        runs = [
            run_object(run, files_url=self._files_url(call), livemode=self._livemode)
            for run in self._runs.all()
        ]
        return JSONResponse(page(runs, call.params, call.path, "reporting report run"))

    def _get_run(self, call: Call) -> Response:
        _allow(call, "expand")
        run = self._runs.get(call.ids["id"])
        return JSONResponse(run_object(run, files_url=self._files_url(call), livemode=self._livemode))

    def _get_file(self, call: Call) -> Response:
        _allow(call, "expand")
        return JSONResponse(file_object(self._runs.of_file(call.ids["id"]), files_url=self._files_url(call)))

    def _get_contents(self, call: Call) -> Response:
        run = self._runs.of_file(call.ids["id"])
        run.downloads += 1
        if self._options.compressed_files and call.accepts_gzip:
            return Response(
                gzip.compress(run.content), media_type="text/csv", headers={"Content-Encoding": "gzip"}
            )
        return Response(run.content, media_type="text/csv")

    def _list_sessions(self, call: Call) -> Response:
        _allow(call, *LIST_PARAMETERS, "payment_intent", "status", "customer")
        filters = {
            name: call.params[name]
            for name in ("payment_intent", "status", "customer")
            if name in call.params
        }
        sessions = [
            session
            for session in self._books.session_objects(livemode=self._livemode)
            if all(session[name] == wanted for name, wanted in filters.items())
        ]
        return JSONResponse(page(sessions, call.params, call.path, "checkout.session"))

    # ---- around every endpoint

    def _endpoint(self, handler: Handler) -> Callable[[Request], Awaitable[Response]]:
        async def answer(request: Request) -> Response:
            call = await _read(request)
            fault = self._faults.take(call.method, call.path)

            def log(status: int) -> None:
                kind = fault.kind if fault else None
                self._requests.add(
                    LoggedRequest(call.method, call.path, call.params, call.idempotency_key, status, kind)
                )

            response = await answered(request, fault, lambda: self._respond(request, call, handler), log)
            if fault and fault.error and fault.remembered and call.idempotency_key:
                self._runs.remember_error(call.idempotency_key, fault.error)
            response.headers["Request-Id"] = f"req_{next(self._numbers):06d}"
            return response

        return answer

    def _respond(self, request: Request, call: Call, handler: Handler) -> Response:
        try:
            self._authenticate(request.headers.get("authorization", ""))
            return handler(call)
        except ApiError as error:
            return error.response()
        except Exception:
            # A fault of this server or of the test's books: pytest shows it beside the test that failed.
            traceback.print_exc()
            return ApiError(
                500, "The test server failed; see its traceback on stderr.", kind="api_error"
            ).response()

    def _authenticate(self, authorization: str) -> None:
        sent = _key_of(authorization)
        if not sent:
            raise ApiError(
                401,
                "You did not provide an API key. Send it as the user of HTTP basic authentication or as a"
                " Bearer token.",
            )
        if not hmac.compare_digest(sent.encode(), self._key.encode()):
            raise ApiError(401, f"Invalid API Key provided: {'*' * 12}{sent[-4:]}")

    @property
    def _livemode(self) -> bool:
        return "_live_" in self._key

    def _files_url(self, call: Call) -> str:
        return FILES_HOST if self._options.real_file_urls else call.host


async def _read(request: Request) -> Call:
    body = (await request.body()).decode()
    return Call(
        method=request.method,
        path=request.url.path,
        params=decode_form(body if request.method == "POST" else request.url.query),
        idempotency_key=request.headers.get("idempotency-key"),
        accepts_gzip="gzip" in request.headers.get("accept-encoding", ""),
        host=str(request.base_url).rstrip("/"),
        ids={name: unquote(value) for name, value in request.path_params.items()},
    )


def _key_of(authorization: str) -> str:
    scheme, _, value = authorization.partition(" ")
    if scheme.lower() == "bearer":
        return value.strip()
    if scheme.lower() == "basic":
        try:
            return base64.b64decode(value).decode().split(":")[0]
        except (binascii.Error, UnicodeDecodeError):
            return ""
    return ""


def _allow(call: Call, *names: str) -> None:
    for name in call.params.keys() - set(names):
        raise unknown_parameter(name)


def _unrecognized(call: Call) -> Response:
    raise ApiError(
        404, f"Unrecognized request URL ({call.method}: {call.path}). Please see https://docs.stripe.com."
    )
