{#- dbt-spark's own check knows its own strategies only. Builds on Spark are full ones so far, which need none. -#}
{% macro dbt_spark_validate_get_incremental_strategy(raw_strategy, file_format) -%}
    {{ return(raw_strategy) }}
{%- endmacro %}
