"""Invoices of providers: an own list, or the dataset InvoiceDetail of FOCUS 1.4."""

from ingestion.readers.layout import Layout
from ingestion.sources.bills.bill_format import BillFormat
from ingestion.sources.bills.flatten import MADE as FLAT, flatten
from ingestion.sources.bills.lines import utc_time
from ingestion.sources.bills.records import (
    amount_rule,
    currency_rule,
    either,
    field_name,
    period_rules,
    rules_of_texts,
    stated,
    stated_rule,
    time_rules,
    utc_day,
    validated,
)

# The columns of an own list, each with that of InvoiceDetail.
COLUMNS = {
    "provider": "InvoiceIssuerName",
    "invoice_id": "InvoiceId",
    "period_start": "BillingPeriodStart",
    "period_end": "BillingPeriodEnd",
    "currency": "BillingCurrency",
    "amount": "BilledCost",
    "status": "InvoiceIssueStatus",
}
FIELDS = (*COLUMNS, *COLUMNS.values(), "InvoiceDetailId")
LAYOUT = Layout(
    columns=(*FIELDS, *FLAT),
    required=tuple(COLUMNS.items()),
    keeps_unknown=False,
    any_case=True,
    flatten=flatten(FIELDS),
)
NEEDED = ("provider", "invoice_id", "period_start", "period_end", "currency", "amount")
MADE = ("has_rounded_amount",)


def records_sql(texts: str) -> str:
    """Return SQL for the invoices, or lines of invoices, of `texts`, typed and validated."""
    shown = {name: either(name, column) for name, column in COLUMNS.items()}
    texts_of = ", ".join(
        f"coalesce(f_{name}, f_{field_name(column)}) as s_{name}" for name, column in COLUMNS.items()
    )
    values = (
        f"{utc_time('s_period_start')} as v_start, {utc_time('s_period_end')} as v_end,"
        " float_text(s_amount) as p_amount"
    )
    records = f"select *, {values} from (select *, {texts_of} from ({stated(texts, LAYOUT)}))"
    rules = [
        *rules_of_texts(FIELDS),
        *(stated_rule(f"s_{name} is null", shown[name]) for name in NEEDED),
        *time_rules("s_period_start", "v_start", shown["period_start"]),
        *time_rules("s_period_end", "v_end", shown["period_end"]),
        *period_rules("v_start", "v_end", (shown["period_start"], shown["period_end"])),
        amount_rule("s_amount", "p_amount", shown["amount"]),
        currency_rule("s_currency", shown["currency"]),
    ]
    columns = {
        "account": "account",
        "provider_as_billed": "lower(trim(s_provider))",
        "invoice_id": "s_invoice_id",
        "invoice_detail_id": "f_invoicedetailid",
        "period_start": utc_day("v_start"),
        "period_end": utc_day("v_end"),
        "currency": "lower(s_currency)",
        "amount": "float_money(p_amount)",
        "status": "lower(trim(s_status))",
        "has_rounded_amount": "coalesce(is_rounded(p_amount), false)",
    }
    return validated(records, columns, rules, FIELDS)


INVOICES = BillFormat("invoices", "bill_invoices", LAYOUT, records_sql, MADE)
