{#-
    Return the rows of a table. On an incremental run these are only the rows of touched `entries` or
    `user_days`, because no other row can have changed, or of touched `user_periods`, because open periods are
    computed by the same statement. dbt's tests know only the macros that they name, so the macro is not looked
    up by name.
-#}
{% macro bounded(model, by) -%}
    {%- if by == 'entries' -%}
        {%- set touched, condition = touched_entries(), 'present.entry_id = touched.entry_id' -%}
    {%- elif by == 'user_days' -%}
        {%- set touched, condition = touched_user_days(), 'present.date_day = touched.entry_date and present.user_id = touched.user_id' -%}
    {%- elif by == 'user_periods' -%}
        {%- set touched = touched_user_periods() -%}
        {%- set condition = 'present.period_kind = touched.period_kind and present.period_start = touched.period_start and present.user_id = touched.user_id' -%}
    {%- endif -%}
    select present.*
    from {{ model }} as present
    {%- if by and not is_rebuild() %}
    semi join ({{ touched }}) as touched on {{ condition }}
    {%- endif %}
{%- endmacro %}
