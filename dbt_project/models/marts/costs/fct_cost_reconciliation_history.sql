{{ config(tags=['bills']) }}

-- depends_on: {{ ref('stg_run__settings') }}
{{ history_of_breaks(source('run', 'published_cost_breaks'), ref('fct_cost_reconciliation')) }}
