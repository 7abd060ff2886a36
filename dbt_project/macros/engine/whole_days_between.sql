{#- Return the number of whole days, of 24 hours each, between two instants, to the microsecond. -#}
{% macro whole_days_between(from_instant, to_instant) -%}
    {{ return(adapter.dispatch('whole_days_between', 'paywall_warehouse')(from_instant, to_instant)) }}
{%- endmacro %}

{% macro duckdb__whole_days_between(from_instant, to_instant) -%}
    cast((epoch_us({{ to_instant }}) - epoch_us({{ from_instant }})) // 86400000000 as integer)
{%- endmacro %}

{% macro spark__whole_days_between(from_instant, to_instant) -%}
    cast((unix_micros({{ to_instant }}) - unix_micros({{ from_instant }})) div 86400000000 as integer)
{%- endmacro %}
