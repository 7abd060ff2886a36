with

payouts as (select * from {{ ref('stg_stripe__payouts') }} where reporting_category = 'payout')

-- Stripe states payouts as what they do to the balance, below zero; a payout above zero takes money from the bank. Files made by
-- others may state what was paid out, above zero: then most of it is.
select
    account_id,
    case when sum(gross) > 0 then 1 else -1 end as sign
from payouts
group by account_id
