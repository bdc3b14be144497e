{{ config(
    materialized='incremental',
    incremental_strategy='append',
    post_hook="{{ mark_typed() if not var('audit', false) }}"
) }}

-- depends_on: {{ ref('raw_sales') }}, {{ ref('currencies') }}, {{ source('landing', 'landed_files') }}
{% if execute %}
{% set arriving %}(
    select * from {{ ref('raw_sales') }} where landing_id in ({{ landings_to_type() }})
) as arriving{% endset %}
{{ type_rows(contract_columns('typed_sales'), arriving) }}
{% endif %}
