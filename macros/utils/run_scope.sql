{#- The day whose files a run loads: var `run_date`, or the environment's RUN_DATE, which Airflow uses because a
    changed var makes dbt parse the whole project again. None for every day. Call it at run time only. -#}
{% macro run_date() %}
    {%- set day = var('run_date', none) or env_var('RUN_DATE', '') -%}
    {{ return(valid_day('run_date', day) if day else none) }}
{% endmacro %}


{#- A day that somebody has written, as YYYY-MM-DD; an error with its name for what is none. -#}
{% macro valid_day(name, day) %}
    {%- set day = day | string -%}
    {%- if modules.re.fullmatch('[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])', day) and day >= '0001' -%}
        {%- set first = modules.datetime.date(day[:4] | int, day[5:7] | int, 1) -%}
        {%- set valid = (first + modules.datetime.timedelta(days=day[8:] | int - 1)).isoformat() == day -%}
    {%- endif -%}
    {%- if not valid -%}
        {{ exceptions.raise_compiler_error(
            name ~ " is not a day: '" ~ day ~ "'. Write it as YYYY-MM-DD, for example 2024-01-05."
        ) }}
    {%- endif -%}
    {{ return(day) }}
{% endmacro %}


{#- The condition that a file belongs to the run, and to a feed if one is named. -#}
{% macro of_run(feed=none, row=none) %}
    {%- set day = run_date() if execute else none -%}
    {%- set of = row ~ '.' if row else '' -%}
    {%- set conditions = [of ~ "file_date = cast('" ~ day ~ "' as date)"] if day else [] -%}
    {%- if feed -%}{%- do conditions.append(of_feed(feed, of ~ 'source_file')) -%}{%- endif -%}
    {{ return(conditions | join(' and ') or 'true') }}
{% endmacro %}


{#- Whether what is built is the copy of an audit: it leaves the registers alone. -#}
{% macro is_audit() %}
    {{ return(var('audit', false)) }}
{% endmacro %}


{#- Whether the command at hand does work on the warehouse. One that only compiles (`dbt compile`, `dbt docs generate`,
    the linter) asks it nothing, so that it needs no warehouse. -#}
{% macro is_executing() %}
    {{ return(execute and flags.WHICH in ['build', 'run', 'test', 'retry', 'show']) }}
{% endmacro %}
