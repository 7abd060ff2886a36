{#- A sum of money: exact, 0 where nothing was summed. -#}
{% macro money(expression) -%}
    cast(coalesce({{ expression }}, 0) as decimal(38, 12))
{%- endmacro %}
