{#- Return the type of whole numbers with up to 38 digits. -#}
{% macro whole_type() -%}
    {{ return(adapter.dispatch('whole_type', 'paywall_warehouse')()) }}
{%- endmacro %}

{% macro duckdb__whole_type() -%}
    hugeint
{%- endmacro %}

{% macro spark__whole_type() -%}
    decimal(38, 0)
{%- endmacro %}

{#- Return how often a whole number contains another one. Neither is negative. -#}
{% macro whole_quotient(dividend, divisor) -%}
    {{ return(adapter.dispatch('whole_quotient', 'paywall_warehouse')(dividend, divisor)) }}
{%- endmacro %}

{% macro duckdb__whole_quotient(dividend, divisor) -%}
    ({{ dividend }} // {{ divisor }})
{%- endmacro %}

{#- Spark's `div` returns a BIGINT. Without a remainder, its division is exact. -#}
{% macro spark__whole_quotient(dividend, divisor) -%}
    cast(({{ dividend }} - {{ dividend }} % {{ divisor }}) / {{ divisor }} as decimal(38, 0))
{%- endmacro %}

{#- Return NULL instead of an error if a number is too large for its type. -#}
{% macro null_on_overflow(expression) -%}
    {{ return(adapter.dispatch('null_on_overflow', 'paywall_warehouse')(expression)) }}
{%- endmacro %}

{% macro duckdb__null_on_overflow(expression) -%}
    try({{ expression }})
{%- endmacro %}

{% macro spark__null_on_overflow(expression) -%}
    {{ expression }}
{%- endmacro %}
