"""FOCUS 1.0 to 1.4, the open format of bills: the dataset Cost and Usage (https://focus.finops.org).

The model is the first that is stated of `SkuMeter`, `ResourceName`, the key `model` of `Tags`, and `x_model`.
A meter that names nothing but a kind of tokens is no model.
"""

from functools import partial

from ingestion.readers.layout import Layout
from ingestion.sources.bills.bill_format import BillFormat
from ingestion.sources.bills.flatten import MADE as FLAT, flatten
from ingestion.sources.bills.lines import (
    MADE,
    TOKEN_UNITS,
    LineSql,
    Stated,
    kind_of_words,
    lines_sql,
    utc_time,
)
from ingestion.sources.bills.records import either
from paywall_warehouse.quoting import literal

FIELDS = (
    "BilledCost",
    "BillingCurrency",
    "BillingPeriodStart",
    "ChargePeriodStart",
    "ChargePeriodEnd",
    "ChargeCategory",
    "ChargeClass",
    "ServiceProviderName",
    "ProviderName",
    "PublisherName",
    "InvoiceIssuerName",
    "SkuMeter",
    "ResourceName",
    "Tags",
    "x_model",
    "ConsumedQuantity",
    "ConsumedUnit",
    "SubAccountId",
    "InvoiceId",
    "ChargeDescription",
)
LAYOUT = Layout(
    columns=(*FIELDS, *FLAT),
    required=(
        "BilledCost",
        "BillingCurrency",
        "ChargePeriodStart",
        "ChargePeriodEnd",
        "ChargeCategory",
        ("ServiceProviderName", "ProviderName"),
    ),
    json=("Tags",),
    keeps_unknown=False,
    any_case=True,
    flatten=flatten(FIELDS, json_columns=("Tags",)),
)
KIND_WORDS = "input|output|prompt|completion|cached?|uncached|read|write|creation|hit|tokens?"
ONLY_KIND = f"'[^a-z]*(({KIND_WORDS})[^a-z]*)+'"
METER = f"case when not regexp_full_match(lower(f_skumeter), {ONLY_KIND}) then f_skumeter end"
UNITS = f"({', '.join(map(literal, TOKEN_UNITS))})"
# A gateway states the provider in all three columns, and counts requests: nobody billed its own prices.
IS_ESTIMATE = """case when problem is null then coalesce(
    provider_name = lower(trim(f_publishername)) and provider_name = lower(trim(f_invoiceissuername))
    and unit_name = 'requests', false) end"""

LINE = LineSql(
    provider=Stated(
        "coalesce(f_serviceprovidername, f_providername)", either("ServiceProviderName", "ProviderName")
    ),
    start=Stated("f_chargeperiodstart", "ChargePeriodStart"),
    end=Stated("f_chargeperiodend", "ChargePeriodEnd"),
    start_value=utc_time("f_chargeperiodstart"),
    end_value=utc_time("f_chargeperiodend"),
    amount=Stated("f_billedcost", "BilledCost"),
    currency=Stated("f_billingcurrency", "BillingCurrency"),
    quantity=Stated("f_consumedquantity", "ConsumedQuantity"),
    unit="trim(f_consumedunit)",
    model=f"coalesce({METER}, f_resourcename, masked(json_part(json_text(o_tags), '$.model')), f_x_model)",
    kind=f"""case when unit_name in {UNITS}
        then coalesce({kind_of_words("f_skumeter")}, {kind_of_words("f_chargedescription")}, 'all')
        else 'other' end""",
    project="f_subaccountid",
    invoice_id="f_invoiceid",
    billing_start=Stated("f_billingperiodstart", "BillingPeriodStart"),
    category=Stated("trim(f_chargecategory)", "ChargeCategory"),
    is_correction="coalesce(lower(trim(f_chargeclass)) = 'correction', false)",
)

FOCUS = BillFormat(
    "focus",
    "bill_lines",
    LAYOUT,
    # A description is free text, and only the kind of tokens is read from it.
    partial(
        lines_sql,
        "focus",
        LINE,
        LAYOUT,
        hidden=("ChargeDescription",),
        made=(("is_estimate", IS_ESTIMATE),),
    ),
    (*MADE, "is_estimate"),
)
