"""Exports of the pages of Stripe's Dashboard, which are no reports: recognised wherever they land, to say
where they belong, or what to land instead.

Nothing of an export that is recognised here is kept. The payments are read in a folder of their own. The
other pages have no more than the reports have, and less of what a reconciliation needs.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from ingestion.sources.stripe.reports import ACTIVITY, FOLDER, PAYOUTS, UNIFIED_PAYMENTS, StripeReport


@dataclass(frozen=True)
class DashboardExport:
    """A kind of export: the columns by which it is known, and what to land for its rows."""

    page: str
    usual_name: str
    columns: frozenset[str]
    """In lower case. The dialog of the export lets a user choose others."""
    instead: StripeReport
    """The report that has its rows, or the source that reads it."""


# More columns first: the balance history has all columns by which an export of payouts is known but one.
DASHBOARD_EXPORTS: Final = (
    DashboardExport(
        "Payments",
        "unified_payments.csv",
        frozenset({"id", "created date (utc)", "amount", "currency", "status"}),
        UNIFIED_PAYMENTS,
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


def explain_dashboard_export(names: Sequence[str], landed_as: StripeReport | None = None) -> str | None:
    """Return where a file with these columns belongs, or what to land instead of it; None if it is no export
    of a page, or one that `landed_as` reads.
    """
    found = {name.strip().lower() for name in names}
    export = next((one for one in DASHBOARD_EXPORTS if one.columns <= found), None)
    if export is None or (export.instead is landed_as and not export.instead.is_pulled):
        return None
    report = export.instead
    what = f'it is an export of the page "{export.page}" of Stripe\'s Dashboard ({export.usual_name})'
    if not report.is_pulled:
        return f"{what}, which is read in another folder. Move it into {FOLDER}/{report.newest_folder}/"
    keys = f", with the columns {' and '.join(sorted(report.keys))}" if report.keys else ""
    return (
        f"{what}, which is not read, because a report has more. Download the report"
        f' "{TITLES[report.name]}"'
        f" instead, itemized{keys}, into {FOLDER}/{report.newest_folder}/, or set STRIPE_API_KEY"
    )
