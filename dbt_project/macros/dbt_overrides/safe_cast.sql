{#- dbt's own macro, by which rows of unit tests get their types. Spark casts no text to a list: `[a, b]`, as DuckDB takes it, becomes one. -#}
{% macro spark__safe_cast(field, type) -%}
    {%- if type == 'array<string>' and field is string and field.startswith("'[") -%}
        {%- set values = field[2:-2].split(', ') | select | list -%}
        cast(array({% for value in values %}'{{ value }}'{{ ', ' if not loop.last }}{% endfor %}) as {{ type }})
    {%- else -%}
        cast({{ field }} as {{ type }})
    {%- endif -%}
{%- endmacro %}
