{{ config(
    materialized='incremental',
    incremental_strategy='merge_newest',
    unique_key='sale_id',
    feed={'raw': 'raw_sales', 'contract': 'typed_sales', 'verdicts': 'file_verdicts', 'day': 'sold_at'},
    pre_hook=['{{ stop_if_rows_are_missing() if execute }}', '{{ create_touched_days() }}'],
    post_hook=[
        '{{ recount_ledger() if execute and not is_incremental() }}',
        '{{ mark_all_days() if execute and not (is_incremental() or is_audit()) }}',
        '{{ drop_temporary_tables() if execute }}'
    ]
) }}

-- Every model that a test of the gate reads is named, so that a failing one stops the merge:
-- depends_on: {{ ref('raw_sales') }}, {{ ref('typed_sales') }}, {{ ref('file_verdicts') }}, {{ ref('clean_sales') }}
-- depends_on: {{ ref('rejected_sales') }}, {{ ref('load_ledger') }}, {{ source('landing', 'landed_files') }}

{%- set plan = merge_plan() %}
{%- set sales = (contract_names('typed_sales') + ['source_file', 'source_record']) | join(', ') %}

-- merging landings: {{ plan.arriving }}; replacing: {{ plan.replaced }}
with arriving as (

    select {{ sales }}
    from {{ ref('clean_sales') }}
    where landing_id in ({{ plan.arriving }})

),
{% if plan.replaced != 'null' %}
-- Sales that an earlier content of a restated file had: what other files in force say of them comes back.
coming_back as (

    select {{ sales }}
    from {{ ref('typed_sales') }}
    where
        reject_reasons is null
        and landing_id not in ({{ plan.arriving }}, {{ plan.replaced }})
        and landing_id in ({{ landings_in_force(ref('load_ledger')) }})
        and sale_id in (select sale_id from {{ ref('typed_sales') }} where landing_id in ({{ plan.replaced }}))

),
{% endif %}
candidates as (

    select * from arriving
    {% if plan.replaced != 'null' -%}
    union all
    select * from coming_back
    {%- endif %}

)

select
    sale_id,
    store_id,
    customer_id,
    product_id,
    quantity,
    unit_price,
    discount_amount,
    currency,
    sold_at,
    updated_at,
    source_file,
    source_record
from candidates
{% if plan.several %}
qualify
    row_number() over (
        partition by sale_id
        order by {{ newest_first(contract_names('typed_sales')) }}
    ) = 1
{% endif %}
