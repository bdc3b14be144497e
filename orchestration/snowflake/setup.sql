-- What an administrator runs once in an account, and again after an upgrade: nothing that is there is replaced.
--
--     snow sql -f orchestration/snowflake/setup.sql \
--         -D "landing_url=s3://company-data-lake/" \
--         -D "aws_role_arn=arn:aws:iam::123456789012:role/landing-zone" \
--         -D "public_key=$(grep -v PUBLIC etl_user.pub | tr -d '\n')"
--
-- by a person who may use SYSADMIN, SECURITYADMIN and ACCOUNTADMIN; docs/to-production.md has the steps around it.

-- ROLES. A role for each kind of work, all of them below SYSADMIN; a person or a program gets one.
use role securityadmin;

create role if not exists loader comment = 'Reads the files of the landing zone';
create role if not exists transformer comment = 'dbt: owns the tables and views of staging and prod';
create role if not exists reader comment = 'Reads prod';
create role if not exists developer comment = 'Reads prod and staging; builds in schemas of its own';

grant role loader to role transformer;
grant role loader to role developer;
grant role reader to role developer;
grant role transformer to role sysadmin;
grant role developer to role sysadmin;

-- WAREHOUSES. By kind of work: people's queries never wait behind a load, nor a load behind them.
use role sysadmin;

create warehouse if not exists compute_wh
    warehouse_size = 'XSMALL'
    auto_suspend = 60
    auto_resume = true
    initially_suspended = true
    -- A statement that hangs is not paid for all night; the DAG is to be complete within two hours.
    statement_timeout_in_seconds = 3600
    statement_queued_timeout_in_seconds = 600
    comment = 'Loads and transformations';

create warehouse if not exists reading_wh
    warehouse_size = 'XSMALL'
    auto_suspend = 60
    auto_resume = true
    initially_suspended = true
    statement_timeout_in_seconds = 600
    statement_queued_timeout_in_seconds = 120
    comment = 'Questions of people and dashboards';

grant usage on warehouse compute_wh to role transformer;
-- What is built beside production is a load and transformations too.
grant usage on warehouse compute_wh to role developer;
grant usage on warehouse reading_wh to role reader;

-- DATABASE AND SCHEMAS. Permanent: raw rows and registers cannot be computed anew once their files are gone. What can
-- is made transient by dbt, table by table.
create database if not exists analytics comment = 'What the landing zone comes to';
-- With managed access nobody but SYSADMIN grants what is in them: who reads production is decided here.
create schema if not exists analytics.staging with managed access
    comment = 'Raw and typed rows, and the registers of files';
create schema if not exists analytics.prod with managed access
    comment = 'What readers read';

-- A schema of its own: of transformer for an audit, which is dropped after it; of a developer for his work.
grant create schema on database analytics to role transformer;
grant create schema on database analytics to role developer;
grant usage on database analytics to role loader;
grant usage on database analytics to role reader;

grant usage, create table, create view, create sequence on schema analytics.staging to role transformer;
grant usage, create table, create view on schema analytics.prod to role transformer;
grant usage on schema analytics.staging to role loader;
grant usage on schema analytics.staging to role developer;
grant usage on schema analytics.prod to role reader;

-- What is there, and what dbt will make.
grant select on all tables in schema analytics.prod to role reader;
grant select on all views in schema analytics.prod to role reader;
grant select on all tables in schema analytics.staging to role developer;
grant select on all views in schema analytics.staging to role developer;

use role securityadmin;

grant select on future tables in schema analytics.prod to role reader;
grant select on future views in schema analytics.prod to role reader;
grant select on future tables in schema analytics.staging to role developer;
grant select on future views in schema analytics.staging to role developer;

-- THE LANDING ZONE. Snowflake reads the bucket as an AWS role, with no key; `desc integration landing_zone` tells whom
-- that role is to trust.
use role accountadmin;

create storage integration if not exists landing_zone
    type = external_stage
    storage_provider = 'S3'
    enabled = true
    storage_aws_role_arn = '<% aws_role_arn %>'
    storage_allowed_locations = ('<% landing_url %>');

grant usage on integration landing_zone to role sysadmin;

-- Else a session that is open may not see at once what another has committed; a merge is to see the one before it.
alter account set read_consistency_mode = 'GLOBAL';

use role sysadmin;

create stage if not exists analytics.staging.landing_zone
    url = '<% landing_url %>'
    storage_integration = landing_zone
    comment = 'The landing root: raw/<feed>/<date>/...';

-- Strict: no escape but the doubled quote, no text that stands for null; an empty field is empty, so that null is a
-- field that is missing.
create file format if not exists analytics.staging.landing_csv
    type = csv
    skip_header = 1
    field_optionally_enclosed_by = '"'
    escape_unenclosed_field = none
    null_if = ()
    empty_field_as_null = false
    skip_blank_lines = true;

-- A file as lines, for its header.
create file format if not exists analytics.staging.landing_line
    type = csv
    field_delimiter = none
    escape_unenclosed_field = none
    null_if = ()
    empty_field_as_null = false
    replace_invalid_characters = true;

-- Messages, whose keys and values are bytes.
create file format if not exists analytics.staging.landing_parquet
    type = parquet
    binary_as_text = false
    use_logical_type = true;

grant usage on stage analytics.staging.landing_zone to role loader;
grant usage on file format analytics.staging.landing_csv to role loader;
grant usage on file format analytics.staging.landing_line to role loader;
grant usage on file format analytics.staging.landing_parquet to role loader;

-- THE USER of Airflow and dbt: a key pair, no password. `alter user ... set rsa_public_key_2` turns the key over.
use role securityadmin;

create user if not exists etl_user
    type = service
    rsa_public_key = '<% public_key %>'
    default_role = transformer
    default_warehouse = compute_wh
    default_namespace = analytics.staging
    comment = 'Airflow and dbt';

alter user etl_user set
    -- Else a session has the privileges of all roles of the user.
    default_secondary_roles = ()
    -- As long as a statement of who holds it may take; half a day, as Snowflake comes, is longer than anybody waits.
    lock_timeout = 3600
    -- A statement whose client is gone ends within minutes, and with it the lock that it holds.
    abort_detached_query = true;

grant role transformer to user etl_user;
-- For `make changed`: in this role it can read production, and write nothing there.
grant role developer to user etl_user;
