{#- dbt-snowflake empties a seed in one transaction and fills it in the next: a load beside it would find no currency
    and reject every row. Begun here, the transaction ends with the COMMIT that follows dbt's insert. -#}
{% macro snowflake__reset_csv_table(model, full_refresh, old_relation, agate_table) %}
    {%- if full_refresh -%}
        {{ return(default__reset_csv_table(model, full_refresh, old_relation, agate_table)) }}
    {%- endif -%}
    {%- set empty = 'delete from ' ~ old_relation -%}
    {%- do adapter.add_query('begin', auto_begin=False) -%}
    {%- do adapter.add_query(empty, auto_begin=False) -%}
    {{ return(empty) }}
{% endmacro %}


{#- dbt guesses the types of a seed's columns from their cells, by which 007 becomes 7 and `null` nothing, and DuckDB
    reads the file in its own way. Here every column is text unless its `column_types` say otherwise, a cell is what
    stands in the file, a blank one is null, and a line of blank ones is no row; on both warehouses. -#}
{% macro create_csv_table(model, agate_table) %}
    {%- set types = dict.fromkeys(agate_table.column_names, 'varchar') -%}
    {%- do types.update(model.config.column_types) -%}
    {{ return(dbt.default__create_csv_table({'config': dict(model.config, column_types=types)}, agate_table)) }}
{% endmacro %}


{% macro duckdb__load_csv_rows(model, agate_table) %}
    {%- set answer = run_query("select 'text' as a_text") -%}
    {{ return(dbt.default__load_csv_rows(model, seed_as_text(model, agate_table, answer))) }}
{% endmacro %}


{% macro snowflake__load_csv_rows(model, agate_table) %}
    {%- set answer = run_query('BEGIN') -%}
    {%- set sql = dbt.default__load_csv_rows(model, seed_as_text(model, agate_table, answer)) -%}
    {%- do adapter.add_query('COMMIT', auto_begin=False) -%}
    {{ return(sql) }}
{% endmacro %}


{#- The cells of a seed's file. Its reader takes what text is from a text that the warehouse has answered: the only
    one to be had here that leaves words such as `null` alone. -#}
{% macro seed_as_text(model, agate_table, answer) %}
    {%- set names = agate_table.column_names -%}
    {%- set cells = agate_table.from_csv(
        agate_table.original_abspath,
        column_types=[answer.column_types[0]] * names | length,
        encoding='utf-8-sig',
        delimiter=model.config.delimiter
    ) -%}
    {%- set rows = [] -%}
    {%- for row in cells.rows -%}
        {%- set values = [] -%}
        {%- for cell in row -%}{%- do values.append(cell if (cell or '').strip() else none) -%}{%- endfor -%}
        {%- if values | reject('none') | list -%}{%- do rows.append(values) -%}{%- endif -%}
    {%- endfor -%}
    {{ return({'column_names': names, 'rows': rows}) }}
{% endmacro %}
