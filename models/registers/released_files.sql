{{ config(materialized='register') }}

-- The columns are those of its properties file.
-- Its rows are written by `make release` (macros/operations/release_file.sql).
