{#- Of each file its header, and the first record that is not what RFC 4180 says or has other fields than the header.
    The quotes before a line say whether it begins within a field that is quoted; a quote that the line leaves open,
    or that was open before, is put in, so that each line is looked at as a record of its own. -#}
{% macro snowflake_malformed() %}
{%- set field = '("([^"]|"")*"|[^",]*)' -%}
with counted as (
    select
        source_file,
        line,
        coalesce(content, '') as content,
        length(coalesce(content, '')) - length(replace(coalesce(content, ''), '"', '')) as quotes
    from landing_lines
),

summed as (
    select
        *,
        sum(quotes) over (
            partition by source_file order by line rows between unbounded preceding and current row
        ) as quotes_so_far
    from counted
),

placed as (
    select
        *,
        mod(quotes_so_far, 2) as leaves_open,
        mod(quotes_so_far - quotes, 2) as begins_open
    from summed
),

completed as (
    select
        source_file,
        quotes,
        case when begins_open = 1 then '"' else '' end
        || content
        || case when leaves_open = 1 then '"' else '' end as content,
        sum(1 - begins_open) over (
            partition by source_file order by line rows between unbounded preceding and current row
        ) as record
    from placed
    -- A blank line is no record.
    where begins_open = 1 or content <> ''
),

unquoted as (
    select
        source_file,
        record,
        quotes,
        regexp_replace(content, '"[^"]*"', '') as content,
        regexp_like(content, '{{ field }}(,{{ field }})*') as is_well_formed
    from completed
),

records as (
    select
        source_file,
        record,
        count(*) as lines,
        mod(sum(quotes), 2) as is_open,
        count_if(contains(content, char(13))) as carriage_returns,
        count_if(not is_well_formed) as odd,
        sum(length(content) - length(replace(content, ',', ''))) + 1 as fields
    from unquoted
    group by source_file, record
),

judged as (
    select
        source_file,
        record,
        case
            when is_open = 1 then 'an unclosed quote'
            when odd = 0 and carriage_returns > 0 then 'a carriage return without a line feed, outside of quotes'
            when odd > 0
                then 'a quote inside a field that is not quoted as a whole, from its first character to its last'
            when record = 1 and lines > 1 then 'a line break in the name of a column'
            when fields <> first_value(fields) over (partition by source_file order by record)
                then
                    fields
                    || ' fields, but the header has '
                    || first_value(fields) over (partition by source_file order by record)
        end as problem
    from records
),

malformed as (
    select
        source_file,
        record,
        problem
    from judged
    where problem is not null
    qualify record = min(record) over (partition by source_file)
)

select
    counted.source_file,
    counted.content,
    malformed.record,
    malformed.problem
from counted
left join malformed on counted.source_file = malformed.source_file
where counted.line = 1
{% endmacro %}
