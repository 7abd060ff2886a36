{#- Delete the rows of a table that a query (alias `touched`) matches. -#}
{% macro delete_matching(relation, touched, condition) -%}
    {{ return(adapter.dispatch('delete_matching', 'paywall_warehouse')(relation, touched, condition)) }}
{%- endmacro %}

{% macro duckdb__delete_matching(relation, touched, condition) -%}
    delete from {{ relation }} as present
    using ({{ touched }}) as touched
    where {{ condition }}
{%- endmacro %}
