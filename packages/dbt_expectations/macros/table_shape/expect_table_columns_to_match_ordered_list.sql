{% test expect_table_columns_to_match_ordered_list(model, column_list, transform="upper") %}
{%- do dbt_expectations.check_filled_list('column_list', column_list) -%}
{%- if execute -%}
{%- set names = {
    'missing': dbt_expectations.transformed(column_list, transform),
    'unexpected': dbt_expectations.transformed(dbt_expectations.columns_of(model) | map(attribute='name'), transform),
} -%}
{%- set differences = [] -%}
{%- for problem, other in [('missing', 'unexpected'), ('unexpected', 'missing')] -%}
    {%- for name in names[problem] -%}
        {%- if loop.index0 >= names[other] | length or names[other][loop.index0] != name -%}
            {%- do differences.append([
                dbt_expectations.text_literal(name), loop.index, dbt_expectations.text_literal(problem)
            ]) -%}
        {%- endif -%}
    {%- endfor -%}
{%- endfor -%}
{{ dbt_expectations.literal_rows(['column_name', 'column_index', 'problem'], differences) }}
{%- endif -%}
{% endtest %}
