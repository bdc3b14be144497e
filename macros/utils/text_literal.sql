{#- A text as a literal of the warehouse. -#}
{% macro text_literal(text) %}
    {{ return(adapter.dispatch('text_literal')(text | string)) }}
{% endmacro %}


{% macro default__text_literal(text) %}
    {{ return("'" ~ text | replace("'", "''") ~ "'") }}
{% endmacro %}


{% macro snowflake__text_literal(text) %}
    {{ return("'" ~ text | replace('\\', '\\\\') | replace("'", "''") ~ "'") }}
{% endmacro %}
