{#- Return columns of a select from `entries` that classify an entry (docs/contract.md#41-per-entry). -#}
{% macro counted_as() -%}
    entries.entry_type = 'charge' and entries.status in ('settled', 'failed', 'reversed') as is_counted_charge,
        entries.entry_type = 'charge' and entries.status = 'settled' as is_settled_charge,
        entries.entry_type = 'charge' and entries.status = 'failed' as is_failed_charge,
        entries.entry_type = 'deposit' and entries.status = 'settled' as is_settled_deposit,
        entries.entry_type = 'refund' and entries.status = 'settled' and coalesce(entries.related_entry_type, 'unknown') <> 'deposit' as is_usage_refund
{%- endmacro %}
