{{ config(materialized='register') }}

-- The columns are those of its properties file.
-- Its rows are written by the load of messages, from each start.json that it finds.
