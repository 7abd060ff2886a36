{#- Return the sums of deposits (docs/contract.md#42-metrics) over rows with the columns of `counted_as`. -#}
{% macro deposit_sums() -%}
    {{ money("sum(amount) filter (where is_settled_deposit and funding = 'paid')") }} as deposits,
        {{ money("sum(amount) filter (where is_settled_deposit and funding = 'promo')") }} as promo_deposits
{%- endmacro %}
