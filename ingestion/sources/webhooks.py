"""Webhook deliveries of Paywalls.ai (docs/contract.md#23-webhook-events): both body shapes, their rules, and
the columns that the lake keeps.

The shapes are described in docs/sources/paywalls.md#21-two-documented-shapes-that-disagree.
"""

from dataclasses import replace

from ingestion.readers.layout import Layout
from ingestion.sources.ledger import METADATA_KEYS, metadata_value, metadata_values
from ingestion.validation.fields import stated_fields, with_extra
from ingestion.validation.rules import (
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

# Shape B is flat: `PaywallEvent` in the OpenAPI file.
ENVELOPE = (
    "id",
    "paywallId",
    "ownerUserId",
    "type",
    "version",
    "createdAt",
    "status",
    "attempts",
    "data",
    "metadata",
    "trigger",
    "subject",
)
LAYOUT = Layout(
    columns=ENVELOPE,
    required=("id", "type", "createdAt", "data"),
    times=("createdAt",),
    json=("data", "metadata", "trigger", "subject"),
)

# Shape A, the wrapper of the guide, and a row of the delivery log have the event under `event`.
UNWRAP = (
    "case when json_type({0}, '$.event') = 'OBJECT' then cast(json_extract({0}, '$.event') as varchar) else"
    " {0} end"
)

PATHS = {
    "id": "$.id",
    "type": "$.type",
    "paywallId": "$.paywallId",
    "createdAt": "$.createdAt",
    "attempts": "$.attempts",
    "data_paywall": "$.data.paywallId",
    "wallet": "$.data.walletUserId",
    "external": "$.data.externalUserId",
    "subject_external": "$.subject.externalId",
    "activityId": "$.data.activityId",
    "amount": "$.data.amount",
    "cost": "$.data.cost",
    "credits": "$.data.credits",
    "requestedAmount": "$.data.requestedAmount",
    "availableBalance": "$.data.availableBalance",
    "currency": "$.data.currency",
    "model": "$.data.model",
    "promptTokens": "$.data.promptTokens",
    "completionTokens": "$.data.completionTokens",
    "requestId": "$.data.requestId",
    "deferredRequestId": "$.data.deferredRequestId",
    "checkoutSessionId": "$.data.checkoutSessionId",
    "errorCode": "$.data.errorCode",
    "reason": "$.data.reason",
    "source": "$.data.source",
}
SCALARS = ("id", "type", "paywallId", "createdAt", "wallet", "external", "activityId", "currency", "model")
# Fields of `data` that have a column of their own, or that repeat the envelope. The other fields go to
# metadata.extra.
DATA_COLUMNS = (
    "ownerUserId",
    *(path.removeprefix("$.data.") for path in PATHS.values() if path.startswith("$.data.")),
)

# The events that state a ledger entry, each with the field that holds its money.
ENTRY_EVENTS = {
    "balance.deposit.created": "amount",
    "balance.trial.granted": "credits",
    "usage.charge.created": "cost",
    "balance.charge.created": "amount",
    "balance.charge.completed": None,
    "balance.charge.failed": "amount",
}

# The events that become a row of `fct_usage_errors`, and the one that links a checkout to a user.
OTHER_EVENTS = (
    "balance.depleted",
    "request.blocked",
    "usage.rate.limited",
    "proxy.request.failed",
    "proxy.request.blocked",
    "stripe.checkout.session.completed",
)

# SQL for the events that the warehouse uses, and for those of them that state an entry.
COUNTS = "event_type in (" + ", ".join(literal(name) for name in (*ENTRY_EVENTS, *OTHER_EVENTS)) + ")"
ENTRY = "event_type in (" + ", ".join(literal(name) for name in ENTRY_EVENTS) + ")"


def _for_used_events(rule: Rule) -> Rule:
    """Return the rule for used events only: an event that changes nothing is kept with any data."""
    return replace(rule, when=f"{COUNTS} and ({rule.when})")


def _missing(field: str, when: str) -> Rule:
    message = f"""'field "{field}" is required in ' || event_type || ' and is missing or empty; state it'"""
    return Rule(when, "'missing_field'", message)


RULES = (
    *RULES_OF_FORM,
    required("id"),
    required("type"),
    required("createdAt"),
    _missing("paywallId", "paywall_id is null"),
    _missing("data.activityId", f"{ENTRY} and f_activityId is null"),
    *(
        _missing(f"data.{field}", f"event_type = {literal(name)} and f_{field} is null")
        for name, field in ENTRY_EVENTS.items()
        if field
    ),
    _missing(
        "data.walletUserId", f"{ENTRY} and event_type <> 'balance.charge.completed' and user_id is null"
    ),
    at_most("id", 255),
    at_most("activityId", 255),
    at_most("wallet", 255),
    at_most("external", 255),
    Rule(
        "length(paywall_id) > 255",
        "'text_too_long'",
        """'field "paywallId" has more than 255 characters; shorten it'""",
    ),
    instant("createdAt"),
    *(
        _for_used_events(rule)
        for field in ("amount", "cost", "credits", "requestedAmount")
        for rule in money(field)
    ),
    *(_for_used_events(rule) for rule in money("availableBalance", signed="true")),
    _for_used_events(whole_number("promptTokens")),
    _for_used_events(whole_number("completionTokens")),
    _for_used_events(currency("currency")),
    Rule(
        "o_metadata is not null and not starts_with(ltrim(o_metadata), '{')",
        "'bad_metadata'",
        """'field "metadata" is not a JSON object: ' || shown(o_metadata)""",
    ),
)


def records_sql(texts: str) -> str:
    """Return SQL for every delivery of `texts`, typed, with its text as `raw`.

    A delivery that breaks a rule has `reject_code` and `reject_words`; otherwise both are NULL.
    """
    stated = stated_fields(
        texts,
        fields=PATHS,
        scalars=SCALARS,
        objects={"metadata": "$.metadata", "data": "$.data"},
        known=ENVELOPE,
        unwrap=UNWRAP,
    )
    removal = literal("{" + ", ".join(f'"{name}": null' for name in DATA_COLUMNS) + "}")
    values = ", ".join(
        [
            "exact_time(f_createdAt) as v_createdAt",
            *(
                f"exact_money(f_{name}) as v_{name}"
                for name in ("amount", "cost", "credits", "requestedAmount", "availableBalance")
            ),
            *(f"exact_count(f_{name}) as v_{name}" for name in ("promptTokens", "completionTokens")),
        ]
    )
    metadata = ", ".join(
        f"{metadata_value(name)} as {name}"
        for name in METADATA_KEYS
        if name not in ("request_id", "reason", "checkout_session_id")
    )
    stated_money = " ".join(
        f"when {literal(name)} then v_{field}" for name, field in ENTRY_EVENTS.items() if field
    )
    return f"""
    select
        file_no, line, f_id as event_id, event_type, paywall_id, v_createdAt as occurred_at,
            exact_count(f_attempts) as attempts,
        f_wallet as wallet_user_id, coalesce(f_external, f_subject_external) as external_user_id,
            f_activityId as activity_id,
        case event_type {stated_money} else v_amount end as amount, lower(f_currency) as currency,
            f_model as model,
        v_promptTokens as prompt_tokens, v_completionTokens as completion_tokens,
        coalesce(f_requestId, f_deferredRequestId, {metadata_value("request_id")}) as request_id,
        f_errorCode as error_code, f_reason as reason, f_source as source,
        coalesce(f_checkoutSessionId, {metadata_value("checkout_session_id")}) as checkout_session_id,
        {metadata}, {metadata_value("reason")} as metadata_reason,
        v_requestedAmount as requested_amount, v_availableBalance as available_balance,
        case when broken is null then {with_extra("o_metadata", "data_extra")} end as metadata,
        case when broken is null then without_line_end(raw) end as body,
        coalesce({ENTRY}, false) as states_entry,
        {of_broken_rule(RULES, "code")} as reject_code,
        {of_broken_rule(RULES, "message")} as reject_words,
        raw
    from (
        select *, {first_broken(RULES)} as broken,
            nullif(case when starts_with(o_data,
                '{{') then cast(json_merge_patch(o_data, {removal}) as varchar) end, '{{}}') as data_extra,
            case when starts_with(o_metadata, '{{') then {metadata_values("o_metadata")} end as from_metadata
        from (
            select *, regexp_replace(lower(f_type), '^paywall\\.', '') as event_type,
                coalesce(f_paywallId, f_data_paywall) as paywall_id,
                coalesce(f_wallet, f_external, f_subject_external) as user_id,
                {values}
            from ({stated})
        )
    )"""
