{#- Return net revenue and profits (docs/contract.md#42-metrics). `of` is the alias of the rows. -#}
{% macro net_revenue(of) -%}
    {{ of }}.revenue - {{ of }}.refunds
{%- endmacro %}

{% macro profit(of) -%}
    {{ of }}.revenue - {{ of }}.provider_cost - {{ of }}.platform_fees
{%- endmacro %}

{% macro net_profit(of) -%}
    {{ net_revenue(of) }} - {{ of }}.provider_cost - {{ of }}.platform_fees
{%- endmacro %}
