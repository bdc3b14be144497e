{#- Statements that come true together, and the temporary tables that they read: queries by name, in their order.
    dbt-duckdb has begun a transaction, beside which there is no other, and commits it. dbt-snowflake sends each
    statement by itself; there a lock lets one transaction in at a time, and what they read is read under the lock.
    No table is made in them, for that would commit what is open. -#}
{% macro in_transaction(computed={}) %}
    {{ return(adapter.dispatch('in_transaction')(caller(), computed)) }}
{% endmacro %}


{% macro duckdb__in_transaction(statements, computed) %}
{%- for name, query in computed.items() %}
create or replace temporary table {{ name }} as
{{ query }};
{% endfor %}
{{ statements }}
{% endmacro %}


{% macro snowflake__in_transaction(statements, computed) %}
{%- for name, query in computed.items() %}
create or replace temporary table {{ name }} as
{{ query }}
limit 0;
{% endfor %}
begin;

update {{ merge_lock() }} set turn = turn + 1;
{% for name, query in computed.items() %}
insert into {{ name }}
{{ query }};
{% endfor %}
{{ statements }}
commit;
{% endmacro %}
