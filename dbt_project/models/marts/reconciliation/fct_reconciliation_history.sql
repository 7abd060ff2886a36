-- depends_on: {{ ref('stg_run__settings') }}
{{ history_of_breaks(source('run', 'published_breaks'), ref('fct_reconciliation')) }}
