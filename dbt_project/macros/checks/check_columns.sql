{#-
    The columns of a check, as ops.invariants has them; all but `name` are expressions. A check holds where `expected` and `actual` are equal. `query` finds what
    does not hold, under the names of tables in the build file. `ordinal` orders the rows of one check.
-#}
{% macro check_columns(name, expected, actual, query, scope="'all'", severity='error', ordinal='1') -%}
    '{{ name }}' as name,
        {{ scope }} as scope,
        {{ money(expected) }} as expected,
        {{ money(actual) }} as actual,
        '{{ severity }}' as severity,
        {{ query }} as query,
        cast({{ ordinal }} as bigint) as ordinal
{%- endmacro %}

{#- A query as the literal that `check_columns` takes, on one line. -#}
{% macro query_literal(query) -%}
    {{ text_literal(query.split() | join(' ')) }}
{%- endmacro %}
