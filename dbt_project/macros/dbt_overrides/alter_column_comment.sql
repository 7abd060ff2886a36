{#-
    Of a cluster's own tables columns get no comments: each would be a statement of its own, some 250 a build, and dbt-spark asks them as queries, which the Thrift
    server does not answer. The published file has them all.
-#}
{% macro spark__alter_column_comment(relation, column_dict) -%}{%- endmacro %}
