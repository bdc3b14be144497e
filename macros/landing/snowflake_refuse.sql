{#- A file that is mended, or gone, need not be mended any more. -#}
{% macro snowflake_mended(refused, paths) %}
delete from {{ refused }}
where source_file in ({% for path in paths %}{{ text_literal(path) }}{{ ', ' if not loop.last }}{% endfor %})
{% endmacro %}


{% macro snowflake_refuse(refused, file, record, reason) %}
    {%- do run_query(snowflake_write_refusal(refused, file, record, reason)) -%}
    {%- set place = ' (record ' ~ record ~ ')' if record else '' -%}
    {%- do exceptions.warn('REFUSED ' ~ file['source_file'] ~ place ~ ': ' ~ reason) -%}
{% endmacro %}


{% macro snowflake_write_refusal(refused, file, record, reason) %}
merge into {{ refused }} as refused
using (select {{ text_literal(file['source_file']) }} as source_file) as bad
    on refused.source_file = bad.source_file
when matched then update set
    content_hash = {{ text_literal(file['fingerprint']) }}, fingerprint = {{ text_literal(file['fingerprint']) }},
    source_record = {{ record or 'null' }}, reason = {{ text_literal(reason) }}
when not matched then insert (source_file, content_hash, file_date, source_record, reason, fingerprint)
values (
    bad.source_file, {{ text_literal(file['fingerprint']) }},
    {{ "to_date('" ~ file['file_date'] ~ "')" if file['file_date'] else 'null' }},
    {{ record or 'null' }}, {{ text_literal(reason) }}, {{ text_literal(file['fingerprint']) }}
)
{% endmacro %}
