{#- Return the first day of the month a number of months later. -#}
{% macro add_months(month, months) -%}
    {{ return(adapter.dispatch('add_months', 'paywall_warehouse')(month, months)) }}
{%- endmacro %}

{% macro duckdb__add_months(month, months) -%}
    cast({{ month }} + to_months(cast({{ months }} as integer)) as date)
{%- endmacro %}

{% macro spark__add_months(month, months) -%}
    add_months({{ month }}, cast({{ months }} as integer))
{%- endmacro %}
