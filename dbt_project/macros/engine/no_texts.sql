{#- Return an empty list of texts. -#}
{% macro no_texts() -%}
    {{ return(adapter.dispatch('no_texts', 'paywall_warehouse')()) }}
{%- endmacro %}

{% macro duckdb__no_texts() -%}
    [''][1:0]
{%- endmacro %}

{% macro spark__no_texts() -%}
    cast(array() as array<string>)
{%- endmacro %}
