{{ config(materialized='register', meta={'formerly': 'touched_days'}) }}

-- The columns are those of its properties file.
-- Its rows are written by the merge of sales, and taken away by sales_by_day (macros/newest/stale_days.sql).
