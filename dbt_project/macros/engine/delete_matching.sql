{#- Delete the rows of a table (alias `present`) that those of a query match. -#}
{% macro delete_matching(relation, rows, alias, condition) -%}
    {{ return(adapter.dispatch('delete_matching', 'paywall_warehouse')(relation, rows, alias, condition)) }}
{%- endmacro %}

{% macro duckdb__delete_matching(relation, rows, alias, condition) -%}
    delete from {{ relation }} as present
    using ({{ rows }}) as {{ alias }}
    where {{ condition }}
{%- endmacro %}

{#- Plain Parquet has no rows to delete: there everything is built anew. -#}
{% macro spark__delete_matching(relation, rows, alias, condition) -%}
    delete from {{ relation }} as present
    where exists (select 1 from ({{ rows }}) as {{ alias }} where {{ condition }})
{%- endmacro %}
