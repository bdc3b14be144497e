{#- A key's columns as a list, of a row if one is named. -#}
{% macro key_list(key, row=none) %}
    {%- set columns = [] -%}
    {%- for column in key -%}{%- do columns.append(row ~ '.' ~ column if row else column) -%}{%- endfor -%}
    {{ return(columns | join(', ')) }}
{% endmacro %}


{#- The same as one value, to look for it in a subquery of key_list. -#}
{% macro key_value(key, row=none) %}
    {%- set columns = key_list(key, row) -%}
    {{ return('(' ~ columns ~ ')' if key | length > 1 else columns) }}
{% endmacro %}


{#- Whether two rows have the same key. -#}
{% macro same_key(a, b, key) %}
    {%- set conditions = [] -%}
    {%- for column in key -%}{%- do conditions.append(a ~ '.' ~ column ~ ' = ' ~ b ~ '.' ~ column) -%}{%- endfor -%}
    {{ return(conditions | join(' and ')) }}
{% endmacro %}
