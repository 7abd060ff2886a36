{#-
    For `dbt run-operation` before a build on a cluster: check the settings of sessions, run the questions,
    which must have no answer, then run the statements with which the cluster finds the lake. Without these
    settings Spark drops digits of sums of wide decimals, returns NULL for a sum that overflows, and uses the
    days of another time zone.
-#}
{% macro prepare_cluster(questions, statements) -%}
    {%- set needed = {'spark.sql.decimalOperations.allowPrecisionLoss': 'false', 'spark.sql.session.timeZone': 'UTC'} -%}
    {%- if env_var('SPARK_METHOD', 'thrift') != 'session' -%}{%- do needed.update({'spark.sql.ansi.enabled': 'true'}) -%}{%- endif -%}
    {%- for name, value in needed.items() -%}
        {%- set found = run_query('set ' ~ name).rows[0][1] -%}
        {%- if found | string | lower != value | lower -%}
            {%- do exceptions.raise_compiler_error('Sessions of this cluster have ' ~ name ~ ' = ' ~ found ~ '; builds need ' ~ value ~ ': allow it to be set.') -%}
        {%- endif -%}
    {%- endfor -%}
    {#-
        With Iceberg's extension, version 1.9, a replaced view of the session's catalog keeps its old text and
        returns its old numbers.
    -#}
    {%- set probe = generate_schema_name('ops', none) ~ '.replaced' -%}
    {%- do run_statement('create schema if not exists ' ~ generate_schema_name('ops', none)) -%}
    {%- for value in (1, 2) -%}{%- do run_statement('create or replace view ' ~ probe ~ ' as select ' ~ value ~ ' as value') -%}{%- endfor -%}
    {%- if run_query('select value from ' ~ probe).rows[0][0] | int != 2 -%}
        {%- do exceptions.raise_compiler_error('Views of this cluster are not replaced: leave IcebergSparkSessionExtensions out of spark.sql.extensions.') -%}
    {%- endif -%}
    {%- for question in questions -%}
        {%- set found = run_query(question.query).columns[0].values() -%}
        {%- if found -%}{%- do exceptions.raise_compiler_error(question.problem ~ ': ' ~ found | join(', ')) -%}{%- endif -%}
    {%- endfor -%}
    {%- for each in statements -%}{%- do run_statement(each) -%}{%- endfor -%}
{%- endmacro %}
