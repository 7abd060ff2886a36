{#- A count, or a sum of counts: BIGINT, 0 where nothing was counted. -#}
{% macro whole(expression) -%}
    cast(coalesce({{ expression }}, 0) as bigint)
{%- endmacro %}
