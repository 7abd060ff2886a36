{#- Queries for the rows of `fct_user_movements` that a build has to replace. -#}

{#- A touched day changes the movement of its own period and that of the period after it. -#}
{% macro touched_user_periods() -%}
    {%- for kind in period_kinds() %}
    {%- for periods in (0, 1) %}
    select
        '{{ kind }}' as period_kind,
        {{ later_period(kind, period_start(kind, 'entry_date'), periods) }} as period_start,
        user_id
    from {{ source('build', 'touched_keys') }}
    where user_id is not null
    {%- if not loop.last %}
    union
    {%- endif %}
    {%- endfor %}
    {%- if not loop.last %}
    union
    {%- endif %}
    {%- endfor %}
{%- endmacro %}

{#-
    Open periods change without a touched day: today moves on, so that entries dated ahead begin to count and
    new periods begin. All rows from `open_from` on are replaced. That is the last period of the table, because
    the run before had no revenue after it, or the period of today, if AS_OF has moved back.
-#}
{% macro open_periods() -%}
    select
        periods.period_kind,
        least(max(periods.period_start), coalesce(max(known.last_start), min(periods.period_start))) as open_from
    from {{ ref('int_growth__periods') }} as periods
    left join (
        select
            period_kind,
            max(period_start) as last_start
        from {{ this }}
        group by period_kind
    ) as known on periods.period_kind = known.period_kind
    group by periods.period_kind
{%- endmacro %}

{% macro replaced_user_periods() -%}
    {{ touched_user_periods() }}
    union
    select
        known.period_kind,
        known.period_start,
        known.user_id
    from {{ this }} as known
    inner join ({{ open_periods() }}) as open_periods
        on known.period_kind = open_periods.period_kind and known.period_start >= open_periods.open_from
{%- endmacro %}
