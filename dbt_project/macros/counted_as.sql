{#-
    Return columns of a select from `entries` that classify an entry (docs/contract.md#41-per-entry).
    `counted_cost` is the cost that counts in totals of the entry's currency: one in another is unknown there.
-#}
{% macro counted_as() -%}
    entries.entry_type = 'charge' and entries.status in ('settled', 'failed', 'reversed') as is_counted_charge,
        entries.entry_type = 'charge' and entries.status = 'settled' as is_settled_charge,
        entries.entry_type = 'charge' and entries.status = 'failed' as is_failed_charge,
        entries.entry_type = 'deposit' and entries.status = 'settled' as is_settled_deposit,
        entries.entry_type = 'refund' and entries.status = 'settled' and coalesce(entries.related_entry_type, 'unknown') <> 'deposit' as is_usage_refund,
        case
            when entries.provider_cost_currency <> entries.currency then null
            when entries.entry_type = 'charge' and entries.status in ('settled', 'failed', 'reversed') then entries.provider_cost
        end as counted_cost
{%- endmacro %}
