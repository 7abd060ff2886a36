{#-
    A table's rows; on an incremental run only those of touched `entries` or `user_days`, where no other row can have changed.
    A test knows the macros that it names, and no others: hence no lookup by name.
-#}
{% macro bounded(model, by) -%}
    {%- if by == 'entries' -%}
        {%- set touched, condition = touched_entries(), 'present.entry_id = touched.entry_id' -%}
    {%- elif by == 'user_days' -%}
        {%- set touched, condition = touched_user_days(), 'present.date_day = touched.entry_date and present.user_id = touched.user_id' -%}
    {%- endif -%}
    select present.*
    from {{ model }} as present
    {%- if by and not is_rebuild() %}
    semi join ({{ touched }}) as touched on {{ condition }}
    {%- endif %}
{%- endmacro %}
