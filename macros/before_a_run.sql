{#- What is looked at before a command writes anything: on-run-start in dbt_project.yml. -#}

{#- DuckDB has one writer: transactions of several threads would meet in the registers, and one of them fail or be counted
    as another's. On Snowflake they take turns. -#}
{% macro stop_if_threads_would_meet() %}
    {{- adapter.dispatch('stop_if_threads_would_meet')() -}}
{% endmacro %}

{% macro duckdb__stop_if_threads_would_meet() %}
    {%- if execute and target.threads > 1 and flags.WHICH != 'test' -%}
        {{ exceptions.raise_compiler_error(
            'DuckDB is loaded by one thread, and ' ~ target.threads ~ ' are set. Nothing was loaded. Leave out --threads, or set '
            ~ '`threads: 1` for the target ' ~ target.name ~ ' in profiles.yml; each query still uses every core.'
        ) }}
    {%- endif -%}
{% endmacro %}

{% macro snowflake__stop_if_threads_would_meet() %}{% endmacro %}
