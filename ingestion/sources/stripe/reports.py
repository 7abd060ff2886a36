"""The kinds of Stripe file that are read: their known versions, and the names of each column in them.

Stripe renames columns between versions of a report and writes some in two forms (`created` in the report's
time zone, and `created_utc`). Only this module knows the names. A column that is not listed here is never
read into the lake, because reports may hold customers' names, e-mail addresses and card data.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from ingestion.readers.layout import Layout, UnreadableFileError
from ingestion.validation import reject_codes

Kind = Literal["text", "word", "money", "currency", "time", "day", "flag"]
"""`word` is lower-cased text; `time` is an instant, written as `YYYY-MM-DD HH:MM:SS` in UTC or the report's
zone, or in Unix seconds; `day` is a date.
"""

FOLDER: Final = "stripe"
CHECKOUT_SESSIONS: Final = "checkout_sessions"
PAYMENTS_EXPORT: Final = "unified_payments"
VERSIONED: Final = re.compile(
    r"(?P<report>[a-z_]+\.(?:itemized|summary)|balance\.summary)\.(?P<version>[0-9]+)"
)
# Seen so far: 1 to 3 in the documentation, 6 and 7 in code of 2026. All of them use the column names below.
ITEMIZED_VERSIONS: Final = range(1, 8)


@dataclass(frozen=True)
class Column:
    """A column of the lake, and its names in reports. The first name that has a value in a row counts."""

    name: str
    kind: Kind
    stated_as: tuple[str, ...]
    required: bool = False
    """Whether every row must state it."""
    in_header: bool = False
    """Whether the file must have the column, though rows may leave it empty."""
    requested_as: tuple[str, ...] = ()
    """The names that a pull requests, if that is not the first of the names."""
    may_be_expanded: bool = False
    """Whether the API may state the object itself instead of its id."""
    decides: bool = False
    """Whether days, spans or ages depend on this time, so that it is useless in an unknown zone."""
    is_signed: bool = True
    """Whether an amount may be below zero."""
    words: Mapping[str, tuple[str, ...]] = field(default_factory=dict, hash=False)
    """The only words that may be stated, by the word that the lake keeps; empty for a column of any text.
    Case does not matter, and a space is like an underscore.
    """

    @property
    def utc_names(self) -> tuple[str, ...]:
        """Return the names under which reports state this time in UTC."""
        return tuple(name for name in self.stated_as if name.endswith("_utc"))

    def place(self, alternative: int) -> str:
        """Return the name of the field that holds one of the alternatives during validation."""
        return f"{self.name}_{alternative}"

    def expanded_place(self, alternative: int) -> str:
        """Return the name of the field that holds the id in an object of one of the alternatives."""
        return f"{self.name}_{alternative}_expanded"


def _column(name: str, kind: Kind, *stated_as: str, **more: Any) -> Column:
    return Column(name, kind, stated_as or (name,), **more)


@dataclass(frozen=True)
class StripeReport:
    """A report in all its versions, the list of Checkout Sessions, or the export of the page "Payments"."""

    name: str
    table: str
    """The lake's table."""
    versions: range
    """Empty if the folder has no version."""
    columns: tuple[Column, ...]
    keys: tuple[str, ...] = ()
    """Columns of which the file must have at least one: without it no row can be matched with a payment."""
    chooses_columns: bool = True
    """Whether a pull requests columns. The default ones have no join key, and may have personal data."""
    looks_back: bool = True
    """Whether the rows of a past span may change: they become available, payouts arrive or fail."""
    is_report: bool = True
    """Whether it is a report, whose times may be in a zone that was chosen. Other files state UTC."""
    is_pulled: bool = True
    """Whether a run pulls it. No API has the exports of the Dashboard's pages."""
    separator: str = ","
    """What separates the fields of a CSV file. Of several characters, the header shows which."""
    has_local_numbers: bool = False
    """Whether amounts may have a decimal comma, as the Dashboard writes them in some languages."""
    remedy: str = ""
    """What to do about a file without the columns, if there is more to say than to rename them."""

    @property
    def source(self) -> str:
        """Return the name in `ops.loaded_files`, such as `stripe/payouts.itemized`."""
        return f"{FOLDER}/{self.name}"

    @property
    def newest_folder(self) -> str:
        """Return the folder below `stripe/` of the newest version."""
        return f"{self.name}.{self.versions[-1]}" if self.versions else self.name

    @property
    def requested(self) -> list[str]:
        """Return the columns that a pull requests."""
        return (
            [name for column in self.columns for name in column.requested_as or column.stated_as[:1]]
            if self.chooses_columns
            else []
        )

    @property
    def layout(self) -> Layout:
        """Return the known and the required columns of a file."""
        needed = [column.stated_as for column in self.columns if column.required or column.in_header]
        keys = (
            [tuple(name for column in self.columns if column.name in self.keys for name in column.stated_as)]
            if self.keys
            else []
        )
        return Layout(
            columns=tuple(name for column in self.columns for name in column.stated_as),
            required=(*needed, *keys),
            money=tuple(
                name for column in self.columns if column.kind == "money" for name in column.stated_as
            ),
            separator=self.separator,
            # Where a report has its header, another file may have a row with an e-mail address.
            keeps_unknown=self.is_pulled,
            remedy=self.remedy,
        )


