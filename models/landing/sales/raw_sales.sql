{{ config(materialized='load_files', feed='sales', full_refresh=false) }}

-- depends_on: {{ source('landing', 'landed_files') }}, {{ source('landing', 'refused_files') }}
-- depends_on: {{ source('landing', 'released_files') }}
-- The files of raw/sales/<date>/: the materialization reads them, no query does.
