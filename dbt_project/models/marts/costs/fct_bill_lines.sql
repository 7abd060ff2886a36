{{ config(tags=['bills']) }}

with

lines as (select * from {{ ref('stg_bills__lines') }} where billed_amount is not null),

statements as (select * from {{ ref('int_bills__statements') }} where is_counted),

models as (select * from {{ ref('int_bills__models') }}),

scopes as (select * from {{ ref('stg_bills__scopes') }}),

counted as (

    select lines.*
    from lines
    semi join statements
        on
            lines.bucket = statements.bucket
            and lines.batch_seq = statements.batch_seq
            and lines.file_no = statements.file_no
            and lines.bucket_no = statements.bucket_no

),

origins as (

    select distinct
        provider,
        coalesce(project, '') as project,
        coalesce(key, '') as key
    from counted

),

-- The row with most fields holds, of equals the later one.
scoped as (

    select
        origins.*,
        scopes.scope,
        row_number() over (
            partition by origins.provider, origins.project, origins.key
            order by
                case when scopes.provider is null then 0 else 1 end
                + case when scopes.project is null then 0 else 1 end
                + case when scopes.key is null then 0 else 1 end desc,
                scopes.place desc
        ) as position
    from origins
    inner join scopes
        on
            (scopes.provider is null or origins.provider = scopes.provider)
            and (scopes.project is null or origins.project = scopes.project)
            and (scopes.key is null or origins.key = scopes.key)

)

select
    ---------- ids
    md5(
        counted.sha256
        || ':' || cast(counted.line as {{ text_type() }})
        || ':' || cast(counted.bucket_no as {{ text_type() }})
        || ':' || cast(counted.position as {{ text_type() }})
    ) as bill_line_id,
    counted.provider,
    counted.account,

    ---------- time
    counted.usage_date,

    ---------- what
    case when counted.model_as_billed is null then 'unknown' else coalesce(models.model_id, 'unknown') end as model_id,
    counted.model_as_billed,
    counted.charge_category,
    counted.token_kind,
    cast(counted.quantity as decimal(38, 12)) as quantity,
    counted.unit,

    ---------- money
    cast(counted.billed_amount as decimal(38, 12)) as billed_amount,
    counted.currency,

    ---------- whose
    counted.project,
    counted.key,
    coalesce(scoped.scope, 'sold') as scope,
    coalesce(scoped.scope, 'sold') = 'sold' and counted.charge_category = 'usage' and not counted.is_long as is_compared,

    ---------- how the bill states it
    counted.format,
    counted.is_rounded,
    counted.is_correction,
    counted.invoice_id,

    ---------- where from
    counted.path,
    counted.line
from counted
left join models on counted.provider = models.provider and counted.model_as_billed = models.model_as_billed
left join scoped
    on
        counted.provider = scoped.provider
        and coalesce(counted.project, '') = scoped.project
        and coalesce(counted.key, '') = scoped.key
        and scoped.position = 1
