{#- Before a command writes anything (on-run-start in dbt_project.yml): what would do harm is stopped. -#}
{% macro stop_what_would_do_harm() %}
    {{- stop_if_threads_would_meet() -}}
    {{- stop_if_production_would_be_emptied() -}}
{% endmacro %}


{#- DuckDB has one writer: transactions of several threads would meet in the registers, and one of them fail or be
    counted as another's. On Snowflake a lock puts them in order. -#}
{% macro stop_if_threads_would_meet() %}
    {{- adapter.dispatch('stop_if_threads_would_meet')() -}}
{% endmacro %}


{% macro duckdb__stop_if_threads_would_meet() %}
    {%- if target.threads > 1 and flags.WHICH != 'test' -%}
        {{ exceptions.raise_compiler_error(
            'DuckDB is loaded by one thread, and ' ~ target.threads
            ~ ' are set. Nothing was loaded. Leave out --threads, or set '
            ~ '`threads: 1` for the target ' ~ target.name ~ ' in profiles.yml; each query still uses every core.'
        ) }}
    {%- endif -%}
{% endmacro %}


{% macro snowflake__stop_if_threads_would_meet() %}{% endmacro %}


{#- `--empty` and `--sample` build everything from no row or from some rows: of use beside production, and its end
    there. -#}
{% macro stop_if_production_would_be_emptied() %}
    {%- set builds = flags.WHICH in ['build', 'run', 'seed', 'snapshot', 'retry'] -%}
    {%- if builds and (flags.EMPTY or invocation_args_dict.get('sample')) and not schema_prefix() -%}
        {{ exceptions.raise_compiler_error(
            'The target ' ~ target.name ~ ' is production, which --' ~ ('empty' if flags.EMPTY else 'sample')
            ~ ' would build from ' ~ ('no row' if flags.EMPTY else 'some of its rows')
            ~ '. Nothing was done: leave the option away.'
        ) }}
    {%- endif -%}
{% endmacro %}
