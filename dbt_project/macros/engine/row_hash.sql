{#-
    Return a hash of several values, wide enough to be summed. Spark's hash ignores NULL, so that ('a', NULL)
    would equal (NULL, 'a'). Each value is therefore followed by whether it is NULL.
-#}
{% macro row_hash(expressions) -%}
    {{ return(adapter.dispatch('row_hash', 'paywall_warehouse')(expressions)) }}
{%- endmacro %}

{% macro duckdb__row_hash(expressions) -%}
    hash({{ expressions | join(', ') }})
{%- endmacro %}

{% macro spark__row_hash(expressions) -%}
    cast(xxhash64({% for each in expressions %}{{ each }}, ({{ each }}) is null{{ ', ' if not loop.last }}{% endfor %}) as decimal(38, 0))
{%- endmacro %}
