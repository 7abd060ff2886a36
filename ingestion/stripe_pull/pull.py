"""Pulling Stripe's reports and Checkout Sessions: they land as files like those that a person lands.

Each report is noted before it is requested (`state/stripe/`), together with the idempotency key, and the note
is removed once the file has landed with its sidecar. If a process is killed at any time, the next pull
continues with the report run.
"""

import csv
import hashlib
import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import stripe

from ingestion.landing.area import Landing
from ingestion.pulls.sidecars import described_files, land_with_sidecar
from ingestion.pulls.windows import Span, windows_to_pull
from ingestion.sources.stripe.coverage import (
    DEFAULT_ACCOUNT,
    Sidecar,
    read_report_sidecar,
)
from ingestion.sources.stripe.reports import (
    ACTIVITY,
    CHECKOUT_SESSIONS,
    FOLDER,
    StripeReport,
    stripe_report_of,
)
from ingestion.stripe_pull.api import ReadBudgetSpentError, StripeApi, StripeRefusedError
from paywall_warehouse.files import replace_text
from paywall_warehouse.settings import Settings

# Stripe's clock may be behind ours when a run is searched for that was requested before a crash.
CLOCK_MARGIN: Final = timedelta(hours=1)
SESSION_COLUMNS: Final = (
    "id",
    "payment_intent",
    "client_reference_id",
    "status",
    "payment_status",
    "created",
    "livemode",
)
Progress = Callable[[str], None]


class ReportFailedError(Exception):
    """A report that Stripe could not produce. The text has Stripe's error."""


@dataclass
class Pulled:
    """The result of pulling one report type."""

    report_type: str
    files: list[str] = field(default_factory=list)
    """The landed files, relative to the landing area."""
    created_runs: int = 0
    resumed_runs: int = 0
    available_until: datetime | None = None
    left: str | None = None
    """Why something is left to the next run; None if nothing is."""


@dataclass(frozen=True)
class Intent:
    """The note of a requested report: written before the request, with the run's id after the answer."""

    report_type: str
    start: int
    end: int
    """Unix seconds, exclusive."""
    available_until: str
    """The end of Stripe's data at the time of the request."""
    idempotency_key: str
    asked_at: str
    run_id: str | None = None

    @property
    def span(self) -> Span:
        """Return the span that the report covers."""
        return datetime.fromtimestamp(self.start, UTC), datetime.fromtimestamp(self.end, UTC)


def pull(
    settings: Settings,
    api: StripeApi,
    report_type: str,
    progress: Progress = lambda _: None,
    *,
    deadline: float | None = None,
) -> Pulled:
    """Land the data of a report type (or of `checkout_sessions`) that the landing area does not cover yet.

    Raises `StripeRefusedError` and `ReportFailedError` with Stripe's message, and `StripeUnavailableError` if
    another try may help. A report run that is not ready within STRIPE_DEADLINE_SECONDS, and everything beyond
    the read budget, is left to the next pull. A caller that tries again passes the `deadline` (of the
    monotonic clock) of its first try.
    """
    api.deadline = time.monotonic() + settings.stripe_deadline_seconds if deadline is None else deadline
    landing = Landing.of(settings)
    pulled = Pulled(report_type)
    try:
        if report_type == CHECKOUT_SESSIONS:
            _pull_sessions(settings, api, landing, pulled, progress)
        else:
            _pull_reports(settings, api, landing, pulled, progress)
    except ReadBudgetSpentError as error:
        pulled.left = str(error)
    return pulled


def pulled_files(
    landing: Landing, report_type: str, account: str | None, key_livemode: bool
) -> list[Sidecar]:
    """Return the sidecars of the files that a key of one account has pulled.

    Only files that still exist with the size in their sidecar are included.
    """
    described = described_files(landing, f"{FOLDER}/{report_type}")
    sidecars = ((read_report_sidecar(landing, location), size) for location, size in described)
    return [
        sidecar
        for sidecar, size in sidecars
        if sidecar is not None
        and size == sidecar.bytes
        and (sidecar.account, sidecar.key_livemode) == (account, key_livemode)
    ]


def _missing(
    settings: Settings, api: StripeApi, landing: Landing, pulled: Pulled, available: Span, *, looks_back: bool
) -> list[Span]:
    """Return the spans to request, and set the end of Stripe's data in `pulled`."""
    pulled.available_until = available[1]
    covered = pulled_files(landing, pulled.report_type, api.account, api.livemode)
    fresh = [one.span for one in covered if datetime.fromisoformat(one.available_until) >= available[1]]
    look_back = timedelta(days=settings.stripe_look_back_days if looks_back else 0)
    return windows_to_pull(available, [one.span for one in covered], fresh, look_back)


# ---- reports


