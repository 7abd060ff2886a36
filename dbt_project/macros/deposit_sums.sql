{#- Deposits by contract 4.2, from rows that say what they count as (`counted_as`). -#}
{% macro deposit_sums() -%}
    {{ money("sum(amount) filter (where is_settled_deposit and funding = 'paid')") }} as deposits,
        {{ money("sum(amount) filter (where is_settled_deposit and funding = 'promo')") }} as promo_deposits
{%- endmacro %}
