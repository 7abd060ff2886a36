{#-
    Merge spans of time into pieces without a gap. A span that begins after the end of all earlier spans
    starts a new piece. `relation` has the columns `keys`, covered_from and covered_until (exclusive). `piece`
    counts from 1 within the keys.
-#}
{% macro gapless_pieces(relation, keys) -%}
    select
        {{ keys | join(', ') }},
        cast(piece as bigint) as piece,
        min(covered_from) as covered_from,
        max(covered_until) as covered_until
    from (
        select
            *,
            sum(case when reached_before is null or covered_from > reached_before then 1 else 0 end) over (
                partition by {{ keys | join(', ') }}
                order by covered_from, covered_until
                rows between unbounded preceding and current row
            ) as piece
        from (
            select
                *,
                max(covered_until) over (
                    partition by {{ keys | join(', ') }}
                    order by covered_from, covered_until
                    rows between unbounded preceding and 1 preceding
                ) as reached_before
            from {{ relation }}
        ) as reached
    ) as numbered
    group by {{ keys | join(', ') }}, piece
{%- endmacro %}
