{#-
    dbt's own macro for what a table with a contract is made from. Where Spark writes Parquet by itself, each task would write a file for every day that it has a
    row of: the rows of a day are gathered first, and those of a hot day are split again. Iceberg asks for that by itself.
-#}
{% macro spark__get_select_subquery(sql) -%}
    select {{ gathered_by_day() }} {{ adapter.dispatch('get_column_names', 'dbt')() }}
    from (
        {{ sql }}
    ) as model_subq
{%- endmacro %}

{% macro gathered_by_day() -%}
    {%- if config.get('file_format') == 'parquet' and config.get('partition_by') -%}/*+ rebalance({{ config.get('partition_by') }}) */{%- endif -%}
{%- endmacro %}
