{#- Return the kinds of periods by which growth is reported. -#}
{% macro period_kinds() -%}
    {{ return(['week', 'month', 'days_28']) }}
{%- endmacro %}

{#- Return the first day of the period of a kind that holds a day. -#}
{% macro period_start(kind, day) -%}
    {%- if kind == 'month' -%}
    cast(date_trunc('month', {{ day }}) as date)
    {%- else -%}
    {#- 2001-01-01 was a Monday. The remainder of a day before it is negative. -#}
    {%- set days = 7 if kind == 'week' else 28 -%}
    {{ add_days(day, '-(((' ~ days_between("date '2001-01-01'", day) ~ ' % ' ~ days ~ ') + ' ~ days ~ ') % ' ~ days ~ ')') }}
    {%- endif -%}
{%- endmacro %}

{#- Return the first day of the period that starts a number of periods after another one. -#}
{% macro later_period(kind, start, periods) -%}
    {%- if kind == 'month' -%}
    {{ add_months(start, periods) }}
    {%- else -%}
    {{ add_days(start, periods * (7 if kind == 'week' else 28)) }}
    {%- endif -%}
{%- endmacro %}
