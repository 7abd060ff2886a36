{{ config(tags=['bills']) }}

select
    provider,
    project,
    key,
    scope,
    place
from {{ source('price_book', 'bill_scopes') }}
