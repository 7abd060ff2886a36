{#- Return the number of days between two days. -#}
{% macro days_between(from_day, to_day) -%}
    {{ return(adapter.dispatch('days_between', 'paywall_warehouse')(from_day, to_day)) }}
{%- endmacro %}

{% macro duckdb__days_between(from_day, to_day) -%}
    cast(date_diff('day', {{ from_day }}, {{ to_day }}) as integer)
{%- endmacro %}

{% macro spark__days_between(from_day, to_day) -%}
    datediff({{ to_day }}, {{ from_day }})
{%- endmacro %}