_GROSS_FEE_NET = (
    _column("gross", "money", "gross", "gross_amount", required=True),
    _column("fee", "money", "fee", "fees", required=True),
    _column("net", "money", "net", "net_amount", required=True),
)
_JOIN_KEYS = (
    _column("source_id", "text", "source_id", "source"),
    _column("charge_id", "text", "charge_id", "charge"),
    _column("payment_intent_id", "text", "payment_intent_id", "payment_intent"),
)
_CREATED = ("created_utc", "created", "created_at")
_AVAILABLE = ("available_on_utc", "available_on", "available_at")
USER_KEYS: Final = ("user", "user_id", "userId", "external_user_id", "externalUserId", "walletUserId")
"""Metadata keys under which a payment may name its user; Stripe writes `payment_metadata[KEY]`."""
USER_COLUMNS: Final = tuple(f"payment_metadata[{key}]" for key in USER_KEYS)

ACTIVITY: Final = StripeReport(
    "balance_change_from_activity.itemized",
    "stripe_balance_transactions",
    ITEMIZED_VERSIONS,
    (
        _column(
            "balance_transaction_id", "text", "balance_transaction_id", "balance_transaction", required=True
        ),
        _column("created_at", "time", *_CREATED, required=True, decides=True),
        _column("available_at", "time", *_AVAILABLE),
        _column("currency", "currency", required=True),
        *_GROSS_FEE_NET,
        _column("reporting_category", "word", required=True),
        *_JOIN_KEYS,
        _column("customer_facing_amount", "money"),
        _column("customer_facing_currency", "currency"),
        _column("automatic_payout_id", "text", "automatic_payout_id", "automatic_payout"),
        _column("user_id", "text", *USER_COLUMNS, requested_as=USER_COLUMNS),
    ),
    # The source of a refund or a dispute is the refund itself, so that `source_id` alone matches no payment.
    keys=("charge_id", "payment_intent_id"),
)
PAYOUTS: Final = StripeReport(
    "payouts.itemized",
    "stripe_payouts",
    ITEMIZED_VERSIONS,
    (
        _column("payout_id", "text", "payout_id", "payout", "source_id", required=True),
        _column("payout_status", "word", "payout_status", "status"),
        _column("arrival_date", "day", "payout_expected_arrival_date", "arrival_date"),
        # Not every version has the column in UTC. A report without a time zone parameter is in UTC anyway.
        _column(
            *("effective_at", "time", "effective_at_utc", "effective_at", *_CREATED),
            required=True,
            requested_as=("effective_at",),
            decides=True,
        ),
        _column("balance_transaction_id", "text", "balance_transaction_id", "balance_transaction"),
        _column("currency", "currency", required=True),
        *_GROSS_FEE_NET,
        _column("reporting_category", "word"),
    ),
)
PAYOUT_RECONCILIATION: Final = StripeReport(
    "payout_reconciliation.itemized",
    "stripe_payout_items",
    ITEMIZED_VERSIONS,
    (
        _column(
            "automatic_payout_id",
            "text",
            "automatic_payout_id",
            "automatic_payout",
            "payout_id",
            in_header=True,
        ),
        _column(
            "automatic_payout_effective_at",
            "time",
            "automatic_payout_effective_at_utc",
            "automatic_payout_effective_at",
        ),
        _column(
            "balance_transaction_id", "text", "balance_transaction_id", "balance_transaction", required=True
        ),
        _column("created_at", "time", *_CREATED),
        _column("available_at", "time", *_AVAILABLE),
        _column("currency", "currency", required=True),
        *_GROSS_FEE_NET,
        _column("reporting_category", "word"),
        *_JOIN_KEYS,
    ),
)
BALANCE_SUMMARY: Final = StripeReport(
    "balance.summary",
    "stripe_balance_summaries",
    range(1, 2),
    (
        _column("category", "word", required=True),
        _column("currency", "currency", required=True),
        _column("net_amount", "money", "net_amount", "net", required=True),
    ),
    chooses_columns=False,
    looks_back=False,
)
SESSIONS: Final = StripeReport(
    CHECKOUT_SESSIONS,
    "stripe_checkout_sessions",
    range(0),
    (
        _column("checkout_session_id", "text", "id", "checkout_session_id", required=True),
        _column(
            "payment_intent_id",
            "text",
            "payment_intent",
            "payment_intent_id",
            in_header=True,
            may_be_expanded=True,
        ),
        _column("user_id", "text", "client_reference_id"),
        _column("session_status", "word", "status"),
        _column("payment_status", "word"),
        _column("created_at", "time", *_CREATED),
    ),
    is_report=False,
)
PAYMENT_STATUSES: Final = {
    "paid": ("paid", "succeeded", "dispute_won"),
    "refunded": ("refunded",),
    "partially_refunded": ("partially_refunded", "partial_refund"),
    "disputed": (
        *("disputed", "dispute_lost", "dispute_needs_response", "dispute_under_review"),
        *("needs_response", "under_review"),
    ),
    "uncaptured": ("uncaptured", "requires_capture"),
    "pending": ("pending", "processing"),
    "incomplete": ("incomplete", "requires_payment_method", "requires_confirmation", "requires_action"),
    "failed": ("failed", "blocked", "expired"),
    "canceled": ("canceled", "cancelled"),
}
"""Of these, the first four mean that the customer paid."""
DISPUTE_STATUSES: Final = {
    "open": ("needs_response", "under_review"),
    "lost": ("lost",),
    "won": ("won",),
    # No money was taken: an inquiry, or a dispute that a refund or Stripe has settled.
    "none": (
        *("warning_needs_response", "warning_under_review", "warning_closed"),
        *("charge_refunded", "prevented"),
    ),
}
MODES: Final = {"live": ("live",), "test": ("test",)}
UNIFIED_PAYMENTS: Final = StripeReport(
    PAYMENTS_EXPORT,
    "stripe_unified_payments",
    range(0),
    (
        # A payment without a charge yet has the id of its payment intent.
        _column("payment_id", "text", "id", required=True),
        _column("created_at", "time", "Created date (UTC)", required=True),
        _column("currency", "currency", "Currency", required=True),
        _column("amount", "money", "Amount", required=True, is_signed=False),
        # Without them refunds would not be seen, and deposits that name a payment intent not be matched.
        _column("refunded_amount", "money", "Amount Refunded", in_header=True, is_signed=False),
        _column("payment_intent_id", "text", "PaymentIntent ID", in_header=True),
        _column("payment_status", "word", "Status", required=True, words=PAYMENT_STATUSES),
        _column("captured", "word", "Captured"),
        _column("converted_currency", "currency", "Converted Currency"),
        _column("converted_amount", "money", "Converted Amount", is_signed=False),
        _column("fee", "money", "Fee"),
        _column("taxes_on_fee", "money", "Taxes On Fee"),
        _column("refunded_at", "time", "Refunded date (UTC)"),
        _column("disputed_amount", "money", "Disputed Amount", is_signed=False),
        _column("dispute_status", "word", "Dispute Status", words=DISPUTE_STATUSES),
        _column("disputed_at", "time", "Dispute Date (UTC)"),
        _column("mode", "word", "Mode", words=MODES),
        _column("user_id", "text", *(f"{key} (metadata)" for key in USER_KEYS)),
    ),
    is_report=False,
    is_pulled=False,
    separator=",;",
    has_local_numbers=True,
    remedy='Export the page "Payments" of Stripe\'s Dashboard again, with all columns and times in UTC',
)
STRIPE_REPORTS: Final = (
    ACTIVITY,
    PAYOUTS,
    PAYOUT_RECONCILIATION,
    BALANCE_SUMMARY,
    SESSIONS,
    UNIFIED_PAYMENTS,
)
PULLED_REPORTS: Final = tuple(stripe_report for stripe_report in STRIPE_REPORTS if stripe_report.is_pulled)


