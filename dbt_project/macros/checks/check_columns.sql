{#-
    Return the columns of a check, as in ops.invariants. All arguments but `name` and `severity` are
    expressions. A check holds if `expected` and `actual` are equal. `query` finds the rows that violate it,
    with the table names of the build file. `ordinal` orders the rows of one check.
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

{#- Return a query on one line as the literal that `check_columns` takes. -#}
{% macro query_literal(query) -%}
    {{ text_literal(query.split() | join(' ')) }}
{%- endmacro %}
