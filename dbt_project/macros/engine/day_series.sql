{#-
    Return the only column of a select list: a row for every day from the first to the last day, both
    included.
-#}
{% macro day_series(first_day, last_day) -%}
    {{ return(adapter.dispatch('day_series', 'paywall_warehouse')(first_day, last_day)) }}
{%- endmacro %}

{% macro duckdb__day_series(first_day, last_day) -%}
    cast(unnest(generate_series({{ first_day }}, {{ last_day }}, interval 1 day)) as date)
{%- endmacro %}

{% macro spark__day_series(first_day, last_day) -%}
    explode(sequence({{ first_day }}, {{ last_day }}, interval 1 day))
{%- endmacro %}
