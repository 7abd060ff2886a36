{#-
    Return the history of the breaks of some cases: `published` is the history that readers have seen, `cases`
    the present cases.
-#}
{% macro history_of_breaks(published, cases) -%}
with

published as (select * from {{ published }}),

breaks as (select * from {{ cases }} where status = 'break'),

settings as (select * from {{ ref('stg_run__settings') }}),

before as (

    select
        case_id,
        break_type,
        max(closed_at) as last_closed_at,
        bool_or(closed_at is null) as is_open
    from published
    group by case_id, break_type

),

carried as (

    select
        published.case_id,
        published.break_type,
        published.priority,
        published.opened_at,
        case
            when published.closed_at is not null then published.closed_at
            when breaks.case_id is null then greatest(settings.as_of, published.opened_at)
        end as closed_at
    from published
    cross join settings
    left join breaks on published.case_id = breaks.case_id and published.break_type = breaks.break_type

),

-- A break opens at the time of the event that caused it, not at the time of the run that found it. A break
-- that recurs opens no earlier than it last closed.
opened as (

    select
        breaks.case_id,
        breaks.break_type,
        breaks.priority,
        coalesce(greatest(breaks.broken_since, before.last_closed_at), breaks.broken_since) as opened_at,
        cast(null as {{ instant_type() }}) as closed_at
    from breaks
    left join before on breaks.case_id = before.case_id and breaks.break_type = before.break_type
    where not coalesce(before.is_open, false)

)

select * from carried
union all
select * from opened
{%- endmacro %}