def _pull_reports(
    settings: Settings, api: StripeApi, landing: Landing, pulled: Pulled, progress: Progress
) -> None:
    stripe_report = stripe_report_of(f"{FOLDER}/{pulled.report_type}/any.csv")
    if stripe_report is None:
        raise ValueError(f"{pulled.report_type} is not a report type that is read")
    intents = Intents(settings, api, pulled.report_type)
    # The requests of an earlier pull come first: only after them is it known what is still missing.
    _finish(
        api,
        landing,
        intents,
        [_resumed(api, intents, one, stripe_report, pulled) for one in intents.read()],
        pulled,
        progress,
    )
    if pulled.left:
        return
    available = api.available(pulled.report_type)
    missing = _missing(settings, api, landing, pulled, available, looks_back=stripe_report.looks_back)
    wanted = [intents.write(span, available[1]) for span in missing]
    _finish(
        api,
        landing,
        intents,
        [_created(api, intents, one, stripe_report, pulled) for one in wanted],
        pulled,
        progress,
    )


def _resumed(
    api: StripeApi, intents: "Intents", intent: Intent, stripe_report: StripeReport, pulled: Pulled
) -> Intent:
    """Continue with a report that an earlier pull requested, or was about to request when it ended."""
    try:
        if intent.run_id is not None and api.run(intent.run_id):
            pulled.resumed_runs += 1
            return intent
    except StripeRefusedError:
        pass  # Stripe no longer has the run
    parameters = _parameters(intent, stripe_report)
    try:
        known = [
            run
            for run in api.runs_since(datetime.fromisoformat(intent.asked_at) - CLOCK_MARGIN)
            if run.status != "failed"
        ]
    except StripeRefusedError:
        # The key may not list runs. Then only the idempotency key of the first attempt prevents a second
        # report.
        return _created(api, intents, intent, stripe_report, pulled)
    for run in known:
        if run.report_type == intent.report_type and _asks_the_same(run, parameters):
            pulled.resumed_runs += 1
            return intents.save(replace(intent, run_id=run.id))
    # The run does not exist. For the old key Stripe would repeat the error that it has stored for it.
    return _created(
        api, intents, intents.save(replace(intent, idempotency_key=uuid4().hex)), stripe_report, pulled
    )


def _created(
    api: StripeApi,
    intents: "Intents",
    intent: Intent,
    stripe_report: StripeReport,
    pulled: Pulled,
    *,
    is_narrowed: bool = False,
) -> Intent:
    try:
        run = api.create_run(intent.report_type, _parameters(intent, stripe_report), intent.idempotency_key)
    except StripeRefusedError as error:
        intents.forget(intent)
        # Stripe's guide allows a span that touches the ends of its data; its API reference requires a second
        # between them.
        if error.status == 400 and "interval" in str(error) and not is_narrowed:
            narrowed = replace(
                intent, start=intent.start + 1, end=intent.end - 1, idempotency_key=uuid4().hex
            )
            return _created(api, intents, intents.save(narrowed), stripe_report, pulled, is_narrowed=True)
        raise
    pulled.created_runs += 1
    return intents.save(replace(intent, run_id=run.id))


def _parameters(intent: Intent, stripe_report: StripeReport) -> dict[str, Any]:
    columns = {"columns": stripe_report.requested} if stripe_report.requested else {}
    return {"interval_start": intent.start, "interval_end": intent.end, **columns}


def _finish(
    api: StripeApi,
    landing: Landing,
    intents: "Intents",
    waiting: list[Intent],
    pulled: Pulled,
    progress: Progress,
) -> None:
    """Land every requested report as soon as Stripe has produced it."""
    wait = api.pace.first_poll
    while waiting:
        still = []
        for intent in waiting:
            run = api.run(intent.run_id or "")
            if run.status == "pending":
                still.append(intent)
                continue
            if run.status != "succeeded" or run.result is None:
                intents.forget(intent)
                raise ReportFailedError(
                    f"Stripe could not make {intent.report_type} of {_shown(intent.span)} (run {run.id}):"
                    f" {api.without_key(str(run.error or run.status))}. The next run requests it again"
                )
            try:
                pulled.files.append(_land_report(api, landing, intent, run, run.result))
            except StripeRefusedError:
                # A file may have expired before it was downloaded: the next run requests the report again.
                intents.forget(intent)
                raise
            progress(f"{intent.report_type}: {_shown(intent.span)} landed")
            intents.forget(intent)
        waiting = still
        if waiting and time.monotonic() >= api.deadline:
            pulled.left = f"{len(waiting)} reports are not ready yet; the next run picks them up"
            return
        if waiting:
            time.sleep(min(wait, max(api.deadline - time.monotonic(), 0)))
            wait = min(wait * 1.5, api.pace.longest_poll)


