{#-
    Incremental strategy `replace_touched`: the rows that the model's `touched_rows` names are deleted, whether or not they still exist, and the new ones
    inserted. `touched_rows` is the name of a macro that gives a query, `touched_match` the condition between its rows (`touched`) and the table's (`present`).
    The materialization runs both in one transaction. An adapter that cannot delete rows replaces partitions here instead.
-#}
{% macro get_incremental_replace_touched_sql(arg_dict) -%}
    {%- set columns = arg_dict['dest_columns'] | map(attribute='name') | join(', ') -%}

    {{ delete_matching(arg_dict['target_relation'], context[config.require('touched_rows')](), config.require('touched_match')) }};

    insert into {{ arg_dict['target_relation'] }} ({{ columns }})
    select {{ columns }}
    from {{ arg_dict['temp_relation'] }}
{%- endmacro %}
