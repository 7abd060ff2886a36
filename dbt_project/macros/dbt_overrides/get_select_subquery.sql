{#-
    Override of dbt's macro for the query of a table with a contract. Where Spark writes Parquet itself, each
    task would write a file for every day of which it has a row. Rows are therefore gathered by day, and those
    of a large day are split again. Iceberg requests this itself.
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