def _asks_the_same(run: stripe.reporting.ReportRun, parameters: dict[str, Any]) -> bool:
    stated = run.parameters.to_dict()
    return all(stated.get(name) == value for name, value in parameters.items())


def _land_report(
    api: StripeApi, landing: Landing, intent: Intent, run: stripe.reporting.ReportRun, result: stripe.File
) -> str:
    parameters = {**run.parameters.to_dict(), "interval_start": intent.start, "interval_end": intent.end}
    with landing.staging() as staging_dir:
        api.download(result, staging_dir)
        sidecar = _sidecar(api, intent.report_type, parameters, intent.available_until, staging_dir)
        return _land(
            landing,
            f"{_compact(intent.span)}-{run.id}.csv",
            staging_dir,
            replace(sidecar, id=run.id, livemode=run.livemode),
        )


def _sidecar(
    api: StripeApi, report_type: str, parameters: dict[str, Any], available_until: str, staging_dir: Path
) -> Sidecar:
    with staging_dir.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return Sidecar(
        report_type=report_type,
        parameters=parameters,
        livemode=api.livemode,
        key_livemode=api.livemode,
        account=api.account,
        available_until=available_until,
        sha256=digest,
        bytes=staging_dir.stat().st_size,
        downloaded_at=datetime.now(UTC).isoformat(),
    )


def _land(landing: Landing, name: str, staging_dir: Path, sidecar: Sidecar) -> str:
    return land_with_sidecar(landing, f"{FOLDER}/{sidecar.report_type}", name, staging_dir, sidecar)


def _shown(span: Span) -> str:
    return f"{span[0]:%Y-%m-%d %H:%M} to {span[1]:%Y-%m-%d %H:%M} UTC"


def _compact(span: Span) -> str:
    return "-".join(f"{instant:%Y%m%dT%H%M%SZ}" for instant in span)


# ---- notes of requested reports


class Intents:
    """The notes of the reports of one type that were requested and have not landed: one small file each."""

    def __init__(self, settings: Settings, api: StripeApi, report_type: str) -> None:
        whose = f"{api.account or DEFAULT_ACCOUNT}-{'live' if api.livemode else 'test'}"
        self._folder = settings.home.root / "state" / "stripe" / whose / report_type
        self._report_type = report_type

    def read(self) -> list[Intent]:
        """Return all notes, the earliest span first."""
        return [
            Intent(**json.loads(file.read_text(encoding="utf-8")))
            for file in sorted(self._folder.glob("*.json"))
        ]

    def write(self, span: Span, available_until: datetime) -> Intent:
        """Write the note of a report that will be requested."""
        start, end = (int(instant.timestamp()) for instant in span)
        now = datetime.now(UTC).isoformat()
        return self.save(Intent(self._report_type, start, end, available_until.isoformat(), uuid4().hex, now))

    def save(self, intent: Intent) -> Intent:
        """Write the present state of a note."""
        replace_text(self._path(intent), json.dumps(asdict(intent)))
        return intent

    def forget(self, intent: Intent) -> None:
        """Remove the note: the report has landed, or has to be requested again."""
        self._path(intent).unlink(missing_ok=True)

    def _path(self, intent: Intent) -> Path:
        return self._folder / f"{intent.start:012d}-{intent.end:012d}.json"


# ---- Checkout Sessions


def _pull_sessions(
    settings: Settings, api: StripeApi, landing: Landing, pulled: Pulled, progress: Progress
) -> None:
    """Pull the sessions up to the end of the activity report's data, which has the payments that need
    them.
    """
    activity = next(one for one in settings.stripe_report_types if one.startswith(ACTIVITY.name))
    available = api.available(activity)
    for span in _missing(settings, api, landing, pulled, available, looks_back=True):
        with landing.staging() as staging_dir:
            with staging_dir.open("w", encoding="utf-8", newline="") as file:
                writer = csv.writer(file)
                writer.writerow(SESSION_COLUMNS)
                writer.writerows(
                    [_session_value(session, name) for name in SESSION_COLUMNS]
                    for session in api.sessions(*span)
                )
            start, end = (int(instant.timestamp()) for instant in span)
            parameters = {"interval_start": start, "interval_end": end}
            sidecar = _sidecar(api, CHECKOUT_SESSIONS, parameters, available[1].isoformat(), staging_dir)
            pulled.files.append(_land(landing, f"{_compact(span)}.csv", staging_dir, sidecar))
        progress(f"{CHECKOUT_SESSIONS}: {_shown(span)} landed")


def _session_value(session: stripe.checkout.Session, name: str) -> Any:
    value = getattr(session, name, None)
    # An expanded payment intent is an object.
    return getattr(value, "id", value)
