{{ config(materialized='register', schema='prod', contract={'enforced': true}) }}

-- The columns are those of its properties file.
-- Its rows are written in the transaction of each merge (macros/newest/ledger.sql).
