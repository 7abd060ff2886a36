{#- Test that each condition is true in every row. NULL counts as not true. -#}
{% test holds(model, conditions, bounded_by=none) %}

select *
from ({{ bounded(model, bounded_by) }}) as bounded
where
    {%- for condition in conditions %}
    {% if not loop.first %}or {% endif %}not coalesce({{ condition }}, false)
    {%- endfor %}

{% endtest %}
