"""Report runs and the files that they end in."""

import secrets
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from zoneinfo import available_timezones

from tests.support.loopback.errors import (
    ApiError,
    as_integer,
    missing_parameter,
    missing_resource,
    unknown_parameter,
)
from tests.support.loopback.form import Params
from tests.support.stripe_server.books import Books, unix_seconds
from tests.support.stripe_server.faults import Faults
from tests.support.stripe_server.options import Options
from tests.support.stripe_server.report_types import ReportType
from tests.support.stripe_server.reports import report_csv

DAY = 24 * 60 * 60


@dataclass
class Run:
    """One report run; its file shows the books as they were when the run was created."""

    id: str
    report_type: str
    parameters: dict[str, Any]
    created: int
    """Unix seconds."""
    idempotency_key: str | None
    file_id: str
    content: bytes
    polls_left: int | None
    """How often it will still answer `pending`; None: for ever."""
    error: str | None = None
    succeeded_at: int | None = None
    downloads: int = 0
    """How often the file's contents were asked for."""

    @property
    def status(self) -> str:
        """Stripe's status: pending, succeeded or failed."""
        if self.polls_left != 0:
            return "pending"
        return "failed" if self.error else "succeeded"

    @property
    def window(self) -> tuple[int, int]:
        """The interval in Unix seconds: start inclusive, end exclusive."""
        return self.parameters["interval_start"], self.parameters["interval_end"]


class Runs:
    """All runs of the account, and the answers that are kept for idempotency keys."""

    def __init__(self, books: Books, options: Options, faults: Faults) -> None:
        self._books, self._options, self._faults = books, options, faults
        self._lock = threading.Lock()
        self._runs: list[Run] = []
        self._answers: dict[str, tuple[Params, Run]] = {}
        self._errors: dict[str, ApiError] = {}
        # Part of every id: two servers never give the same one.
        self._mark = secrets.token_hex(4)

    def all(self, report_type: str | None = None) -> list[Run]:
        """Every run that was created, oldest first, perhaps of one report type only."""
        with self._lock:
            return [run for run in self._runs if report_type in (None, run.report_type)]

    def windows(self, report_type: str) -> list[tuple[int, int]]:
        """The intervals of the runs of a report type, in the order of their creation."""
        return [run.window for run in self.all(report_type)]

    def forget_idempotency_keys(self) -> None:
        """What Stripe does to a key after a day."""
        with self._lock:
            self._answers.clear()
            self._errors.clear()

    # ---- for the server

    def report_type(self, wanted: str) -> ReportType:
        """The report type of this id; 404 where there is none."""
        for report_type in self._options.report_types:
            if report_type.id == wanted:
                return report_type
        raise missing_resource("reporting report type", wanted, param="report_type")

    def available(self, report_type: ReportType) -> tuple[int, int]:
        """First and last instant that may be asked for, in Unix seconds; both are allowed."""
        end = self._faults.end_of_data(report_type.id) or self._options.available_until
        last_midnight = self._options.clock() // DAY * DAY
        return unix_seconds(self._options.available_from), unix_seconds(end) if end else last_midnight

    def create(self, params: Params, idempotency_key: str | None) -> tuple[Run, bool]:
        """A new run, or the one that this idempotency key already created; and whether it is such a
        replay.
        """
        with self._lock:
            kept = self._answers.get(idempotency_key or "")
            error = self._errors.get(idempotency_key or "")
        if error:
            raise error
        if kept:
            if kept[0] != params:
                message = (
                    "Keys for idempotent requests can only be used with the same parameters they were first"
                    f" used with: {idempotency_key}"
                )
                raise ApiError(400, message, kind="idempotency_error")
            return kept[1], True
        run = self._new_run(params, idempotency_key)
        with self._lock:
            self._runs.append(run)
            if idempotency_key:
                self._answers[idempotency_key] = (params, run)
        return run, False

    def remember_error(self, idempotency_key: str, error: ApiError) -> None:
        """From now on this error answers whoever creates a run with this key."""
        with self._lock:
            self._errors[idempotency_key] = error

    def get(self, run_id: str) -> Run:
        """The run of this id, one poll later than before."""
        run = next((run for run in self.all() if run.id == run_id), None)
        if run is None:
            raise missing_resource("reporting report run", run_id)
        if run.polls_left is not None and run.polls_left > 0:
            run.polls_left -= 1
        if run.status == "succeeded" and run.succeeded_at is None:
            run.succeeded_at = self._options.clock()
        return run

    def of_file(self, file_id: str) -> Run:
        """The run whose file this is, once it is there."""
        for run in self.all():
            if run.file_id == file_id and run.status == "succeeded":
                return run
        raise missing_resource("file upload", file_id)

    def _new_run(self, params: Params, idempotency_key: str | None) -> Run:
        for name in params.keys() - {"report_type", "parameters", "expand"}:
            raise unknown_parameter(name)
        if "report_type" not in params:
            raise missing_parameter("report_type")
        report_type = self.report_type(params["report_type"])
        parameters = self._checked(report_type, params.get("parameters") or {})
        fate = self._faults.take_fate(report_type.id)
        options, number = self._options, len(self._runs) + 1
        return Run(
            id=f"frr_{self._mark}{number:04d}",
            report_type=report_type.id,
            parameters=parameters,
            created=options.clock(),
            idempotency_key=idempotency_key,
            file_id=f"file_{self._mark}{number:04d}",
            content=report_csv(
                report_type,
                parameters,
                self._books,
                bom=options.bom,
                crlf=options.crlf,
                details=options.balance_details,
            ),
            polls_left=None if fate and fate.error is None else options.polls + 1,
            error=fate.error if fate else None,
        )

    def _checked(self, report_type: ReportType, asked: Mapping[str, Any]) -> dict[str, Any]:
        """The parameters with integers as integers, or the 400 that Stripe answers."""
        for name in asked.keys() - set(report_type.parameters):
            raise unknown_parameter(f"parameters[{name}]")
        for name in ("interval_start", "interval_end"):
            if name not in asked:
                raise missing_parameter(f"parameters[{name}]")
        parameters = dict(asked) | {
            name: as_integer(asked[name], f"parameters[{name}]")
            for name in ("interval_start", "interval_end")
        }
        self._check_interval(report_type, parameters["interval_start"], parameters["interval_end"])
        for column in parameters.get("columns", []):
            if not report_type.supports(column):
                message = f"The column `{column}` is not supported by the report type {report_type.id}."
                raise ApiError(400, message, param="parameters[columns]")
        if parameters.get("timezone", "Etc/UTC") not in available_timezones():
            raise ApiError(400, f"Invalid timezone: {parameters['timezone']}", param="parameters[timezone]")
        return parameters

    def _check_interval(self, report_type: ReportType, start: int, end: int) -> None:
        first, last = self.available(report_type)
        data = f"Data for the report type {report_type.id} is only available"
        for name, value in (("interval_start", start), ("interval_end", end)):
            requested = f"you requested `{name}` = {_shown(value)}."
            if value < first:
                raise ApiError(
                    400, f"{data} starting at {_shown(first)}; {requested}", param=f"parameters.{name}"
                )
            if value > last:
                raise ApiError(400, f"{data} through {_shown(last)}; {requested}", param=f"parameters.{name}")
        if start >= end:
            raise ApiError(
                400, "`interval_start` must be before `interval_end`.", param="parameters.interval_start"
            )


def _shown(seconds: int) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S} UTC"
