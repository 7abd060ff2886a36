select
    as_of,
    today,
    reporting_timezone,
    default_currency,
    low_balance,
    manual_charge_settles_on,
    promo_reasons,
    expiry_reasons,
    promo_first,
    recon_grace_days,
    cost_tolerance_abs,
    cost_tolerance_rel,
    cost_grace_days
from {{ source('run', 'settings') }}
