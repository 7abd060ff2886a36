{{ config(tags=['bills']) }}

select
    provider,
    model_as_billed,
    stated_model_id,
    book_model
from {{ source('price_book', 'billed_models') }}
