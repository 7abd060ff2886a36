{#- Return an instant a number of days, of 24 hours each, later. -#}
{% macro later_by_days(instant, days) -%}
    {{ return(adapter.dispatch('later_by_days', 'paywall_warehouse')(instant, days)) }}
{%- endmacro %}

{% macro duckdb__later_by_days(instant, days) -%}
    ({{ instant }} + to_hours(24 * cast({{ days }} as integer)))
{%- endmacro %}

{% macro spark__later_by_days(instant, days) -%}
    timestampadd(hour, 24 * cast({{ days }} as integer), {{ instant }})
{%- endmacro %}
