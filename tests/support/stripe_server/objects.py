"""API objects as Stripe shows them; the fields are those of the SDK's classes."""

from typing import Any

from tests.support.stripe_server.books import PRIVATE
from tests.support.stripe_server.report_types import ReportType
from tests.support.stripe_server.runs import Run

FILES_HOST = "https://files.stripe.com"


def account_object(account: str) -> dict[str, Any]:
    """The account that the key belongs to."""
    return {
        "id": account,
        "object": "account",
        "business_profile": {"name": PRIVATE, "support_email": f"{PRIVATE}@example.com"},
        "charges_enabled": True,
        "country": "US",
        "default_currency": "usd",
        "email": f"{PRIVATE}@example.com",
        "payouts_enabled": True,
        "type": "standard",
    }


def report_type_object(
    report_type: ReportType, available: tuple[int, int], *, livemode: bool
) -> dict[str, Any]:
    """A report type with the window of its data, in Unix seconds."""
    start, end = available
    return {
        "id": report_type.id,
        "object": "reporting.report_type",
        "data_available_end": end,
        "data_available_start": start,
        "default_columns": list(report_type.default_columns),
        "livemode": livemode,
        "name": report_type.name,
        "updated": end,
        "version": report_type.version,
    }


def run_object(run: Run, *, files_url: str, livemode: bool, as_created: bool = False) -> dict[str, Any]:
    """A run; `as_created` shows it as the answer to its creation did, which is what an idempotency key
    replays.
    """
    status = "pending" if as_created else run.status
    return {
        "id": run.id,
        "object": "reporting.report_run",
        "created": run.created,
        "error": run.error if status == "failed" else None,
        "livemode": livemode,
        "parameters": run.parameters,
        "report_type": run.report_type,
        "result": file_object(run, files_url=files_url) if status == "succeeded" else None,
        "status": status,
        "succeeded_at": run.succeeded_at if status == "succeeded" else None,
    }


def file_object(run: Run, *, files_url: str) -> dict[str, Any]:
    """The file that a run ended in."""
    return {
        "id": run.file_id,
        "object": "file",
        "created": run.succeeded_at,
        "expires_at": None,
        "filename": f"{run.id}.csv",
        "links": {
            "object": "list",
            "data": [],
            "has_more": False,
            "url": f"/v1/file_links?file={run.file_id}",
        },
        "purpose": "finance_report_run",
        "size": len(run.content),
        "title": f"{run.report_type} {run.id}",
        "type": "csv",
        "url": f"{files_url}/v1/files/{run.file_id}/contents",
    }
