{{ config(tags=['bills']) }}

select
    name,
    provider
from {{ source('price_book', 'bill_providers') }}
