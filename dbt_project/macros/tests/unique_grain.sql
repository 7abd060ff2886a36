{#- Test that the columns identify a row, and that none of them is NULL. -#}
{% test unique_grain(model, columns, bounded_by=none) %}

select {{ columns | join(', ') }}
from ({{ bounded(model, bounded_by) }}) as bounded
group by {{ columns | join(', ') }}
having
    count(*) > 1
    {%- for column in columns %}
    or {{ column }} is null
    {%- endfor %}

{% endtest %}
