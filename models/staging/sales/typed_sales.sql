{{ config(
    materialized='incremental',
    incremental_strategy='append',
    post_hook=["{{ mark_typed() if not is_audit() }}", "{{ drop_temporary_tables() if execute }}"]
) }}

-- depends_on: {{ ref('raw_sales') }}, {{ ref('currencies') }}, {{ source('landing', 'landed_files') }}
{{ type_rows('typed_sales', ref('raw_sales'), landings_to_type(), key='sale_id') }}
