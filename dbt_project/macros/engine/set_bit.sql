{#- Return a whole number with only the nth bit set, counted from 0. -#}
{% macro set_bit(n) -%}
    {{ return(adapter.dispatch('set_bit', 'paywall_warehouse')(n)) }}
{%- endmacro %}

{% macro duckdb__set_bit(n) -%}
    (cast(1 as bigint) << cast({{ n }} as integer))
{%- endmacro %}

{% macro spark__set_bit(n) -%}
    shiftleft(cast(1 as bigint), cast({{ n }} as integer))
{%- endmacro %}
