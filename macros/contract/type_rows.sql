{#- Every raw row, or those of some landings, typed by the contract, with all reasons for which it is rejected (null
    for a valid row), and whether another row of its file overtakes it. A reason is computed for bad rows only: good
    ones, nearly all, pay for one condition. -#}
{% macro type_rows(feed, raw, landings=none) %}
{%- set contract = contract_columns(feed) if execute else [] -%}
{%- set of_feed = feed_of(feed) if execute else {'key': []} -%}
{%- set key, is_json = of_feed.key, of_feed.files == 'topics' -%}
{%- set conditions = contract_conditions(contract, is_json) -%}
with {{ arrived_messages(contract, raw, landings) if is_json else arrived_records(contract, raw, landings) }},

typed as (

    select
        *,
        {% for column in contract -%}
        {{ typed_field(column) if is_json else typed_record(column) }} as {{ column.name }}{{ ',' if not loop.last }}
        {% endfor %}
    from arrived

),

checked as (

    select
        {% for column in contract -%}
        {{ column.name }},
        {% endfor -%}
        source_file,
        source_record,
        file_date,
        landing_id,
        cast(case
            when not coalesce({{ conditions | map(attribute='holds') | join('\n                and ') }}, false)
                {#- A rule that comes to null, by another column that is empty, says nothing. #}
                then nullif(substr({% for condition in conditions -%}
                case when {{ condition.fails }} then {{ condition.says or text_literal('; ' ~ condition.reason) }} else '' end
                {{- '\n                || ' if not loop.last }}
                {%- endfor %}, 3), '')
        end as varchar) as reject_reasons
    from typed

),

-- Of the keys that stand more than once in their file alone.
repeated as (

    select landing_id, {{ key_list(key) }}
    from checked
    where reject_reasons is null
    group by landing_id, {{ key_list(key) }}
    having count(*) > 1

),

overtaken as (

    select checked.landing_id, checked.source_record
    from checked
    inner join repeated on checked.landing_id = repeated.landing_id and {{ same_key('checked', 'repeated', key) }}
    where checked.reject_reasons is null
    qualify row_number() over (
        partition by checked.landing_id, {{ key_list(key, 'checked') }}
        order by {{ newest_first(of_feed, contract | map(attribute='name') | list, row='checked') }}
    ) > 1

)

select
    checked.*,
    overtaken.source_record is not null as is_overtaken
from checked
left join overtaken on checked.landing_id = overtaken.landing_id and checked.source_record = overtaken.source_record
{% endmacro %}


{#- The records of files, all text: of each column of the contract `raw_<name>`, null where it is empty. -#}
{% macro arrived_records(contract, raw, landings) -%}
arrived as (

    select
        {% for column in contract -%}
        nullif({{ column.name }}, '') as raw_{{ column.name }},
        {% endfor -%}
        source_file,
        source_record,
        file_date,
        landing_id
    from {{ raw }}
    {%- if landings %}
    where landing_id in ({{ landings }})
    {%- endif %}

)
{%- endmacro %}


{#- What a column of `arrived` is as its type, or by default. -#}
{% macro typed_record(column) %}
    {%- set text = 'raw_' ~ column.name -%}
    {%- set value = typed(text, column.data_type) -%}
    {%- if column.config.meta.default is not none and column.config.meta.default is defined -%}
        {%- set default = default_value(column.name, column.data_type, column.config.meta.default) -%}
        {%- set value = 'case when ' ~ text ~ ' is null then ' ~ default ~ ' else ' ~ value ~ ' end' -%}
    {%- endif -%}
    {{ return(value) }}
{% endmacro %}


{#- What must hold of a row, one by one: `holds` is not true for a bad row, `fails` is true for a bad row, `reason`; or
    `says`, which comes to a reason. -#}
{% macro contract_conditions(contract, is_json=false) %}
    {%- set conditions = [] -%}
    {%- if is_json -%}
        {%- do conditions.append({
            'holds': 'value_problem is null', 'fails': 'value_problem is not null', 'says': "'; ' || value_problem"
        }) -%}
    {%- endif -%}
    {#- Of a value that cannot be read, nothing else is to be said. -#}
    {%- set readable = 'value_problem is null and ' if is_json else '' -%}
    {%- for column in contract -%}
        {%- set name, raw, meta = column.name, 'raw_' ~ column.name, column.config.meta -%}
        {%- if meta.required -%}
            {%- do conditions.append({
                'holds': raw ~ ' is not null', 'fails': readable ~ raw ~ ' is null', 'reason': name ~ ' is empty'
            }) -%}
        {%- endif -%}
        {#- Any field of a CSV file is text. -#}
        {%- if is_json or column.data_type | lower not in ('varchar', 'text') -%}
            {%- do conditions.append({
                'holds': '(' ~ raw ~ ' is null or ' ~ name ~ ' is not null)',
                'fails': raw ~ ' is not null and ' ~ name ~ ' is null',
                'reason': name ~ ' is not ' ~ {'json': 'an object', 'varchar': 'text'}.get(column.data_type, column.data_type)
            }) -%}
        {%- endif -%}
        {%- if meta.rule is defined -%}
            {#- On lines of its own, so that a comment in it ends with it. -#}
            {%- set rule = '(' ~ name ~ ' is null or (\n' ~ meta.rule ~ '\n))' -%}
            {%- do conditions.append({
                'holds': rule, 'fails': 'not ' ~ rule, 'reason': name ~ ' ' ~ meta.says
            }) -%}
        {%- endif -%}
        {%- if meta.listed_in is defined -%}
            {%- set rule = name ~ ' in (' ~ accepted_values(meta.listed_in, name) ~ ')' -%}
            {%- do conditions.append({
                'holds': '(' ~ name ~ ' is null or ' ~ rule ~ ')', 'fails': 'not (' ~ rule ~ ')',
                'reason': name ~ ' is not listed in ' ~ meta.listed_in
            }) -%}
        {%- endif -%}
    {%- endfor -%}
    {{ return(conditions) }}
{% endmacro %}
