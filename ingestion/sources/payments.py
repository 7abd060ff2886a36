"""Payments of rails other than Stripe (`payments/`): their rules, and the columns that the lake keeps.

They are specified in docs/contract.md#25-other-payment-rails.

Exports of banks and processors hold names, addresses and account numbers. Only the user is kept from the
metadata; unknown columns are dropped.
"""

from ingestion.readers.layout import Layout
from ingestion.sources.ledger import allowed, canonical
from ingestion.sources.stripe.reports import USER_KEYS
from ingestion.validation.fields import stated_fields
from ingestion.validation.rules import (
    METADATA_RULES,
    RULES_OF_FORM,
    Rule,
    at_most,
    currency,
    first_broken,
    instant,
    money,
    of_broken_rule,
    required,
)
from paywall_warehouse.quoting import literal

TEXTS = ("rail", "payment_id", "status", "currency")
MONEY = ("amount", "fee", "refunded_amount")
SCALARS = (*TEXTS, "paid_at", *MONEY)
FIELDS = (*SCALARS, "metadata")
NEEDED = ("rail", "payment_id", "paid_at", "amount", "currency", "status")
LAYOUT = Layout(columns=FIELDS, required=NEEDED, money=MONEY, times=("paid_at",), json=("metadata",))

STATUSES = {
    "succeeded": ("succeeded", "settled", "completed"),
    "refunded": ("refunded",),
    "disputed": ("disputed",),
    "failed": ("failed", "canceled", "cancelled"),
}
# Rails whose payments come from elsewhere, or that no payment can have.
RESERVED_RAILS = ("stripe", "unknown")

RULES = (
    *RULES_OF_FORM,
    *(required(field) for field in NEEDED),
    at_most("rail", 255),
    at_most("payment_id", 255),
    Rule(
        f"lower(f_rail) in ({', '.join(map(literal, RESERVED_RAILS))})",
        "'reserved_rail'",
        """'field "rail" is ' || shown(f_rail)
            || '; Stripe has reports of its own (stripe/), and unknown is not a rail: name the rail'""",
    ),
    Rule(
        "payment_status is null",
        "'unknown_status'",
        f"""'field "status" is ' || shown(f_status) || {literal("; allowed: " + allowed(STATUSES))}""",
    ),
    instant("paid_at"),
    *(rule for field in MONEY for rule in money(field)),
    Rule(
        "v_refunded_amount > v_amount",
        "'amount_too_large'",
        """'field "refunded_amount" is larger than the amount: ' || shown(f_refunded_amount)""",
    ),
    currency("currency"),
    *METADATA_RULES,
)


def records_sql(texts: str) -> str:
    """Return SQL for every payment of `texts`, typed, with its text as `raw`.

    A payment that breaks a rule has `reject_code` and `reject_words`; otherwise both are NULL.
    """
    stated = stated_fields(
        texts,
        fields={name: f"$.{name}" for name in SCALARS},
        scalars=(*TEXTS, "paid_at"),
        objects={"metadata": "$.metadata"},
        known=FIELDS,
    )
    users = ", ".join(literal(f"$.{key}") for key in USER_KEYS)
    return f"""
    select
        file_no, line, lower(f_rail) as rail, f_payment_id as payment_id, v_paid_at as paid_at,
            v_amount as amount,
        lower(f_currency) as currency, payment_status as status, v_fee as fee,
            v_refunded_amount as refunded_amount,
        case when broken is null
            then list_filter(json_extract_string(o_metadata, [{users}]), lambda user: nullif(user,
                '') is not null)[1] end as user_id,
        {of_broken_rule(RULES, "code")} as reject_code,
        {of_broken_rule(RULES, "message")} as reject_words,
        raw
    from (
        select *, {first_broken(RULES)} as broken
        from (
            select *, {canonical("f_status", STATUSES)} as payment_status, exact_time(f_paid_at) as v_paid_at,
                {", ".join(f"exact_money(f_{name}) as v_{name}" for name in MONEY)}
            from ({stated})
        )
    )"""
