{#-
    Return the last CTEs of a model that checks rows of files. A check without faults has one row. A check
    with faults has a row for each of the first ones and one row that counts all further faults. The model has
    the CTE `faults` with the columns name, path, line, id, expected, actual and those of `order_by`. `checks`
    is a list of (name, severity, query).
-#}
{% macro checks_of_faults(checks, order_by) -%}
{%- set rows_shown = 20 -%}
checks as (

    {% for name, severity, query in checks %}
    select
        '{{ name }}' as name,
        '{{ severity }}' as severity,
        {{ query_literal(query) }} as query
    {% if not loop.last %}union all{% endif %}
    {% endfor %}

),

numbered as (

    select
        name,
        path || ':' || cast(line as {{ text_type() }}) || ' ' || coalesce(id, 'None') as place,
        expected,
        actual,
        row_number() over (partition by name order by {{ order_by | join(', ') }}) as position,
        count(*) over (partition by name) as faults
    from faults

)

select
    checks.name,
    case
        when numbered.position is null then 'all'
        when numbered.position > {{ rows_shown }} then 'more rows'
        else numbered.place
    end as scope,
    case when numbered.position <= {{ rows_shown }} then {{ money('numbered.expected') }} else {{ money('0') }} end as expected,
    case
        when numbered.position <= {{ rows_shown }} then {{ money('numbered.actual') }}
        else {{ money('numbered.faults - ' ~ rows_shown) }}
    end as actual,
    checks.severity,
    checks.query,
    cast(coalesce(numbered.position, 1) as bigint) as ordinal
from checks
left join numbered on checks.name = numbered.name and numbered.position <= {{ rows_shown + 1 }}
{%- endmacro %}
