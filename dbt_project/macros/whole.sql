{#- Return a count, or a sum of counts, as BIGINT. It is 0 if nothing was counted. -#}
{% macro whole(expression) -%}
    cast(coalesce({{ expression }}, 0) as bigint)
{%- endmacro %}
