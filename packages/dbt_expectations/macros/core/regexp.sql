{#- An expression that is true where a pattern matches anywhere in a value. `is_raw`: the pattern's backslashes are the
    regular expression's own, not the SQL literal's. `flags` are the engine's. -#}
{% macro regexp_matches(value, regex, is_raw=False, flags='') %}
    {{ return(adapter.dispatch('regexp_matches', 'dbt_expectations')(value, regex, is_raw, flags)) }}
{% endmacro %}

{% macro default__regexp_matches(value, regex, is_raw, flags) %}
    {{ exceptions.raise_compiler_error("Regular expressions are not yet written for " ~ target.type ~ ".") }}
{% endmacro %}

{#- In a literal of DuckDB a backslash is a backslash. -#}
{% macro duckdb__regexp_matches(value, regex, is_raw, flags) %}
    {%- do dbt_expectations.check_flags(flags, 'cilmnps') -%}
    {%- set regex = regex | replace("'", "''") if is_raw else regex -%}
    {%- set options = ", '" ~ flags ~ "'" if flags else '' -%}
    {{ return("regexp_matches(" ~ value ~ ", '" ~ regex ~ "'" ~ options ~ ")") }}
{% endmacro %}

{#- Not regexp_like, which must match the whole value; not $$ around a raw pattern, which may end in $. -#}
{% macro snowflake__regexp_matches(value, regex, is_raw, flags) %}
    {%- do dbt_expectations.check_flags(flags, 'cimes') -%}
    {%- set regex = regex | replace('\\', '\\\\') | replace("'", "''") if is_raw else regex -%}
    {%- set options = ", 1, 1, 0, '" ~ flags ~ "'" if flags else '' -%}
    {{ return("regexp_instr(" ~ value ~ ", '" ~ regex ~ "'" ~ options ~ ") > 0") }}
{% endmacro %}


{#- A test may be enabled on one warehouse only: what another one knows is an error only where it runs. -#}
{% macro check_flags(flags, known) %}
    {%- for flag in flags or '' if flag not in known and (execute or flag not in 'ceilmnps') -%}
        {{ exceptions.raise_compiler_error(
            "The regular expressions of " ~ target.type ~ " have no flag '" ~ flag ~ "'; they have "
            ~ known | list | join(', ') ~ "."
        ) }}
    {%- endfor -%}
{% endmacro %}
