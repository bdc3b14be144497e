{#- The snapshots that a run takes: rows of snapshot_date and ends_at, the moment behind it. The run's date; or the days
    from var `snapshots_from` to `snapshots_to`; without either the newest day of which files of customers have come. -#}
{% macro snapshot_days() %}
    {%- for day in days_of_snapshots() %}
select cast('{{ day }}' as date) as snapshot_date, cast('{{ day }}' as timestamp) + interval '1 day' as ends_at
{{ 'union all' if not loop.last }}
    {%- else %}
select cast(null as date) as snapshot_date, cast(null as timestamp) as ends_at
where false
    {%- endfor %}
{% endmacro %}


{#- The same as ISO dates. -#}
{% macro days_of_snapshots() %}
    {%- if not is_executing() -%}{{ return([]) }}{%- endif -%}
    {%- set first, last = var('snapshots_from', none), var('snapshots_to', none) -%}
    {%- if run_date() or not (first or last) -%}
        {%- set day = run_date() or newest_file_date(relation_of('load_ledger'), 'customers') -%}
        {{ return([day | string] if day else []) }}
    {%- endif -%}
    {%- set first, last = valid_day('snapshots_from', first), valid_day('snapshots_to', last) -%}
    {%- if last < first -%}
        {{ exceptions.raise_compiler_error('snapshots_to, ' ~ last ~ ', is before snapshots_from, ' ~ first ~ '.') }}
    {%- endif -%}
    {%- set date, days = modules.datetime.date, [] -%}
    {%- set count = (date.fromisoformat(last) - date.fromisoformat(first)).days + 1 -%}
    {%- for number in range(count) -%}
        {%- do days.append((date.fromisoformat(first) + modules.datetime.timedelta(days=number)).isoformat()) -%}
    {%- endfor -%}
    {{ return(days) }}
{% endmacro %}


{#- The strategy `replaced_days` of incremental models: the days of the run are replaced as a whole, also one that has no
    row any more. -#}
{% macro get_incremental_replaced_days_sql(arg_dict) %}
    {%- set target, columns = arg_dict['target_relation'], arg_dict['dest_columns'] | map(attribute='name') | join(', ') -%}
    {% call in_transaction() %}
delete from {{ target }} where {{ arg_dict['unique_key'] }} in ({{ day_list(days_of_snapshots()) }});

insert into {{ target }} ({{ columns }})
select {{ columns }} from {{ arg_dict['temp_relation'] }};
    {% endcall %}
{% endmacro %}
