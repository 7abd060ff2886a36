{#-
    Return the days that marts.kpis compares, from its parameters. A bound of the previous period that is not
    given is computed from the other bound, or from the period itself.
-#}
{% macro window_length() -%}
    {{ days_between('cast(from_date as date)', 'cast(to_date as date)') }}
{%- endmacro %}

{% macro previous_start() -%}
    coalesce(cast(previous_from as date), {{ add_days('coalesce(cast(previous_to as date), cast(from_date as date))', '-' ~ window_length()) }})
{%- endmacro %}

{% macro previous_end() -%}
    coalesce(cast(previous_to as date), {{ add_days('cast(previous_from as date)', window_length()) }}, cast(from_date as date))
{%- endmacro %}

{#- The bounds of both windows together come first, so that DuckDB can skip row groups outside them. -#}
{% macro is_within_windows(day) -%}
    {{ day }} >= least(cast(from_date as date), {{ previous_start() }}) and {{ day }} < greatest(cast(to_date as date), {{ previous_end() }})
    and ({{ is_within(day) }} or {{ day }} >= {{ previous_start() }} and {{ day }} < {{ previous_end() }})
{%- endmacro %}

{% macro is_within(day) -%}
    {{ day }} >= cast(from_date as date) and {{ day }} < cast(to_date as date)
{%- endmacro %}

{#- Return whether a day is the last one of the range, and `until` leaves some of its entries out. -#}
{% macro is_cut(day) -%}
    (until is not null and {{ day }} = {{ add_days('cast(to_date as date)', '-1') }})
{%- endmacro %}

{#- Return whether an entry is before `until`, if it is on the day that is cut. -#}
{% macro is_before_until() -%}
    (not {{ is_cut('entry_date') }} or occurred_at < until)
{%- endmacro %}
