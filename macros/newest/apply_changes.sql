{% macro apply_changes(target, winners, key, columns, ranges) %}
    {{ return(adapter.dispatch('apply_changes')(target, winners, key, columns, ranges)) }}
{% endmacro %}


{#- DuckDB pays for an update in place what a delete and an insert cost together several times over. -#}
{% macro duckdb__apply_changes(target, winners, key, columns, ranges) %}
delete from {{ target }}
where
    {{ within(ranges) }}
    and {{ key_value(key) }} in (select {{ key_list(key) }} from merge_changes where leaves);

insert into {{ target }} ({{ columns | join(', ') }})
select {{ columns | join(', ') }} {{ entering(winners, key) }};
{% endmacro %}


{% macro snowflake__apply_changes(target, winners, key, columns, ranges) %}
delete from {{ target }}
where
    {{ within(ranges) }}
    and {{ key_value(key) }} in (select {{ key_list(key) }} from merge_changes where leaves and new_file is null);

merge into {{ target }} as existing
using (
    select * {{ entering(winners, key) }}
) as winners
    on {{ same_key('winners', 'existing', key) }} and {{ within(ranges, 'existing') }}
when matched then update set
    {% for column in columns if column not in key -%}
    {{ column }} = winners.{{ column }}{{ ',' if not loop.last }}
    {% endfor %}
when not matched then insert ({{ columns | join(', ') }})
    values (winners.{{ columns | join(', winners.') }});
{% endmacro %}
