{% test expect_column_to_exist(model, column_name, column_index=None, transform="upper") %}
{%- if execute -%}
{%- set name = dbt_expectations.transformed([dbt_expectations.unquoted(column_name)], transform) | first -%}
{%- set names = dbt_expectations.transformed(dbt_expectations.columns_of(model) | map(attribute='name'), transform) -%}
{%- set found = names.index(name) + 1 if name in names else 0 %}
with column_found as (

    select
        {{ dbt_expectations.text_literal(name) }} as column_name,
        {{ found }} as found_at,
        {{ column_index or 'null' }} as expected_at

)

select *
from column_found
where
    found_at = 0
    or found_at <> expected_at
{%- endif -%}
{% endtest %}
