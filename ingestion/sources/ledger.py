"""Ledger entries (docs/contract.md#22-ledger-entry): their rules, and the columns that the lake keeps."""

from collections.abc import Mapping, Sequence

from ingestion.readers.layout import Layout
from ingestion.validation.fields import stated_fields, with_extra
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
    whole_number,
)
from paywall_warehouse.quoting import literal

TEXTS = (
    *("id", "type", "status", "user", "paywall", "currency", "request_id", "model", "related_id"),
    *("billing", "provider_cost_currency"),
)
TIMES = ("timestamp", "updated_at")
MONEY = ("amount", "provider_cost", "platform_fees")
COUNTS = ("prompt_tokens", "completion_tokens", "total_tokens", "cached_tokens", "reasoning_tokens")
SCALARS = (*TEXTS, *TIMES, *MONEY, *COUNTS)
FIELDS = (*SCALARS, "metadata")

LAYOUT = Layout(
    columns=FIELDS,
    required=("id", "timestamp", "type", "paywall", "amount"),
    money=MONEY,
    times=TIMES,
    json=("metadata",),
)

ENTRY_TYPES = {
    "deposit": ("deposit", "topup"),
    "charge": ("charge",),
    "refund": ("refund",),
    "adjustment": ("adjustment",),
    "withdrawal": ("withdrawal", "withdraw"),
}
STATUSES = {
    "pending": ("pending",),
    "settled": ("settled", "completed", "succeeded"),
    "failed": ("failed", "canceled", "cancelled", "voided"),
    "reversed": ("reversed",),
}
BILLINGS: dict[str, tuple[str, ...]] = {"prepaid": ("prepaid",), "postpaid": ("postpaid",)}

# The values that later stages need from the metadata, with each key that the product's documentation uses.
METADATA_KEYS = {
    "payment_intent_id": ("payment_intent", "payment_intent_id", "paymentIntent", "paymentIntentId"),
    "charge_id": ("charge", "charge_id", "chargeId"),
    "checkout_session_id": (
        "checkout_session",
        "checkout_session_id",
        "checkoutSession",
        "checkoutSessionId",
    ),
    "payment_id": ("payment_id", "paymentId"),
    "rail": ("rail",),
    "funding": ("funding",),
    "reason": ("reason",),
    "request_id": ("requestId", "request_id"),
}


def canonical(text: str, vocabulary: Mapping[str, tuple[str, ...]]) -> str:
    """Return SQL for the contract's word for a stated one, ignoring case; NULL for an unknown word."""
    cases = " ".join(
        f"when {literal(word)} then {literal(name)}" for name, words in vocabulary.items() for word in words
    )
    return f"case lower({text}) {cases} end"


def metadata_values(metadata: str) -> str:
    """Return SQL for a list of the values of all `METADATA_KEYS` in a metadata object; NULL without one."""
    paths = ", ".join(literal(f"$.{key}") for keys in METADATA_KEYS.values() for key in keys)
    return f"case when {metadata} is not null then json_extract_string({metadata}, [{paths}]) end"


def metadata_value(name: str, values: str = "from_metadata") -> str:
    """Return SQL for one of `METADATA_KEYS` from the list of `metadata_values`: the first spelling with a
    value.
    """
    keys = [key for keys in METADATA_KEYS.values() for key in keys]
    stated = ", ".join(f"nullif({values}[{keys.index(key) + 1}], '')" for key in METADATA_KEYS[name])
    return f"coalesce({stated})"


def allowed(vocabulary: Mapping[str, tuple[str, ...]]) -> str:
    """Return every word of a vocabulary, for messages."""
    return ", ".join(word for words in vocabulary.values() for word in words)


RULES = (
    *RULES_OF_FORM,
    required("id"),
    required("timestamp"),
    required("type"),
    required("paywall"),
    required("amount"),
    Rule(
        "entry_type is null",
        "'unknown_type'",
        f"""'field "type" is ' || shown(f_type) || {literal("; allowed: " + allowed(ENTRY_TYPES))}""",
    ),
    Rule(
        "status is null",
        "'unknown_status'",
        f"""'field "status" is ' || shown(f_status) || {literal("; allowed: " + allowed(STATUSES))}""",
    ),
    Rule(
        "billing is null",
        "'unknown_billing'",
        f"""'field "billing" is ' || shown(f_billing) || {literal("; allowed: " + allowed(BILLINGS))}""",
    ),
    required("user", unless="entry_type = 'withdrawal'"),
    at_most("id", 255),
    at_most("user", 255),
    at_most("paywall", 255),
    instant("timestamp"),
    instant("updated_at"),
    *money("amount", signed="entry_type = 'adjustment'"),
    *money("provider_cost"),
    *money("platform_fees"),
    *(whole_number(field) for field in COUNTS),
    currency("currency"),
    currency("provider_cost_currency"),
    *METADATA_RULES,
)


