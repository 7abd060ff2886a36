{#- How many times 24 hours have passed between two instants. -#}
{% macro whole_days_between(from_instant, to_instant) -%}
    {{ return(adapter.dispatch('whole_days_between', 'paywall_warehouse')(from_instant, to_instant)) }}
{%- endmacro %}

{% macro duckdb__whole_days_between(from_instant, to_instant) -%}
    cast(date_sub('hour', {{ from_instant }}, {{ to_instant }}) // 24 as integer)
{%- endmacro %}
