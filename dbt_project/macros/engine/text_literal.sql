{#- Return a text as a literal. -#}
{% macro text_literal(text) -%}
    {{ return(adapter.dispatch('text_literal', 'paywall_warehouse')(text)) }}
{%- endmacro %}

{% macro duckdb__text_literal(text) -%}
    '{{ text | replace("'", "''") }}'
{%- endmacro %}

{% macro spark__text_literal(text) -%}
    '{{ text | replace("\\", "\\\\") | replace("'", "\\'") }}'
{%- endmacro %}
