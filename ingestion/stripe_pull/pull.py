"""Pull Stripe's reports and Checkout Sessions into the landing area, as files like those that a person puts
there.

What is about to be asked for is written down before it is asked (`state/stripe/`), the idempotency key with
it, and forgotten once the file has landed with its sidecar. Whatever moment a process is killed at, the next
pull picks the run up.
"""

import csv
import hashlib
import json
import posixpath
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import stripe

from ingestion.landing.area import Landing
from ingestion.sources.stripe.coverage import (
    DEFAULT_ACCOUNT,
    Sidecar,
    described_by,
    read_sidecar,
    sidecar_name,
)
from ingestion.sources.stripe.reports import (
    ACTIVITY,
    CHECKOUT_SESSIONS,
    FOLDER,
    StripeReport,
    stripe_report_of,
)
from ingestion.sources.stripe.windows import Span, windows_to_pull
from ingestion.stripe_pull.api import ReadBudgetSpentError, StripeApi, StripeRefusedError
from paywall_warehouse.files import replace_text
from paywall_warehouse.settings import Settings

# Stripe's clock may be behind ours when a run is looked for that was asked for before a crash.
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
    """Stripe could not make a report; the text has its error."""


@dataclass
class Pulled:
    """What a pull of one report type did."""

    report_type: str
    files: list[str] = field(default_factory=list)
    """Landed, relative to the landing area."""
    created_runs: int = 0
    resumed_runs: int = 0
    available_until: datetime | None = None
    left: str | None = None
    """Why something is left to the next run."""


@dataclass(frozen=True)
class Intent:
    """A report that is asked for: written down before the request, with the run's id after the answer."""

    report_type: str
    start: int
    end: int
    """Unix seconds, exclusive."""
    available_until: str
    """Up to when Stripe had data."""
    idempotency_key: str
    asked_at: str
    run_id: str | None = None

    @property
    def span(self) -> Span:
        """The span that the report covers."""
        return datetime.fromtimestamp(self.start, UTC), datetime.fromtimestamp(self.end, UTC)


def pull(
    settings: Settings,
    api: StripeApi,
    report_type: str,
    progress: Progress = lambda _: None,
    *,
    deadline: float | None = None,
) -> Pulled:
    """Land whatever Stripe has of a report type (or of `checkout_sessions`) that the landing area does not
    cover yet.

    Raises `StripeRefusedError` and `ReportFailedError` with Stripe's words, `StripeUnavailableError` where
    trying again may help. A run that is not ready within STRIPE_DEADLINE_SECONDS, and what the read budget
    leaves, is left to the next pull. A caller that tries again gives the `deadline` (of the monotonic clock)
    of its first try.
    """
    api.deadline = time.monotonic() + settings.stripe_deadline_seconds if deadline is None else deadline
    landing = Landing.of(settings)
    done = Pulled(report_type)
    try:
        if report_type == CHECKOUT_SESSIONS:
            _pull_sessions(settings, api, landing, done, progress)
        else:
            _pull_reports(settings, api, landing, done, progress)
    except ReadBudgetSpentError as error:
        done.left = str(error)
    return done


def pulled_files(
    landing: Landing, report_type: str, account: str | None, key_livemode: bool
) -> list[Sidecar]:
    """The sidecars of what a key of one account has pulled, of files that are still there in the size that
    they state.
    """
    folder = f"{landing.root}/{FOLDER}/{report_type}"
    landing.filesystem.invalidate_cache(folder)
    if not landing.filesystem.exists(folder):
        return []
    found = landing.filesystem.find(folder, detail=True)
    sizes = {posixpath.basename(location): info["size"] for location, info in found.items()}
    sidecars = (
        (data, read_sidecar(landing, location))
        for location in found
        if (data := described_by(posixpath.basename(location))) is not None
    )
    return [
        sidecar
        for data, sidecar in sidecars
        if sidecar is not None
        and sizes.get(data) == sidecar.bytes
        and (sidecar.account, sidecar.key_livemode) == (account, key_livemode)
    ]


