{#- Return the sums of usage (docs/contract.md#42-metrics) over rows with the columns of `counted_as`. -#}
{% macro usage_sums() -%}
    cast(count(*) filter (where is_settled_charge) as bigint) as charges,
        cast(count(*) filter (where is_counted_charge) as bigint) as counted_charges,
        cast(count(*) filter (where is_failed_charge) as bigint) as failed_charges,
        {{ money('sum(revenue)') }} as revenue,
        {{ money('sum(refunds)') }} as refunds,
        {{ money('sum(counted_cost)') }} as provider_cost,
        {{ money('sum(platform_fees) filter (where is_settled_charge)') }} as platform_fees,
        cast(count(*) filter (where is_counted_charge and counted_cost is null) as bigint) as charges_without_cost
{%- endmacro %}
