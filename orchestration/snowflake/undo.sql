-- Takes back all that setup.sql made, in an account that is to be rid of it. The database goes WITH ALL ITS DATA:
-- Snowflake keeps it for the days of its retention (`undrop database analytics`), then for no one.
--
--     snow sql -f orchestration/snowflake/undo.sql

use role securityadmin;

drop user if exists etl_user;

use role sysadmin;

drop database if exists analytics;
drop warehouse if exists reading_wh;
drop warehouse if exists compute_wh;

use role accountadmin;

drop integration if exists landing_zone;
-- Others in the account may rely on `read_consistency_mode` by now: `alter account unset` it if nobody does.

use role securityadmin;

drop role if exists developer;
drop role if exists reader;
drop role if exists transformer;
drop role if exists loader;