def _missing(
    settings: Settings, api: StripeApi, landing: Landing, done: Pulled, available: Span, *, looks_back: bool
) -> list[Span]:
    """The spans that a pull asks for; `done` hears how far Stripe's data reach."""
    done.available_until = available[1]
    covered = pulled_files(landing, done.report_type, api.account, api.livemode)
    fresh = [one.span for one in covered if datetime.fromisoformat(one.available_until) >= available[1]]
    look_back = timedelta(days=settings.stripe_look_back_days if looks_back else 0)
    return windows_to_pull(available, [one.span for one in covered], fresh, look_back)


# -- reports
# ----


def _pull_reports(
    settings: Settings, api: StripeApi, landing: Landing, done: Pulled, progress: Progress
) -> None:
    stripe_report = stripe_report_of(f"{FOLDER}/{done.report_type}/any.csv")
    if stripe_report is None:
        raise ValueError(f"{done.report_type} is no report type that is read")
    intents = Intents(settings, api, done.report_type)
    # What an earlier pull asked for comes first: only then is it known what is still missing.
    _finish(
        api,
        landing,
        intents,
        [_resumed(api, intents, one, stripe_report, done) for one in intents.read()],
        done,
        progress,
    )
    if done.left:
        return
    available = api.available(done.report_type)
    missing = _missing(settings, api, landing, done, available, looks_back=stripe_report.looks_back)
    wanted = [intents.write(span, available[1]) for span in missing]
    _finish(
        api,
        landing,
        intents,
        [_created(api, intents, one, stripe_report, done) for one in wanted],
        done,
        progress,
    )


def _resumed(
    api: StripeApi, intents: "Intents", intent: Intent, stripe_report: StripeReport, done: Pulled
) -> Intent:
    """A report that an earlier pull asked for, or was about to ask for when it ended."""
    try:
        if intent.run_id is not None and api.run(intent.run_id):
            done.resumed_runs += 1
            return intent
    except StripeRefusedError:
        pass  # Stripe knows it no more
    parameters = _parameters(intent, stripe_report)
    try:
        known = [
            run
            for run in api.runs_since(datetime.fromisoformat(intent.asked_at) - CLOCK_MARGIN)
            if run.status != "failed"
        ]
    except StripeRefusedError:
        # A key that may not list runs: the idempotency key of the first attempt alone keeps the report from
        # being made twice.
        return _created(api, intents, intent, stripe_report, done)
    for run in known:
        if run.report_type == intent.report_type and _asks_the_same(run, parameters):
            done.resumed_runs += 1
            return intents.save(replace(intent, run_id=run.id))
    # Nobody made it. Stripe would answer the old key with the error that it remembers for it.
    return _created(
        api, intents, intents.save(replace(intent, idempotency_key=uuid4().hex)), stripe_report, done
    )


def _created(
    api: StripeApi,
    intents: "Intents",
    intent: Intent,
    stripe_report: StripeReport,
    done: Pulled,
    *,
    is_narrowed: bool = False,
) -> Intent:
    try:
        run = api.create_run(intent.report_type, _parameters(intent, stripe_report), intent.idempotency_key)
    except StripeRefusedError as error:
        intents.forget(intent)
        # May a span touch the ends of Stripe's data? Its guide says so, its API reference asks for a second
        # between.
        if error.status == 400 and "interval" in str(error) and not is_narrowed:
            narrowed = replace(
                intent, start=intent.start + 1, end=intent.end - 1, idempotency_key=uuid4().hex
            )
            return _created(api, intents, intents.save(narrowed), stripe_report, done, is_narrowed=True)
        raise
    done.created_runs += 1
    return intents.save(replace(intent, run_id=run.id))


