{#- Delete the rows of a table (alias `present`) that those of a query match. -#}
{% macro delete_matching(relation, rows, alias, condition) -%}
    {{ return(adapter.dispatch('delete_matching', 'paywall_warehouse')(relation, rows, alias, condition)) }}
{%- endmacro %}

{% macro duckdb__delete_matching(relation, rows, alias, condition) -%}
    delete from {{ relation }} as present
    using ({{ rows }}) as {{ alias }}
    where {{ condition }}
{%- endmacro %}

{#- Plain Parquet has no rows to delete. -#}
{% macro spark__delete_matching(relation, rows, alias, condition) -%}
    {% if execute %}{{ exceptions.raise_compiler_error('On Spark everything is built anew: call dbt with --full-refresh.') }}{% endif %}
{%- endmacro %}
