"""Exports of the pages of Stripe's Dashboard, which are no reports: recognised, to say what to land instead.

Nothing of them is kept. They lack what a reconciliation needs: balance transactions, the money of refunds and
disputes with its time, and a span that they cover.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from ingestion.sources.stripe.reports import ACTIVITY, FOLDER, PAYOUTS, StripeReport


@dataclass(frozen=True)
class DashboardExport:
    """A kind of export: the columns by which it is known, and the report that has its rows."""

    page: str
    usual_name: str
    columns: frozenset[str]
    """In lower case. The dialog of the export lets a user choose others."""
    instead: StripeReport


# More columns first: the balance history has all columns by which an export of payouts is known but one.
DASHBOARD_EXPORTS: Final = (
    DashboardExport(
        "Payments",
        "unified_payments.csv",
        frozenset({"id", "created date (utc)", "amount", "currency", "status"}),
        ACTIVITY,
    ),
    DashboardExport(
        "Balance history",
        "balance_history.csv",
        frozenset({"id", "type", "amount", "fee", "net", "currency", "created (utc)"}),
        ACTIVITY,
    ),
    DashboardExport(
        "Payouts",
        "payouts.csv",
        frozenset({"id", "amount", "currency", "status", "arrival date (utc)"}),
        PAYOUTS,
    ),
)
TITLES: Final = {ACTIVITY.name: "Balance change from activity", PAYOUTS.name: "Payouts"}


def explain_dashboard_export(names: Sequence[str]) -> str | None:
    """Return what to land instead of a file with these columns; None if it is no export of a page."""
    found = {name.strip().lower() for name in names}
    export = next((one for one in DASHBOARD_EXPORTS if one.columns <= found), None)
    if export is None:
        return None
    report = export.instead
    keys = f", with the columns {' and '.join(sorted(report.keys))}" if report.keys else ""
    return (
        f'it is an export of the page "{export.page}" of Stripe\'s Dashboard ({export.usual_name}), which is'
        f' not read, because it cannot be reconciled. Download the report "{TITLES[report.name]}"'
        f" instead, itemized{keys}, into {FOLDER}/{report.newest_folder}/, or set STRIPE_API_KEY"
    )