def _parameters(intent: Intent, stripe_report: StripeReport) -> dict[str, Any]:
    columns = {"columns": stripe_report.requested} if stripe_report.requested else {}
    return {"interval_start": intent.start, "interval_end": intent.end, **columns}


def _finish(
    api: StripeApi,
    landing: Landing,
    intents: "Intents",
    waiting: list[Intent],
    done: Pulled,
    progress: Progress,
) -> None:
    """Land every report that has been asked for, as soon as Stripe has made it."""
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
                    f" {api.discreet(str(run.error or run.status))}. The next run asks for it again"
                )
            try:
                done.files.append(_land_report(api, landing, intent, run, run.result))
            except StripeRefusedError:
                # A file may have expired while nobody came for it: the next run asks for the report again.
                intents.forget(intent)
                raise
            progress(f"{intent.report_type}: {_shown(intent.span)} landed")
            intents.forget(intent)
        waiting = still
        if waiting and time.monotonic() >= api.deadline:
            done.left = f"{len(waiting)} reports are not ready yet; the next run picks them up"
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
    """Put a finished file in its place, its sidecar before it: what is loaded is always told what it
    covers.
    """
    folder = f"{FOLDER}/{sidecar.report_type}"
    landing.put_text(f"{folder}/{sidecar_name(name)}", json.dumps(asdict(sidecar), indent=1))
    landing.put(f"{folder}/{name}", staging_dir)
    return f"{folder}/{name}"


def _shown(span: Span) -> str:
    return f"{span[0]:%Y-%m-%d %H:%M} to {span[1]:%Y-%m-%d %H:%M} UTC"


def _compact(span: Span) -> str:
    return "-".join(f"{instant:%Y%m%dT%H%M%SZ}" for instant in span)


# -- what is asked for
# ----


class Intents:
    """The reports of one type that are asked for and have not landed, a small file each."""

    def __init__(self, settings: Settings, api: StripeApi, report_type: str) -> None:
        whose = f"{api.account or DEFAULT_ACCOUNT}-{'live' if api.livemode else 'test'}"
        self._folder = settings.home.root / "state" / "stripe" / whose / report_type
        self._report_type = report_type

    def read(self) -> list[Intent]:
        """All of them, the earliest span first."""
        return [
            Intent(**json.loads(file.read_text(encoding="utf-8")))
            for file in sorted(self._folder.glob("*.json"))
        ]

    def write(self, span: Span, available_until: datetime) -> Intent:
        """Write down what is about to be asked for."""
        start, end = (int(instant.timestamp()) for instant in span)
        now = datetime.now(UTC).isoformat()
        return self.save(Intent(self._report_type, start, end, available_until.isoformat(), uuid4().hex, now))

    def save(self, intent: Intent) -> Intent:
        """Write down what is known of it now."""
        replace_text(self._path(intent), json.dumps(asdict(intent)))
        return intent

    def forget(self, intent: Intent) -> None:
        """It has landed, or must be asked for anew."""
        self._path(intent).unlink(missing_ok=True)

    def _path(self, intent: Intent) -> Path:
        return self._folder / f"{intent.start:012d}-{intent.end:012d}.json"


# -- Checkout Sessions
# ----


def _pull_sessions(
    settings: Settings, api: StripeApi, landing: Landing, done: Pulled, progress: Progress
) -> None:
    """Sessions reach as far as the payments that they are needed for: to the end of the activity report's
    data.
    """
    activity = next(one for one in settings.stripe_report_types if one.startswith(ACTIVITY.name))
    available = api.available(activity)
    for span in _missing(settings, api, landing, done, available, looks_back=True):
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
            done.files.append(_land(landing, f"{_compact(span)}.csv", staging_dir, sidecar))
        progress(f"{CHECKOUT_SESSIONS}: {_shown(span)} landed")


def _session_value(session: stripe.checkout.Session, name: str) -> Any:
    value = getattr(session, name, None)
    # An expanded payment intent is an object.
    return getattr(value, "id", value)
