{#- Return a sum of money. It is exact, and 0 if nothing was summed. -#}
{% macro money(expression) -%}
    cast(coalesce({{ expression }}, 0) as decimal(38, 12))
{%- endmacro %}
