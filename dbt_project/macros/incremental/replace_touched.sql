{#-
    Incremental strategy `replace_touched`: the rows that the model's `touched_rows` names are deleted, whether or not they still exist, and the new ones
    inserted. `touched_rows` is the name of a macro that gives a query, `touched_match` the condition between its rows (`touched`) and the table's (`present`).
    A model whose new rows (`fresh`) also replace some that are not touched says so by `fresh_match`.
    The materialization runs all in one transaction. An adapter that cannot delete rows replaces partitions here instead.
-#}
{% macro get_incremental_replace_touched_sql(arg_dict) -%}
    {%- set columns = arg_dict['dest_columns'] | map(attribute='name') | join(', ') -%}

    {{ delete_matching(arg_dict['target_relation'], context[config.require('touched_rows')](), 'touched', config.require('touched_match')) }};

    {% if config.get('fresh_match') -%}
    {{ delete_matching(arg_dict['target_relation'], 'select * from ' ~ arg_dict['temp_relation'], 'fresh', config.get('fresh_match')) }};

    {% endif -%}
    insert into {{ arg_dict['target_relation'] }} ({{ columns }})
    select {{ columns }}
    from {{ arg_dict['temp_relation'] }}
{%- endmacro %}
