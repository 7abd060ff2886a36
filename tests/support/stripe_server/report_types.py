"""The report types on offer and their columns, after https://docs.stripe.com/reports/report-types."""

import re
from dataclasses import dataclass

MONEY = ("currency", "gross", "fee", "net", "reporting_category")
CUSTOMER = (
    "customer_id",
    "customer_email",
    "customer_name",
    "customer_description",
    "shipping_address_line1",
)
CARD = ("card_brand", "card_country", "card_funding", "card_last4", "statement_descriptor")
PAYOUT_LINK = ("automatic_payout_id", "automatic_payout_effective_at", "automatic_payout_effective_at_utc")
PAYMENT = (
    "source_id",
    "charge_id",
    "payment_intent_id",
    "charge_created",
    "charge_created_utc",
    "customer_facing_amount",
    "customer_facing_currency",
    "payment_method_type",
    "dispute_reason",
    "invoice_id",
    "subscription_id",
)
TRANSACTION = (
    "balance_transaction_id",
    "created",
    "created_utc",
    "available_on",
    "available_on_utc",
    *MONEY,
    "description",
)
ITEMS = (*TRANSACTION, *PAYMENT, *PAYOUT_LINK, *CUSTOMER, *CARD, "trace_id")
ITEM_DEFAULTS = ("balance_transaction_id", "created", "available_on", *MONEY, "description")
PRIVATE_COLUMNS = {
    "customer_email",
    "customer_name",
    "customer_description",
    "shipping_address_line1",
    "card_last4",
    "description",
}

# A column of free keys: the key stands in brackets, and the books hold it under the whole name.
METADATA = re.compile(r"(payment|refund|transfer|customer)_metadata\[[^\[\]]+\]")
COMMON_PARAMETERS = ("interval_start", "interval_end", "timezone", "currency", "columns")


@dataclass(frozen=True)
class ReportType:
    """One version of a report, such as `payouts.itemized.5`."""

    stripe_report: str
    version: int
    name: str
    source: str
    """The list of `Books` that it shows; empty for the balance summary, which is computed."""
    dated_by: str
    """The time, without `_utc`, that decides whether a row lies in the interval."""
    columns: tuple[str, ...]
    default_columns: tuple[str, ...]
    parameters: tuple[str, ...] = (*COMMON_PARAMETERS, "reporting_category")

    @property
    def id(self) -> str:
        """The id in the API: family and version."""
        return f"{self.stripe_report}.{self.version}"

    def supports(self, column: str) -> bool:
        """Whether a run may ask for this column."""
        return column in self.columns or (bool(self.source) and METADATA.fullmatch(column) is not None)


BALANCE_SUMMARY = ReportType(
    stripe_report="balance.summary",
    version=1,
    name="Balance summary",
    source="",
    dated_by="",
    columns=("category", "description", "net_amount", "currency"),
    default_columns=("category", "description", "net_amount", "currency"),
    parameters=COMMON_PARAMETERS,
)
ACTIVITY = ReportType(
    stripe_report="balance_change_from_activity.itemized",
    version=7,
    name="Itemized balance change from activity",
    source="activity",
    dated_by="created",
    columns=ITEMS,
    default_columns=ITEM_DEFAULTS,
)
PAYOUTS = ReportType(
    stripe_report="payouts.itemized",
    version=5,
    name="Itemized payouts",
    source="payouts",
    dated_by="effective_at",
    columns=(
        *(
            "payout_id",
            "payout_status",
            "payout_type",
            "payout_expected_arrival_date",
            "payout_destination_id",
        ),
        *("effective_at", "effective_at_utc", "balance_transaction_id", *MONEY, "description", "trace_id"),
    ),
    default_columns=(
        *("balance_transaction_id", "currency", "description", "effective_at", "fee", "gross", "net"),
        *("payout_expected_arrival_date", "payout_id", "payout_status", "reporting_category"),
    ),
)
PAYOUT_RECONCILIATION = ReportType(
    stripe_report="payout_reconciliation.itemized",
    version=7,
    name="Itemized payout reconciliation",
    source="payout_reconciliation",
    dated_by="automatic_payout_effective_at",
    columns=ITEMS,
    default_columns=("automatic_payout_id", "automatic_payout_effective_at", *ITEM_DEFAULTS),
)
REPORT_TYPES = (BALANCE_SUMMARY, ACTIVITY, PAYOUTS, PAYOUT_RECONCILIATION)
