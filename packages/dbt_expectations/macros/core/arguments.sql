{#- Jinja itself refuses an argument that a test does not have, but lets one without a default be left out. At parse, one
    that calls a macro is not defined yet. -#}
{% macro check_given(name, value) %}
    {%- if execute and (value is undefined or value is none) -%}
        {{ exceptions.raise_compiler_error("This test needs the argument " ~ name ~ ".") }}
    {%- endif -%}
{% endmacro %}


{#- One name instead of a list would be read letter by letter. -#}
{% macro check_list(name, value) %}
    {%- if value and (value is string or value is not sequence) -%}
        {{ exceptions.raise_compiler_error(name ~ " is a list, not '" ~ value ~ "'.") }}
    {%- endif -%}
{% endmacro %}


{#- A list that must have something in it. -#}
{% macro check_filled_list(name, value) %}
    {%- do dbt_expectations.check_given(name, value) -%}
    {%- do dbt_expectations.check_list(name, value) -%}
    {%- if value is defined and value is not none and not value -%}
        {{ exceptions.raise_compiler_error(name ~ " has no value.") }}
    {%- endif -%}
{% endmacro %}
