{#- A data test as dbt has it, which counts. If it does not hold, some of the rows that it has found are said
    besides: to people, and to `orchestration/report.py` for the message. One that holds asks nothing more. -#}
{% materialization test, default %}
    {%- set ended = dbt.materialization_test_default() -%}
    {%- do say_failing_rows(sql) -%}
    {{ return(ended) }}
{% endmaterialization %}


{% materialization test, adapter='snowflake' %}
    {%- set ended = dbt.materialization_test_snowflake() -%}
    {%- do say_failing_rows(sql) -%}
    {{ return(ended) }}
{% endmaterialization %}


{% macro say_failing_rows(found) %}
    {%- set failures, is_warning, is_error = load_result('main').table.rows[0].values() -%}
    {%- if is_warning or is_error -%}
        {%- set rows = [] -%}
        {%- for row in run_query(some_rows(found)).rows -%}
            {%- set values = {} -%}
            {%- for name, value in row.items() if value is not none -%}
                {%- do values.update({name | lower: value | string | truncate(2000, leeway=0)}) -%}
            {%- endfor -%}
            {%- do rows.append(values) -%}
            {%- set shown = [] -%}
            {%- for name, value in values.items() -%}
                {%- do shown.append(name ~ '=' ~ modules.re.sub('[\\r\\n]+', ' ', value)) -%}
            {%- endfor -%}
            {%- do log(model.name ~ ' has found: ' ~ shown | join(', '), info=true) -%}
        {%- endfor -%}
        {%- do log(tojson({'failing_rows_of': model.name, 'rows': rows})) -%}
    {%- endif -%}
{% endmacro %}


{% macro some_rows(found) %}
select *
from (
    {{ found }}
) as found
order by 1
limit {{ var('failing_rows_shown') }}
{% endmacro %}
