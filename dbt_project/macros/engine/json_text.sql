{#- Return the text of a key of a JSON object, given as text; NULL without the key. -#}
{% macro json_text(object, key) -%}
    {{ return(adapter.dispatch('json_text', 'paywall_warehouse')(object, key)) }}
{%- endmacro %}

{% macro duckdb__json_text(object, key) -%}
    json_extract_string({{ object }}, '$.{{ key }}')
{%- endmacro %}

{% macro spark__json_text(object, key) -%}
    get_json_object({{ object }}, '$.{{ key }}')
{%- endmacro %}
