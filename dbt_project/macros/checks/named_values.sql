{#- Return the branches of a `case` over names of columns. Each branch gives the column of that name. -#}
{% macro named_values(columns, of) -%}
    {%- for column in columns %} when '{{ column }}' then {{ money(of ~ '.' ~ column) }}{% endfor -%}
{%- endmacro %}
