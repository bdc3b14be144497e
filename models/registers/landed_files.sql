{{ config(materialized='register', pre_hook="{{ create_what_orders_loads() | join('; ') if execute }}") }}

-- The columns are those of its properties file.
-- Its rows are written by the load of each raw table, its measures by the typing (macros/contract/judge_landings.sql).
