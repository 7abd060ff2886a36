{#-
    Override of dbt's macro that gives rows of unit tests their types. Spark does not cast text to a list, so
    `[a, b]`, as DuckDB accepts it, is converted here.
-#}
{% macro spark__safe_cast(field, type) -%}
    {%- if type == 'array<string>' and field is string and field.startswith("'[") -%}
        {%- set values = field[2:-2].split(', ') | select | list -%}
        cast(array({% for value in values %}'{{ value }}'{{ ', ' if not loop.last }}{% endfor %}) as {{ type }})
    {%- else -%}
        cast({{ field }} as {{ type }})
    {%- endif -%}
{%- endmacro %}