def records_sql(texts: str) -> str:
    """Return SQL for every record of `texts`, typed, with its text as `raw`.

    A record that breaks a rule has `reject_code` and `reject_words`; otherwise both are NULL.
    """
    stated = stated_fields(
        texts,
        fields={name: f"$.{name}" for name in SCALARS},
        scalars=(*TEXTS, *TIMES),
        objects={"metadata": "$.metadata"},
        known=FIELDS,
    )
    return entries_sql(stated)


def entries_sql(
    stated: str,
    *,
    rules: Sequence[Rule] = RULES,
    typed: Mapping[str, str] | None = None,
    source: str = "'ledger'",
    more: Sequence[str] = (),
    raw: str = "raw",
) -> str:
    """Return SQL for every ledger entry of `stated`, the result of `stated_fields` with a column `f_<field>`
    for each of `SCALARS`, and `o_metadata` and `extra`.

    `typed` has SQL over `stated` for the values of fields whose texts are not those of a ledger record.
    `more` are further columns, and `raw` is SQL for the text that a rejected record shows.
    """
    own = typed or {}
    values = ",\n        ".join(
        [
            f"{own.get('timestamp', 'exact_time(f_timestamp)')} as v_timestamp",
            # Most entries have one version, so that both times are the same.
            (
                f"{own['updated_at']} as v_updated_at"
                if "updated_at" in own
                else "case when f_updated_at = f_timestamp then v_timestamp else exact_time(f_updated_at) end"
                " as v_updated_at"
            ),
            *(f"{own.get(name, f'exact_money(f_{name})')} as v_{name}" for name in MONEY),
            *(f"exact_count(f_{name}) as v_{name}" for name in COUNTS),
        ]
    )
    metadata = ",\n        ".join(
        f"{metadata_value(name)} as {name}" for name in METADATA_KEYS if name != "request_id"
    )
    further = "".join(f"{column},\n        " for column in more)
    return f"""
    select
        file_no, line, f_id as entry_id, v_timestamp as occurred_at, coalesce(v_updated_at,
            v_timestamp) as updated_at,
        entry_type, status, f_user as user_id, f_paywall as paywall_id, v_amount as amount,
            lower(f_currency) as currency,
        coalesce(f_request_id, {metadata_value("request_id")}) as request_id, f_model as model,
        v_prompt_tokens as prompt_tokens, v_completion_tokens as completion_tokens,
        case
            when v_total_tokens is not null then v_total_tokens
            when v_prompt_tokens is not null or v_completion_tokens is not null
                then coalesce(v_prompt_tokens, 0) + coalesce(v_completion_tokens, 0)
        end as total_tokens,
        v_cached_tokens as cached_tokens, v_reasoning_tokens as reasoning_tokens,
        v_provider_cost as provider_cost, v_platform_fees as platform_fees, f_related_id as related_entry_id,
        case when broken is null then {with_extra("o_metadata", "extra")} end as metadata,
        {metadata},
        {source} as source, billing, lower(f_provider_cost_currency) as provider_cost_currency,
        {further}{of_broken_rule(rules, "code")} as reject_code,
        {of_broken_rule(rules, "message")} as reject_words,
        {raw} as raw
    from (
        select *, {first_broken(rules)} as broken,
            case when starts_with(ltrim(o_metadata), '{{') and json_problem(o_metadata) is null
                then {metadata_values("o_metadata")} end as from_metadata
        from (
            select *, {canonical("f_type", ENTRY_TYPES)} as entry_type,
                {canonical("coalesce(f_status, 'settled')", STATUSES)} as status,
                {canonical("coalesce(f_billing, 'prepaid')", BILLINGS)} as billing,
                {values}
            from ({stated})
        )
    )"""
