{{ config(severity='warn', meta={'why': 'Deliveries whose activity made no entry, as a completed charge whose created event never came.'}) }}

select
    entry_id,
    event_type,
    versions
from {{ ref('int_entries__orphans') }}