def report_folder(path: str) -> str:
    """Return the folder directly below `stripe/` of a landed path; '' for a file in no such folder."""
    parts = path.split("/")
    return parts[1] if len(parts) > 2 else ""


def stripe_report_of(path: str) -> StripeReport | None:
    """Return the report of a landed path under `stripe/`, in any version; None for an unknown folder."""
    folder = report_folder(path)
    known = VERSIONED.fullmatch(folder)
    name = known["report"] if known else folder
    return next(
        (
            stripe_report
            for stripe_report in STRIPE_REPORTS
            if stripe_report.name == name and bool(stripe_report.versions) == bool(known)
        ),
        None,
    )


def owner_of(path: str) -> StripeReport:
    """Return the report that a landed path belongs to; the first one for a file of an unknown kind."""
    return stripe_report_of(path) or ACTIVITY


def check_report_type(path: str) -> None:
    """Raise `UnreadableFileError` if the folder of a landed path is not a report type with known columns."""
    folder, stripe_report = report_folder(path), stripe_report_of(path)
    if stripe_report is None:
        allowed = ", ".join(one.newest_folder for one in STRIPE_REPORTS)
        raise UnreadableFileError(
            reject_codes.UNKNOWN_REPORT_TYPE,
            f'the folder "stripe/{folder}" is not a report type that is read; land Stripe\'s files in one of'
            f" stripe/: {allowed}",
        )
    if stripe_report.versions and int(folder.rsplit(".", 1)[1]) not in stripe_report.versions:
        raise UnreadableFileError(
            reject_codes.UNKNOWN_REPORT_VERSION,
            f"version {folder.rsplit('.', 1)[1]} of {stripe_report.name} is not known, and its columns may"
            f" mean something else; known are {stripe_report.versions[0]} to {stripe_report.versions[-1]}."
            " Request one of these, or add the version to ingestion/sources/stripe/reports.py",
        )
