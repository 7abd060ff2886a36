{{ config(severity='warn', meta={'why': 'Such refunds count as refunds of usage until the entry that they are about arrives.'}) }}

select
    entry_id,
    related_entry_id,
    user_id,
    currency,
    refunds
from {{ ref('fct_ledger_entries') }}
where entry_type = 'refund' and related_entry_id is not null and related_entry_type is null
