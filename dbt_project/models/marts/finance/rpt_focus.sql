{#- A view, so that a build costs nothing where nobody reads it. The cluster has none (dbt_project.yml). -#}
{{ config(materialized='view') }}

{#- Relations without their database, so that the view also works in a copy of the file with another name. -#}
{{ focus_rows(
    ref('fct_ledger_entries').include(database=false),
    ref('dim_dates').include(database=false),
    source('ops', 'settings').include(database=false),
) }}
