{#- Return the columns of a statement about an entry, from the ledger or from a webhook. -#}
{% macro entry_columns() -%}
    {{ return([
        'entry_id', 'related_entry_id', 'user_id', 'paywall_id', 'request_id', 'payment_intent_id', 'charge_id', 'checkout_session_id', 'payment_id',
        'entry_type', 'status', 'billing', 'model', 'rail', 'funding', 'reason', 'metadata', 'currency', 'amount', 'provider_cost',
        'provider_cost_currency', 'platform_fees',
        'prompt_tokens', 'completion_tokens', 'total_tokens', 'cached_tokens', 'reasoning_tokens', 'occurred_at', 'updated_at',
    ]) }}
{%- endmacro %}
