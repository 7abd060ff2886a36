{#-
    Incremental strategy `replace_touched`: delete the rows that the model's `touched_rows` names, whether or
    not they still exist, and insert the new ones. `touched_rows` is the name of a macro that returns a query,
    `touched_match` the condition between its rows (`touched`) and those of the table (`present`). A model
    whose new rows (`fresh`) also replace untouched rows sets `fresh_match`. This is the implementation for
    DuckDB, where the materialization runs everything in one transaction. `dbt_spark_get_incremental_sql` does
    the same for Spark.
-#}
{% macro get_incremental_replace_touched_sql(arg_dict) -%}
    {%- set columns = arg_dict['dest_columns'] | map(attribute='name') | join(', ') -%}

    delete from {{ arg_dict['target_relation'] }} as present
    using ({{ context[config.require('touched_rows')]() }}) as touched
    where {{ config.require('touched_match') }};

    {% if config.get('fresh_match') -%}
    delete from {{ arg_dict['target_relation'] }} as present
    using {{ arg_dict['temp_relation'] }} as fresh
    where {{ config.get('fresh_match') }};

    {% endif -%}
    insert into {{ arg_dict['target_relation'] }} ({{ columns }})
    select {{ columns }}
    from {{ arg_dict['temp_relation'] }}
{%- endmacro %}
