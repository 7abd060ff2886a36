"""The endpoints of the three APIs, as an ASGI application."""

import hmac
import traceback
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tests.support.bill_server.bills import Bills, Result, json_text
from tests.support.loopback.answers import answered
from tests.support.loopback.errors import ApiError, as_integer
from tests.support.loopback.faults import Faults
from tests.support.loopback.form import Params, decode_form
from tests.support.loopback.request_log import LoggedRequest, RequestLog

OPENAI_KEY, ANTHROPIC_KEY = "sk-admin-topsecret", "sk-ant-admin01-topsecret"
OPENROUTER_KEY = "sk-or-v1-topsecret"
COSTS, REPORT, ACTIVITY = "/v1/organization/costs", "/v1/organizations/cost_report", "/api/v1/activity"
DAY = timedelta(days=1)
Handler = Callable[[Request, Params], Any]


@dataclass
class Options:
    """How the server behaves while nothing is wrong. Read at every request."""

    today: date | None = None
    """The UTC day that is not over yet; None: by the clock."""
    keys_from: date = date(2025, 12, 6)
    """OpenAI refuses to group earlier days by API key."""
    states_empty_days: bool = True
    """False: OpenAI and Anthropic leave out days without results."""
    lag_days: int = 0
    """How many complete days OpenAI and Anthropic do not state yet."""

    @property
    def day(self) -> date:
        """The UTC day that is not over yet."""
        return self.today or datetime.now(UTC).date()


class BillServerApp:
    """The server's state and its endpoints."""

    def __init__(self, bills: Bills, options: Options, faults: Faults, requests: RequestLog) -> None:
        self._bills, self._options, self._faults, self._requests = bills, options, faults, requests

    def application(self) -> Starlette:
        """What uvicorn runs."""
        endpoints: list[tuple[str, Handler]] = [
            (COSTS, self._openai_costs),
            (REPORT, self._anthropic_report),
            (ACTIVITY, self._openrouter_activity),
        ]
        routes = [Route(path, self._endpoint(handler)) for path, handler in endpoints]
        return Starlette(routes=[*routes, Route("/{rest:path}", self._endpoint(_unknown))])

    # ---- endpoints

    def _openai_costs(self, request: Request, params: Params) -> Any:
        _check_key(request.headers.get("authorization", ""), f"Bearer {OPENAI_KEY}")
        _allow(params, "start_time", "end_time", "bucket_width", "group_by", "limit", "page")
        groups = params.get("group_by", [])
        start, end = (
            datetime.fromtimestamp(as_integer(params[name], name), UTC) for name in ("start_time", "end_time")
        )
        if "api_key_id" in groups and start.date() < self._options.keys_from:
            raise ApiError(400, "group_by api_key_id is not supported for start_time before 1764979200.")
        left_out = {"line_item", "project_id", "api_key_id"} - set(groups)
        page = self._page(self._bills.openai, start.date(), end.date(), params, longest=180)
        return page | {
            "object": "page",
            "data": [
                {
                    "object": "bucket",
                    "start_time": _seconds(day),
                    "end_time": _seconds(day + DAY),
                    "results": [one | dict.fromkeys(left_out) for one in results],
                }
                for day, results in page["data"]
            ],
        }

    def _anthropic_report(self, request: Request, params: Params) -> Any:
        _check_key(request.headers.get("x-api-key", ""), ANTHROPIC_KEY)
        if request.headers.get("anthropic-version") != "2023-06-01":
            raise ApiError(400, "anthropic-version: header is required")
        _allow(params, "starting_at", "ending_at", "bucket_width", "group_by", "limit", "page")
        if params.get("group_by") != ["description", "workspace_id"]:
            raise ApiError(400, "Use `group_by[]` for array parameters")
        start, end = (datetime.fromisoformat(params[name]).date() for name in ("starting_at", "ending_at"))
        if end <= start:
            raise ApiError(400, "Invalid date range: ending date must be after starting date")
        page = self._page(self._bills.anthropic, start, end, params, longest=31)
        return page | {
            "data": [
                {
                    "starting_at": f"{day}T00:00:00Z",
                    "ending_at": f"{day + DAY}T00:00:00Z",
                    "results": results,
                }
                for day, results in page["data"]
            ]
        }

    def _openrouter_activity(self, request: Request, params: Params) -> Any:
        _check_key(request.headers.get("authorization", ""), f"Bearer {OPENROUTER_KEY}")
        _allow(params, "date")
        today = self._options.day
        days = (
            [date.fromisoformat(params["date"])]
            if "date" in params
            else [today - DAY * n for n in range(1, 31)]
        )
        if not today - 30 * DAY <= min(days) <= max(days) < today:
            raise ApiError(400, "Date must be within the last 30 (completed) UTC days")
        rows = [
            {"date": day.isoformat(), **row}
            for day in days
            for row in self._bills.openrouter.get(day.isoformat(), [])
        ]
        return {"data": rows}

    def _page(
        self, bills: dict[str, list[Result]], start: date, end: date, params: Params, *, longest: int
    ) -> dict[str, Any]:
        """A page of days and their results. The cursor is the day on which it begins."""
        limit = as_integer(params.get("limit", "7"), "limit")
        if not 1 <= limit <= longest:
            raise ApiError(400, f"Invalid limit provided: {limit}. Limit must be at most {longest}.")
        first = date.fromisoformat(params["page"].removeprefix("page_")) if "page" in params else start
        last = min(end, self._options.day + DAY - DAY * self._options.lag_days)
        days = [first + DAY * number for number in range((last - first).days)]
        if not self._options.states_empty_days:
            days = [day for day in days if bills.get(day.isoformat())]
        shown, more = days[:limit], days[limit:]
        return {
            "data": [(day, bills.get(day.isoformat(), [])) for day in shown],
            "has_more": bool(more),
            "next_page": f"page_{more[0]}" if more else None,
        }

    # ---- around every endpoint

    def _endpoint(
        self, handler: Callable[[Request, Params], Any]
    ) -> Callable[[Request], Awaitable[Response]]:
        async def answer(request: Request) -> Response:
            path, params = request.url.path, decode_form(request.url.query)
            fault = self._faults.take("GET", path)

            def log(status: int) -> None:
                kind = fault.kind if fault else None
                self._requests.add(LoggedRequest("GET", path, params, None, status, kind))

            return await answered(request, fault, lambda: _respond(request, params, handler), log)

        return answer


def _respond(request: Request, params: Params, handler: Handler) -> Response:
    try:
        return Response(json_text(handler(request, params)), media_type="application/json")
    except ApiError as error:
        return error.response()
    except Exception:
        # A fault of this server or of the test's bills: pytest shows it beside the test that failed.
        traceback.print_exc()
        return ApiError(500, "The test server failed; see its traceback on stderr.").response()


def _check_key(sent: str, expected: str) -> None:
    if not hmac.compare_digest(sent.encode(), expected.encode()):
        # OpenAI repeats a part of a wrong key; here all of it.
        raise ApiError(401, f"Incorrect API key provided: {sent}.")


def _allow(params: Params, *names: str) -> None:
    for name in params.keys() - set(names):
        raise ApiError(400, f"Unknown parameter: {name}")


def _unknown(request: Request, params: Params) -> Any:
    raise ApiError(404, f"Invalid URL (GET {request.url.path})")


def _seconds(day: date) -> int:
    return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp())
