{#- Return the type of text without a limit. -#}
{% macro text_type() -%}
    {{ return(adapter.dispatch('text_type', 'paywall_warehouse')()) }}
{%- endmacro %}

{% macro duckdb__text_type() -%}
    varchar
{%- endmacro %}

{% macro spark__text_type() -%}
    string
{%- endmacro %}
